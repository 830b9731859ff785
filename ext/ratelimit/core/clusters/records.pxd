"""Records of the correlator's memory: principals, identifiers, and the edges between them.

Theory of operation. Two arrays of fixed size and an index over each. A principal
keeps a few edges of each family to identifiers it was seen with. An identifier
keeps no list of its principals, only how many there are. So an event costs the same
however many accounts share an address, and both arrays can be walked in slices.

An edge names an identifier by position and generation: when the position is given
to another identifier the generation changes, and the edge is void.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimit.core.memory.prefetch cimport prefetch

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
    TICK_S = 600        # an edge remembers when it was last seen to ten minutes
    TICKS_AN_HOUR = 6
    MOST_DEGREE = 65535
    HOURS = 0xFFFFFF    # in `hours`: the hours
    FREE = 1 << 24      # and one request that no cluster was charged with yet
    MOST_FREE = 255
    MOST_VISITS = 127   # of an edge: hours in which it was seen
    AT_HOME = 128       # in `visits`: the principal is at home there
    ROAMED = 3          # exits before an account can be said to roam

    # In an identifier's `meta`, beside kind and generation.
    INFRASTRUCTURE = 1 << 13    # an address in a network that the operator declared as such
    SUSPECT = 1 << 14           # a payment method that is still in question in this rebuild
    POOLED = 1 << 15            # and one with accounts that meet others' at exits of their own; and such an exit

    # What is known of a principal, in `traits`: found anew by each rebuild.
    HOMED = 1           # it comes back to an address that is its own
    OLD = 2             # older than `new_s`
    NEW = 4             # younger, and that is known: not only first seen since
    SETTLED = 8         # there for `settled_s`
    SEEN = 32           # there for so long that it would have come home
    ROAMER = 16         # new, by itself, nowhere at home, on another exit nearly each time

    # What is said of a principal in a cluster.
    NO_VERDICT = 0      # nothing: it counts alone
    LIKELY = 1          # it is shown, and what a limit would refuse it is counted
    CERTAIN = 2         # it has one budget with the other members

    # Of a young cluster, limits count each few of the payment methods by themselves: see `budget_of`.
    MOST_BUDGETS = 1024

cdef extern from *:
    const uint64_t YOUNG_BIT "((uint64_t)1 << 63)"
    const uint64_t BUDGET_BITS "((uint64_t)1023)"

cdef struct Edge:
    uint32_t ref        # generation | index + 1; 0 for none
    uint16_t seen       # ticks since the epoch
    uint8_t visits      # hours in which it was seen, up to MOST_VISITS; and AT_HOME
    uint8_t span        # hours from the first visit to the last; saturates

cdef struct Key:        # 64 bits, as aligned as the rest: nothing is lost to padding
    uint32_t low
    uint32_t high

cdef struct Principal:
    Key key
    uint32_t first_s    # seconds since the epoch
    uint32_t last_s
    uint32_t created_s  # seconds since 1970; 0 where that is not known
    uint32_t requests   # all that were ever seen
    float volume        # requests, each halved in weight a day
    uint32_t hours      # bit h: seen in hour h of the last day; above them, requests given outside of clusters
    uint16_t label      # cluster, 0 for none
    uint8_t verdict
    uint8_t traits
    Edge edges[EDGES]

# An identifier is in two halves: what rebuilds walk over, four to a cache line; and what else there is.
cdef struct Identifier:
    uint32_t parent     # of an address its coarse network, of that its block, as an edge names it
    uint16_t meta       # what it is to the operator and to a rebuild | generation << 3 | kind
    uint16_t degree     # principals with an edge here
    uint16_t label      # the cluster that it is an exit or payment method of, 0 for none
    uint16_t mine       # of a place: accounts on payment methods in question
    uint16_t others     # and witnesses beside them
    uint16_t settled    # of those, the witnesses that are not in question in this phase

cdef struct Value:
    Key key
    uint32_t last_s
    # Of an address the last payment methods seen there, as edges name them, the latest first. Of a payment
    # method: see `methods`.
    uint32_t payers[2]


cdef inline void note_created(Principal *p, uint32_t created_s, int64_t now_s) noexcept nogil:
    """Note when an account was created, 0 for not known: the least ever given stands, and none is later than now."""
    created_s = <uint32_t>min(<int64_t>created_s, now_s)
    if created_s and (p.created_s == 0 or created_s < p.created_s):
        p.created_s = created_s


cdef inline uint8_t ages_of(
    const Principal *p, int64_t epoch_s, uint32_t now_s, uint32_t new_s, uint32_t records_s
) noexcept nogil:
    """Return whether an account is known to be new or old: NEW, OLD, or 0.

    One that was seen for long is old. One that was not is new only if it is said when it was created,
    or if records were old when it came.
    """
    cdef int64_t age = now_s - p.first_s
    if p.created_s:
        age = max(age, epoch_s + now_s - <int64_t>p.created_s)
    if age >= new_s:
        return OLD
    return NEW if p.created_s or p.first_s >= 86400 + records_s else 0


cdef inline uint64_t budget_of(uint64_t identity, uint32_t number) noexcept nogil:
    """Return what limits count one of a young cluster's budgets by: the cluster's own identity can be read from it."""
    return identity & ~BUDGET_BITS | YOUNG_BIT | <uint64_t>min(number, <uint32_t>(MOST_BUDGETS - 1))


cdef inline bint is_budget(uint64_t identity, uint8_t verdict) noexcept nogil:
    """Return whether limits count a member by one of its young cluster's budgets."""
    return verdict == CERTAIN and identity & YOUNG_BIT != 0


cdef inline uint64_t whole_of(uint64_t identity, uint8_t verdict) noexcept nogil:
    """Return the cluster's own identity."""
    return identity & ~(YOUNG_BIT | BUDGET_BITS) if is_budget(identity, verdict) else identity


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


cdef extern from "<math.h>" nogil:
    double exp2(double)


cdef inline double volume_of(const Principal *p, uint32_t now_s) noexcept nogil:
    """Return a principal's requests, each halved in weight a day."""
    return p.volume * exp2(-<double>(now_s - p.last_s) / 86400.0)


cdef inline double rate_of(const Principal *p, uint32_t now_s) noexcept nogil:
    """Return requests a day."""
    # The days that `volume` effectively sums over: the integral of the daily halving.
    cdef double span = 1.4426950408889634 * (1.0 - exp2(-<double>(now_s - p.first_s) / 86400.0))
    return volume_of(p, now_s) / max(span, 0.0417)  # an hour at least, lest two requests be a torrent


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


cdef inline int visits_of(const Edge *edge) noexcept nogil:
    return edge.visits & MOST_VISITS


cdef inline bint is_witness(const Principal *p) noexcept nogil:
    """Return whether an account is a witness that an exit is infrastructure: it lives somewhere, or is no newcomer."""
    return p.traits & HOMED or not p.traits & NEW
