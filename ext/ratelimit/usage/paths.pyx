"""Paths into a JSON document, as a tree of keys: see the stub for the contract."""

cimport cython
from libc.string cimport memcpy

from ratelimit.usage.paths cimport (
    CANDIDATE, CHOICE, CLOSING, COUNT, DELTA, FINISH, FLAG, INNER, LONGEST_KEY, MOST, MOST_NODES, NAME, NUMBER, PLAIN_NODE,
    TEXT, TYPE, WRONG, Node,
)

KINDS = {
    "number": NUMBER, "closing": CLOSING, "flag": FLAG, "text": TEXT, "delta": DELTA, "type": TYPE, "name": NAME,
    "finish": FINISH, "choice": CHOICE, "candidate": CANDIDATE, "inner": INNER,
    "most": MOST, "count": COUNT, "wrong": WRONG,
}
MOST_SLOTS = 32


@cython.final
@cython.auto_pickle(False)
cdef class Paths:
    """Paths and what is done with the values there: see the stub."""

    def __init__(self, paths):
        cdef int at
        cdef int slot
        self.trie.node_count = 0
        self.trie.edge_count = 0
        self.new_node()
        # A list of documents is read like one after another.
        self.trie.nodes[0].element = 0
        for path, kind, slot in paths:
            if not 0 <= slot < MOST_SLOTS:
                raise ValueError(f"a slot is from 0 to {MOST_SLOTS - 1}, not {slot}")
            at = 0
            for part in path.split("."):
                key = part.rstrip("[]").encode()
                at = self.child(at, key)
                for _ in range(part.count("[]")):
                    at = self.element(at)
            if self.trie.nodes[at].kind not in (PLAIN_NODE, KINDS[kind]):
                raise ValueError(f"{path} is there twice")
            self.trie.nodes[at].kind = KINDS[kind]
            self.trie.nodes[at].slot = slot

    cdef int new_node(self) except -1:
        cdef int at = self.trie.node_count
        if at >= MOST_NODES:
            raise ValueError(f"at most {MOST_NODES} keys")
        self.trie.nodes[at] = Node(-1, -1, PLAIN_NODE, 0)
        self.trie.node_count += 1
        return at

    cdef int child(self, int node, bytes key) except -1:
        cdef int at = self.trie.nodes[node].first_edge
        cdef int fresh
        if not 0 < len(key) <= LONGEST_KEY:
            raise ValueError(f"a key has 1 to {LONGEST_KEY} bytes: {key!r}")
        while at >= 0:
            if self.trie.edges[at].size == len(key) and self.trie.edges[at].key[:len(key)] == key:
                return self.trie.edges[at].target
            at = self.trie.edges[at].next
        fresh = self.new_node()
        at = self.trie.edge_count
        self.trie.edge_count += 1
        memcpy(self.trie.edges[at].key, <const char *>key, len(key))
        self.trie.edges[at].size = len(key)
        self.trie.edges[at].target = fresh
        self.trie.edges[at].next = self.trie.nodes[node].first_edge
        self.trie.nodes[node].first_edge = at
        return fresh

    cdef int element(self, int node) except -1:
        if self.trie.nodes[node].element < 0:
            self.trie.nodes[node].element = self.new_node()
        return self.trie.nodes[node].element

    def __reduce__(self):
        raise TypeError("paths are compiled from a table; keep that")
