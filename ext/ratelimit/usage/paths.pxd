from libc.stdint cimport int16_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

cdef enum:
    LONGEST_KEY = 40
    MOST_NODES = 1280
    PLACES = 2048           # of edges by their hash; a power of two, and more than there are

cdef enum Kind:
    PLAIN_NODE      # nothing but what lies below it
    NUMBER          # a number: kept in `slot`; rounded up, and the last counts
    CLOSING         # likewise; without a CHOICE or an INDEX beside it, it is about the answer as a whole
    ADDED           # likewise, but numbers of one document add up
    LARGEST_OF      # likewise, but the largest of one document counts
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
    INDEX           # a number: which choice it is about
    IDENTITY        # a string or number: which response it is about; `slot` is one of `Whose`
    TURN            # `true`: a response of a connection ends
    MARK            # that there is a value at all: kept in `slot`
    PART            # an object: a share of the usage, maybe of another model
    OF_PART         # a number in it: kept in `slot` of the part
    PART_NAME       # a string in it: its model
    TIER            # a string that is kept: the service tier
    SORTED          # an object: tokens of one modality; sounds are added to `slot`, pictures to the one behind it
    SORT            # a string in it: the modality; or how long a cache is kept
    SORT_COUNT      # a number in it

cdef enum Whose:
    RESPONSE        # of a stream, or of a connection
    TURN_OF_MANY    # likewise, where a connection has many; within one response it may change
    ALONE           # the document is a response of its own

cdef struct Node:
    int16_t element         # what an array's elements are; -1: nothing
    uint8_t kind
    uint8_t slot
    uint8_t is_usage        # tokens below it that the table does not name may be others
    uint8_t has_keys        # something lies below it
    uint64_t factor         # millionths that a number is multiplied with; 0: it is a whole number as it is

cdef struct Edge:
    char key[LONGEST_KEY]
    uint8_t size
    int16_t source
    int16_t target

cdef struct Trie:
    Node nodes[MOST_NODES]
    Edge edges[MOST_NODES]
    int node_count
    int edge_count
    int16_t places[PLACES]  # of edges, in open addressing; -1: free


cdef class Paths:
    cdef Trie trie

    cdef int new_node(self) except -1
    cdef int child(self, int node, bytes key) except -1
    cdef int element(self, int node) except -1


cdef inline uint32_t place_of(int16_t node, const char *key, uint8_t size) noexcept nogil:
    # noexcept nogil: arithmetic on a key that is not empty.
    cdef uint32_t mixed = (<uint32_t>node * 31 + size) * 31 + <uint8_t>key[0]
    mixed = (mixed * 31 + <uint8_t>key[size - 1]) * 31 + <uint8_t>key[size // 2]
    return (mixed * 0x9E3779B1u) >> 21  # the upper bits: as many as `PLACES` has


cdef inline int16_t child_of(const Trie *trie, int16_t node, const char *key, uint8_t size) noexcept nogil:
    # noexcept nogil: compares bytes within arrays that have their sizes beside them.
    cdef uint32_t place = place_of(node, key, size)
    cdef int16_t at = trie.places[place]
    while at >= 0:
        if (
            trie.edges[at].source == node and trie.edges[at].size == size
            and memcmp(trie.edges[at].key, key, size) == 0
        ):
            return trie.edges[at].target
        place = (place + 1) & (PLACES - 1)
        at = trie.places[place]
    return -1
