from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ratelimit.core.clusters.evidence cimport Evidence
from ratelimit.core.clusters.records cimport EDGES, FINE_EDGES, Identifier, Principal
from ratelimit.core.memory.scratch cimport Scratch

cdef enum:
    DISTINCT = 0xFFFFFFFF   # in `second`: three payment methods or more were seen at a place
    MOST_KEPT = 1 << 14     # principals whose visits are read once a rebuild, and kept: as many as stay near the
    MOST_VISITS_KEPT = 1 << 16  # processor. Of more it is as far to either, so nothing is kept, and takes no memory

cdef struct Visits:         # of a principal lately, at addresses that are no infrastructure
    const uint32_t *refs    # of the addresses, as edges name them
    const uint8_t *hours    # visits at each, and AT_HOME
    int count
    uint32_t all_visits

cdef struct Kept:
    uint32_t key            # half of the principal's: another may have come to its position
    uint32_t first          # of its visits, among those kept
    uint16_t all_visits
    uint8_t count
    uint8_t is_kept

cdef struct Places:         # where a principal was lately and is not at home
    uint32_t at[FINE_EDGES]
    uint16_t visits[FINE_EDGES]
    int count
    uint32_t all_visits     # those at home too

cdef class Pools:
    cdef readonly Evidence evidence
    cdef uint32_t window_ticks
    cdef int slots[EDGES]               # where a principal has what costs: payment methods, and families declared so
    cdef int slot_count
    cdef int kind                       # of the places looked at: addresses or networks
    cdef int least                      # payment methods that meet at a pool exit
    cdef double share                   # part of the accounts there that are in question
    cdef readonly bint by_program       # whether no account pays, and the client program stands for the payer
    cdef uint32_t crowd                 # accounts in question that make a place a pool's
    cdef readonly bint alone            # whether accounts are in question that pay by themselves
    cdef readonly uint32_t count        # identifiers there were at the beginning
    cdef uint32_t *first                # by place: a payment method in question seen there. By method: visits at pool exits
    cdef uint32_t *second               # by place: another, or DISTINCT. By method: all visits
    cdef uint32_t *roots                # by identifier: the forest that groups are trees of
    cdef uint32_t *trees                # by principal: what of the forest it belongs to, counted from 1; 0 for nothing
    cdef uint32_t *suspects             # positions of the principals in question
    cdef readonly uint32_t suspect_count
    cdef uint32_t awake                 # principals there were at the beginning
    cdef uint32_t keeps                 # with more principals than these no visits are kept
    cdef Kept *kept                     # by principal
    cdef uint32_t *kept_refs            # of all visits kept, one principal's after the other's
    cdef uint8_t *kept_hours
    cdef uint32_t kept_most             # principals that there is room for: all, or none
    cdef uint32_t kept_visits           # that there are
    cdef Scratch search                 # `first` and `second`: what only looking for groups takes
    cdef Scratch found                  # the others

    cdef void free(self) noexcept
    cdef void forget(self) noexcept
    cdef uint32_t token_of(self, Principal *p, int flag) noexcept nogil
    cdef void places_of(self, Principal *p, uint32_t at, Places *places) noexcept nogil
    cdef void find_visits(self, Principal *p, uint32_t at, uint32_t *refs, uint8_t *hours, Visits *visits) noexcept nogil
    cdef void read_visits(self, Principal *p, uint32_t *refs, uint8_t *hours, Visits *visits) noexcept nogil
    cdef void await_suspect(self, uint32_t at) noexcept nogil
    cdef bint is_pool(self, uint32_t at) noexcept nogil
    cdef bint is_suspect(self, Principal *p) noexcept nogil
    cdef bint roams(self, Principal *p, Places *places) noexcept nogil
    cdef void note(self, uint32_t at, uint32_t token) noexcept nogil
    cdef void join_places(self, uint32_t one, uint32_t other) noexcept nogil
    cdef uint32_t suspect_at(self, Principal *p, int slot) noexcept nogil


cdef uint32_t pool_visits(const Principal *p, const Places *places, bint by_program) noexcept nogil
