"""What the correlator remembers: principals, identifiers, and the edges between them.

Theory of operation. Two arrays of fixed size and an index over each. A principal
keeps a few edges of each family to identifiers it was seen with; an identifier
keeps no list of its principals, only how many there are and how many of them
belong to the two clusters that use it most. So an event costs the same however
many accounts share an address, and both arrays can be walked in slices.

An edge names an identifier by position and generation: when the position is given
to another identifier the generation changes, and the edge is void.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    # Families, and the kinds of network within theirs.
    FINE = 0            # an address: /32, or /64 of IPv6
    COARSE = 1          # what independent networks are counted by: /24, or /48
    PAYMENT = 2
    CLIENT = 3
    EXTRA = 4           # 4 to 6: families the policy adds
    BLOCK = 7           # what belongs to one provider, about: /16, or /32
    KINDS = 8
    EXTRAS = 3

    # Where a principal's edges of each family lie.
    FINE_EDGES = 9
    PAYMENT_AT = 9
    CLIENT_AT = 11
    EXTRA_AT = 13
    EDGES = 16          # at most: there are those of extra families only that the policy names

    INDEX_BITS = 22     # at most four million identifiers
    GENERATION_BITS = 10
    SOON_S = 300        # a request so soon after the one before follows it
    AGAIN_S = 60        # and one so soon after a refusal does not take it for an answer
    ANSWERS = 8         # so many of its latest answers a principal is told by
    REFUSALS = 64       # and so many refusals
    TURNED = 128        # in `refused`: its last request was
    OCTAVE = 32         # levels of an answer's length while it doubles
    LEVELS = 1024
    TICK_S = 600        # an edge remembers when it was last seen to ten minutes
    MOST_DEGREE = 65535
    HOURS = 0xFFFFFF    # in `hours`: the hours
    FREE = 1 << 24      # and one request that no cluster was charged with yet
    MOST_FREE = 255
    # What is said of a principal in a cluster.
    NO_VERDICT = 0      # nothing: it counts alone
    LIKELY = 1          # it is shown, and what a limit would refuse it is counted
    CERTAIN = 2         # it has one budget with the other members
    UNMET = 1 << 14             # in `meta`: a payment method whose users met no other members
    INFRASTRUCTURE = 1 << 13    # in `meta`: an address in a network that the operator declared as such

cdef struct Edge:
    uint32_t ref        # generation | index + 1; 0 for none
    uint16_t seen       # ticks since the epoch
    uint16_t count      # saturates

cdef struct Key:        # 64 bits, as aligned as the rest: nothing is lost to padding
    uint32_t low
    uint32_t high

cdef struct Principal:
    Key key
    uint32_t first_s    # seconds since the epoch
    uint32_t last_s
    uint32_t requests   # all that were ever seen
    float volume        # requests, each halved in weight a day
    float moves         # requests from another network than the one before, likewise
    float follows       # requests within minutes of the one before, likewise
    uint32_t hours      # bit h: seen in hour h of the last day; above them, requests given outside of clusters
    float prior         # requests a day before it joined its cluster
    uint32_t created_s  # when the account was created, in seconds since 1970: the least ever given, 0 for not known
    uint32_t network    # the coarse network last seen, as an edge names it
    uint16_t label      # cluster, 0 for none
    uint16_t lengths    # levels of its latest answers, added up
    uint8_t answers     # how many they are; halved with `lengths` when there are ANSWERS
    uint8_t roaming     # 0 to 3: over how many blocks its latest addresses are strewn
    uint8_t refused     # TURNED | of the latest; halved with `again` when there are REFUSALS
    uint8_t again       # refusals after which it asked again at once
    uint8_t verdict     # as inferred, of a member: see `put_label`, and `Billing.verdict` for what counts
    Edge edges[EDGES]

# An identifier is in two halves: what rebuilds walk over, four to a cache line; and what else there is.
cdef struct Identifier:
    # Of an address its coarse network, of that its block, as an edge names it. Of what fades
    # slowly a cluster << 16 | its dormant members with an edge here. Of a client its principals
    # outside clusters.
    uint32_t parent
    uint16_t meta       # infrastructure | generation << 3 | kind
    uint16_t degree     # principals with an edge here
    uint16_t label1     # two clusters whose members were seen here; of a client, none
    uint16_t label2
    uint16_t count1     # principals of cluster label1 with an edge here
    uint16_t count2

cdef struct Value:
    Key key
    uint32_t last_s


cdef inline void put_label(Principal *p, uint32_t label) noexcept nogil:
    """Put a principal into a cluster, 0 for none. A member is certain until it is judged by itself."""
    p.label = <uint16_t>label
    p.verdict = CERTAIN if label else NO_VERDICT


cdef inline void note_created(Principal *p, uint32_t created_s, int64_t now_s) noexcept nogil:
    """Note when an account was created, 0 for not known: the least ever given stands, and none is later than now."""
    created_s = <uint32_t>min(<int64_t>created_s, now_s)
    if created_s and (p.created_s == 0 or created_s < p.created_s):
        p.created_s = created_s


cdef inline uint64_t joined(Key key) noexcept nogil:
    return key.low | <uint64_t>key.high << 32


cdef inline Key halves(uint64_t key) noexcept nogil:
    cdef Key found
    found.low = <uint32_t>key
    found.high = <uint32_t>(key >> 32)
    return found


cdef inline uint32_t hours_left(uint32_t hours, uint32_t last_s, uint32_t now_s) noexcept nogil:
    """Return which hours of the last day were not silent; those passed since are forgotten."""
    cdef uint32_t last = last_s // 3600, now = now_s // 3600
    cdef uint64_t passed
    if now >= last + 24:
        return 0
    if now <= last:
        return hours & HOURS
    passed = ((<uint64_t>1 << (now - last)) - 1) << ((last + 1) % 24)
    return hours & HOURS & ~<uint32_t>(passed | passed >> 24)


cdef inline uint32_t free_of(const Principal *p) noexcept nogil:
    """Return how many requests a principal was given that no cluster was charged with yet."""
    return p.hours // FREE


cdef inline void count_free(Principal *p, int change) noexcept nogil:
    cdef int free = <int>free_of(p) + change
    p.hours = p.hours & HOURS | <uint32_t>max(0, min(MOST_FREE, free)) * FREE


cdef inline int refused_of(const Principal *p) noexcept nogil:
    """Return how many of a principal's latest requests were refused."""
    return p.refused & (TURNED - 1)


cdef inline void turn_away(Principal *p) noexcept nogil:
    """Note that a principal's last request was refused."""
    cdef int refused = refused_of(p) + 1
    if refused >= REFUSALS:
        refused >>= 1
        p.again >>= 1
    p.refused = <uint8_t>(refused | TURNED)


cdef inline void note_answer(Principal *p, uint32_t before, uint32_t level) noexcept nogil:
    """Note how long an answer is, in place of what was said before of the same one, if anything was."""
    if before == 0:
        if p.answers >= ANSWERS:
            p.answers >>= 1
            p.lengths >>= 1
        p.answers += 1
    # That many of the longest fit into 16 bits; what is taken back may be of those forgotten.
    p.lengths = <uint16_t>max(0, min(0xFFFF, <int>p.lengths + <int>level - <int>before))


cdef inline uint64_t identifier_key(uint64_t value, int kind) noexcept nogil:
    """Return an identifier's key: one value under two families is two identifiers. Never 0."""
    cdef uint64_t mixed = (value ^ <uint64_t>(kind + 1)) * <uint64_t>0x9E3779B97F4A7C15
    mixed ^= mixed >> 29
    return mixed if mixed else 1


cdef inline uint64_t value_of(uint64_t key, int kind) noexcept nogil:
    """Return the hash that an identifier's key was made from."""
    # The inverse of each step, in turn; the factor's inverse is modulo 2**64.
    key ^= (key >> 29) ^ (key >> 58)
    return (key * <uint64_t>0xF1DE83E19937733D) ^ <uint64_t>(kind + 1)


cdef inline uint32_t generation_of(const Identifier *identifier) noexcept nogil:
    return (<uint32_t>identifier.meta >> 3) & ((1 << GENERATION_BITS) - 1)


cdef inline bint is_infrastructure(const Identifier *identifier) noexcept nogil:
    return identifier.meta & INFRASTRUCTURE != 0


cdef inline uint32_t ref_of(Identifier *identifiers, uint32_t at) noexcept nogil:
    return (generation_of(identifiers + at) << INDEX_BITS) | (at + 1)


cdef inline Identifier *resolve(Identifier *identifiers, uint32_t ref) noexcept nogil:
    """Return what an edge leads to, NULL when there is nothing there any more."""
    cdef Identifier *found
    if ref == 0:
        return NULL
    found = identifiers + ((ref & ((1 << INDEX_BITS) - 1)) - 1)
    if generation_of(found) != ref >> INDEX_BITS:
        return NULL
    return found


cdef extern from *:
    """
    #define kin_look_ahead(at) __builtin_prefetch(at)
    """
    void prefetch "kin_look_ahead"(const void *at) noexcept nogil


cdef inline void look_ahead(Identifier *identifiers, Principal *p, int edges) noexcept nogil:
    """Ask for what a principal's edges lead to: a walk over many spends its time waiting for memory."""
    cdef int i
    for i in range(edges):
        if p.edges[i].ref:
            prefetch(identifiers + ((p.edges[i].ref & ((1 << INDEX_BITS) - 1)) - 1))


cdef inline int kind_of(Identifier *identifier) noexcept nogil:
    return identifier.meta & 7


cdef inline int kind_at(int slot) noexcept nogil:
    """Return the family of a principal's edge by its place."""
    if slot < FINE_EDGES:
        return FINE
    if slot < CLIENT_AT:
        return PAYMENT
    if slot < EXTRA_AT:
        return CLIENT
    return EXTRA + slot - EXTRA_AT


cdef inline bint fades_slowly(int kind) noexcept nogil:
    return kind == PAYMENT or EXTRA <= kind < EXTRA + EXTRAS


cdef inline uint16_t asleep_at(Identifier *identifier) noexcept nogil:
    """Return how many dormant members of `asleep_of` were seen here."""
    return <uint16_t>(identifier.parent & 0xFFFF) if fades_slowly(kind_of(identifier)) else 0


cdef inline uint32_t asleep_of(Identifier *identifier) noexcept nogil:
    """Return the cluster whose dormant members are counted here, 0 for none."""
    return identifier.parent >> 16 if asleep_at(identifier) else 0


cdef inline uint32_t count_for(Identifier *identifier, uint32_t label) noexcept nogil:
    """Return how many principals of a cluster were seen here."""
    if identifier.label1 == label:
        return identifier.count1
    if identifier.label2 == label:
        return identifier.count2
    return 0


cdef inline void count_one(Identifier *node, uint32_t label, int kind) noexcept nogil:
    """Count a principal at an identifier, and a member among its cluster's there."""
    if node.degree < MOST_DEGREE:
        node.degree += 1
    if kind == CLIENT:
        node.parent += label == 0
    elif label and node.label1 == label:
        node.count1 += node.count1 < MOST_DEGREE
    elif label and node.label2 == label:
        node.count2 += node.count2 < MOST_DEGREE
