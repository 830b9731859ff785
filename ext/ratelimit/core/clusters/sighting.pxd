from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.clusters.organisations cimport Organisations
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.clusters.records cimport CERTAIN, EXTRAS, KINDS, LIKELY, is_budget, whole_of

cdef enum:
    # In what a row says of a request's origin: a bit for infrastructure, the public list, the organisation.
    LISTED_AT = 1
    MOST_PUBLIC = 7
    ORGANISATION_AT = 4

    # A row has its actor in four places, so that a limit binds the members it is meant for by what it
    # counts by. They are side by side, and known by the last. At -3: one of a young cluster's budgets; at -2: of a
    # member, likely or certain; at -1: of a likely one; the last: of a certain one, unless limits ask for young ones.
    PLACES = 4
    YOUNG_BEFORE = 3

cdef struct Sighting:
    uint64_t principal
    uint64_t kinds[KINDS]   # hashes by kind, 0 for none; the lowest bit of an address says infrastructure
    bint free           # admitted, and no limit per cluster counted it, for want of one
    uint32_t created_s  # when the account was created, in seconds since 1970; 0 for not known

cdef class Columns:
    cdef int principal_at[4]
    cdef int principal_parts
    cdef int kinds_at[KINDS]
    cdef readonly int highest
    cdef readonly tuple costly          # further families that cost an attacker as payment methods do
    cdef bint is_costly[EXTRAS]
    cdef bint requires_names            # whether the application is to say anything of its accounts
    cdef readonly int created_at        # where rows say when the account was created; -1 for nowhere
    cdef public bint tells_young        # whether a limit counts young clusters by budgets of their own
    cdef int origin_at                  # where rows say from which declared network; -1 for nowhere
    cdef Organisations organisations    # None: none are declared

    cdef bint is_named(self, const Sighting *seen) noexcept nogil
    cdef int read(self, object row, Sighting *seen) except -1
    cdef bint take(self, const uint64_t *hashes, Sighting *seen) noexcept nogil
    cdef void apply_declared(self, Sighting *seen, uint64_t origin) noexcept nogil
    cdef int principal(self, object row, uint64_t *key) except -1
    cdef uint64_t payment_in(self, object row) except? 0


cdef inline void stamp_actor(uint64_t *ids, int at, uint8_t verdict, uint64_t identity, bint tells_young) noexcept nogil:
    """Write an actor into hashes by position; `at` is the last of its four places."""
    cdef uint64_t actor = whole_of(identity, verdict)
    cdef bint is_young = tells_young and is_budget(identity, verdict)
    ids[at - 3] = identity if is_young else ABSENT_HASH
    ids[at - 2] = actor if verdict else ABSENT_HASH
    ids[at - 1] = actor if verdict == LIKELY else ABSENT_HASH
    ids[at] = actor if verdict == CERTAIN and not is_young else ABSENT_HASH


cdef int enter_actor(list row, int at, uint8_t verdict, uint64_t identity, bint tells_young) except -1
