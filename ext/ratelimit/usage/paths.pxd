from libc.stdint cimport int16_t, uint8_t

cdef enum:
    LONGEST_KEY = 40
    MOST_NODES = 512

cdef enum Kind:
    PLAIN_NODE      # nothing but what lies below it
    NUMBER          # a number: kept in `slot`
    CLOSING         # likewise; without a CHOICE beside it, the answer ends with it
    FLAG            # true or false: kept in `slot` as 1 or 0
    TEXT            # a string of the answer: its bytes are counted
    DELTA           # likewise, if the event's type says that it is text
    TYPE            # a string that names the event's type
    NAME            # a string that is kept: the model
    FINISH          # a string or `true`: the answer is finished
    INNER           # a string with an event of its own in base64
    CHOICE          # that there is a value at all: the answer goes on
    CANDIDATE       # likewise, as Gemini calls it
    MOST            # a number of which the largest counts; anything else but null is odd
    COUNT           # a string or an array: how many there are is kept in `slot`
    WRONG           # an object or a string: the answer failed

cdef struct Node:
    int16_t first_edge      # -1: none
    int16_t element         # what an array's elements are; -1: nothing
    uint8_t kind
    uint8_t slot

cdef struct Edge:
    char key[LONGEST_KEY]
    uint8_t size
    int16_t target
    int16_t next            # of the same node; -1: the last

cdef struct Trie:
    Node nodes[MOST_NODES]
    Edge edges[MOST_NODES]
    int node_count
    int edge_count


cdef class Paths:
    cdef Trie trie

    cdef int new_node(self) except -1
    cdef int child(self, int node, bytes key) except -1
    cdef int element(self, int node) except -1


cdef inline int16_t child_of(const Trie *trie, int16_t node, const char *key, uint8_t size) noexcept nogil:
    # noexcept nogil: compares bytes within arrays that have their sizes beside them.
    cdef int16_t at = trie.nodes[node].first_edge
    cdef int i
    while at >= 0:
        if trie.edges[at].size == size and trie.edges[at].key[0] == key[0]:
            for i in range(1, size):
                if trie.edges[at].key[i] != key[i]:
                    break
            else:
                return trie.edges[at].target
        at = trie.edges[at].next
    return -1
