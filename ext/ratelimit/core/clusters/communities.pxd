from libc.stdint cimport uint32_t

from ratelimit.core.clusters.evidence cimport Evidence
from ratelimit.core.clusters.pools cimport Pools
from ratelimit.core.memory.scratch cimport Scratch

cdef class Communities:
    cdef readonly Evidence evidence
    cdef Pools pools
    cdef int kind               # of the places looked at
    cdef uint32_t *balance      # by label: what speaks for mingling, as int32; then visits where others are, or CLOSED
    cdef Scratch scratch        # that

    cdef uint32_t label_of(self, uint32_t method) noexcept nogil
    cdef bint is_place(self, uint32_t at) noexcept nogil
    cdef bint is_method(self, uint32_t at) noexcept nogil
    cdef uint32_t other_at(self, uint32_t at, uint32_t label) noexcept nogil
    cdef double part_of(self, uint32_t at) noexcept nogil
    cdef uint32_t main_label(self, uint32_t at) noexcept nogil
