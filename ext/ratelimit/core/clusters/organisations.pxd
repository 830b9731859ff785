from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.clusters.keymap cimport KeyMap
from ratelimit.core.clusters.records cimport KINDS

cdef class Organisations:
    cdef KeyMap accounts        # principals to organisations, counted from 1
    cdef KeyMap payments
    cdef uint8_t *membership    # by organisation: by what its members are told
    cdef readonly uint32_t count

    cdef uint32_t of(self, uint64_t principal, uint64_t payment, uint32_t here) noexcept nogil
    cdef void mask_shared(self, uint64_t principal, uint64_t *kinds, uint32_t here) noexcept nogil
