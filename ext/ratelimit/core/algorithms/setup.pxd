"""A plan as the decision reads it: the rules' numbers in one run of memory, and one charge a rule."""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport Pair
from ratelimit.core.memory.layout cimport Arena
from ratelimit.core.memory.quota cimport Quota
from ratelimit.core.memory.siphash cimport ABSENT_HASH, Sip, mix, sip_finish, sip_start, sip_word

cdef enum:
    MOST_RULES = 16
    MOST_KEYS = 8           # identities in one rule's key
    SKIPPED = 0
    ALLOWED = 1
    REFUSED = 2
    SHADOWED = 3

cdef struct Setup:
    Arena *arena
    Quota quotas[MOST_RULES]
    uint64_t shapes[MOST_RULES]
    uint64_t counters[MOST_RULES]
    uint64_t noted_as[MOST_RULES]   # the counter, and the rule's mark above its 32 bits: see `note_refusal`
    int key_sizes[MOST_RULES]
    bint is_plain[MOST_RULES]  # one identity, of a whole limit
    int key_at[MOST_RULES][MOST_KEYS]
    int member_at[MOST_RULES]
    int cost_at[MOST_RULES]
    int count
    int seat              # of this process; concurrency slots are written with it
    bint has_slots
    bint has_blocks
    uint64_t k0
    uint64_t k1

cdef struct Charge:
    uint64_t key
    uint64_t who        # what `caller_of` says, for when a store elsewhere answers, and for corrections
    uint64_t tag
    uint64_t word       # as this decision left it, or as it was read if refused
    uint64_t past       # of a wide word: that of the window before
    uint64_t mark       # for settlement: see `Check.mark`; log: record index; slots: token; sketch: bit
    uint64_t cost       # as last reported
    uint64_t held       # units counted for it, also those that have drained or left since
    uint64_t live       # of them, units that can still be taken back
    uint64_t aim        # of a store elsewhere: what it is to be settled to,
    uint64_t settled    # what it was settled to last,
    uint64_t target     # what it is being settled to,
    int64_t asked       # and what of that was asked for
    uint64_t remaining  # of blocks; words are asked lazily
    uint64_t reset
    int64_t retry
    int state
    bint charged
    bint is_underway    # a correction was sent and is not answered

cdef struct Look:
    Pair *entry
    uint64_t seen
    uint64_t next


cdef extern from *:
    """
    /* Nearly all keys have one identity: what hashes the others is kept out of the decision's way. */
    #define KIN_USUALLY(what) __builtin_expect((what) != 0, 1)
    """
    bint usually "KIN_USUALLY"(bint what) noexcept nogil


cdef inline uint64_t rule_key(Setup *plan, int i, uint64_t *ids) noexcept nogil:
    """Return the key of rule `i`, or ABSENT_HASH if one of its identities is absent."""
    cdef uint64_t one
    if usually(plan.is_plain[i]):
        one = ids[plan.key_at[i][0]]
        if one == ABSENT_HASH:
            return ABSENT_HASH
        # Both are outputs of a keyed hash: the scramble only has to keep rules apart.
        return mix(one ^ plan.quotas[i].salt)
    one = whole_key(plan, i, ids)
    return mix(one ^ plan.quotas[i].share) if plan.quotas[i].share and one != ABSENT_HASH else one


cdef inline uint64_t whole_key(Setup *plan, int i, uint64_t *ids) noexcept nogil:
    """Return the key that rule `i` has, or the one that it is a share of."""
    cdef Sip sip
    cdef int j
    cdef uint64_t one
    cdef int size = plan.key_sizes[i]
    if size == 1:
        one = ids[plan.key_at[i][0]]
        return ABSENT_HASH if one == ABSENT_HASH else mix(one ^ plan.quotas[i].salt)
    sip_start(&sip, plan.k0, plan.k1)
    sip_word(&sip, plan.quotas[i].salt)
    for j in range(size):
        one = ids[plan.key_at[i][j]]
        if one == ABSENT_HASH:
            return ABSENT_HASH
        sip_word(&sip, one)
    return sip_finish(&sip)


cdef inline uint64_t caller_of(Setup *plan, int i, uint64_t *ids) noexcept nogil:
    """Return what rule `i` counts a request's caller by: the identity's own hash, of several their key."""
    return ids[plan.key_at[i][0]] if plan.key_sizes[i] == 1 else rule_key(plan, i, ids)
