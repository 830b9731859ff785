from libc.stdint cimport int32_t, uint16_t, uint32_t

from ratelimit.core.clusters.evidence cimport Evidence
from ratelimit.core.clusters.pools cimport Places, Pools

cdef struct Visits:         # of a place: of its two leading labels
    uint16_t mine
    uint16_t others

cdef union Balance:
    Visits visits
    int32_t number          # of a label: what speaks for mingling
    uint32_t elsewhere      # then visits where any other is, or CLOSED

cdef struct Seat:           # of an identifier, in one piece: turns look at as many as there are visits, in no order
    uint32_t first          # of a place: a leading label. Of a label: the one it chose, by a vote
    uint32_t second         # of a place: the other. Of a label: that vote's weight, later visits where the chosen one is
    Balance balance

cdef class Communities:
    cdef readonly Evidence evidence
    cdef Pools pools
    cdef int kind               # of the places looked at
    cdef uint32_t *known        # by suspect: which of its edges lead to such places; above these bits, all its visits
    cdef Seat *seats            # by identifier

    cdef uint32_t label_at(self, uint32_t at) noexcept nogil
    cdef void free(self) noexcept
    cdef void expect(self, uint32_t at) noexcept nogil
    cdef void places_at(self, uint32_t at, Places *places) noexcept nogil
    cdef uint32_t label_of(self, uint32_t method) noexcept nogil
    cdef bint is_method(self, uint32_t at) noexcept nogil
    cdef double part_of(self, uint32_t at) noexcept nogil
    cdef uint32_t main_label(self, uint32_t at) noexcept nogil
