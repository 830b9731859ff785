from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.clusters.keymap cimport KeyMap
from ratelimit.core.clusters.records cimport KINDS

cdef class Organisations:
    cdef KeyMap accounts        # principals to organisations, counted from 1
    cdef KeyMap payments        # and networks, without their lowest bits: there sightings tell what is declared
    cdef uint8_t *membership    # by organisation: by what its members are told
    cdef readonly uint32_t count

    cdef uint32_t at(self, const uint64_t *kinds) noexcept nogil
    cdef uint32_t of(self, uint64_t principal, uint64_t payment, uint32_t here) noexcept nogil
    cdef void mask_shared(self, uint64_t principal, uint64_t *kinds, uint32_t here) noexcept nogil
