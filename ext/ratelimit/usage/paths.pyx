"""Paths into a JSON document, as a tree of keys: see the stub for the contract."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ratelimit.usage.paths cimport (
    ADDED, CANDIDATE, CHOICE, CLOSING, COUNT, DELTA, FINISH, FLAG, IDENTITY, INDEX, INNER, LARGEST_OF, LONGEST_KEY, MARK,
    MOST, MOST_NODES, NAME, NUMBER, OF_PART, PART, PART_NAME, PLACES, PLAIN_NODE, SORT, SORT_COUNT, SORTED, TEXT, TIER, TURN,
    TYPE, WRONG, Node,
    child_of, place_of,
)

KINDS = {
    "number": NUMBER, "closing": CLOSING, "added": ADDED, "largest": LARGEST_OF, "flag": FLAG, "text": TEXT,
    "delta": DELTA, "type": TYPE, "name": NAME, "finish": FINISH, "choice": CHOICE, "candidate": CANDIDATE,
    "inner": INNER, "most": MOST, "count": COUNT, "wrong": WRONG, "index": INDEX, "identity": IDENTITY,
    "turn": TURN, "mark": MARK, "part": PART, "of_part": OF_PART, "part_name": PART_NAME, "usage": PLAIN_NODE,
    "known": PLAIN_NODE, "tier": TIER, "sorted": SORTED, "sort": SORT, "sort_count": SORT_COUNT,
}
MOST_SLOTS = 32


@cython.final
@cython.auto_pickle(False)
cdef class Paths:
    """Paths and what is done with the values there: see the stub."""

    def __init__(self, paths):
        cdef int at
        cdef int slot
        cdef uint64_t factor
        self.trie.node_count = 0
        self.trie.edge_count = 0
        memset(self.trie.places, 0xFF, sizeof(self.trie.places))  # all of them -1
        self.new_node()
        # A list of documents is read like one after another.
        self.trie.nodes[0].element = 0
        for path, kind, slot, factor in paths:
            if not 0 <= slot < MOST_SLOTS:
                raise ValueError(f"a slot is from 0 to {MOST_SLOTS - 1}, not {slot}")
            at = 0
            for part in path.split("."):
                key = part.rstrip("[]").encode()
                at = self.child(at, key)
                for _ in range(part.count("[]")):
                    at = self.element(at)
            if kind == "usage":
                self.trie.nodes[at].is_usage = 1
                continue
            if self.trie.nodes[at].kind not in (PLAIN_NODE, KINDS[kind]):
                raise ValueError(f"{path} is there twice")
            self.trie.nodes[at].kind = KINDS[kind]
            self.trie.nodes[at].slot = slot
            self.trie.nodes[at].factor = factor

    cdef int new_node(self) except -1:
        cdef int at = self.trie.node_count
        if at >= MOST_NODES:
            raise ValueError(f"at most {MOST_NODES} keys")
        self.trie.nodes[at] = Node(-1, PLAIN_NODE, 0, 0, 0, 0)
        self.trie.node_count += 1
        return at

    cdef int child(self, int node, bytes key) except -1:
        cdef int at, fresh
        cdef uint32_t place
        if not 0 < len(key) <= LONGEST_KEY:
            raise ValueError(f"a key has 1 to {LONGEST_KEY} bytes: {key!r}")
        at = child_of(&self.trie, node, key, len(key))
        if at >= 0:
            return at
        fresh = self.new_node()
        self.trie.nodes[node].has_keys = 1
        at = self.trie.edge_count
        self.trie.edge_count += 1
        memcpy(self.trie.edges[at].key, <const char *>key, len(key))
        self.trie.edges[at].size = len(key)
        self.trie.edges[at].source = node
        self.trie.edges[at].target = fresh
        place = place_of(node, key, len(key))
        while self.trie.places[place] >= 0:
            place = (place + 1) & (PLACES - 1)
        self.trie.places[place] = at
        return fresh

    cdef int element(self, int node) except -1:
        if self.trie.nodes[node].element < 0:
            self.trie.nodes[node].element = self.new_node()
        return self.trie.nodes[node].element

    def __reduce__(self):
        raise TypeError("paths are compiled from a table; keep that")
