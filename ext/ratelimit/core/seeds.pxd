from libc.stdint cimport uint32_t

from ratelimit.core.support cimport Support
from ratelimit.core.traits cimport Identifier, Principal

cdef class Seeds(Support):
    cdef void plant_all(self) noexcept nogil
    cdef bint is_telling(self, Identifier *client, double rare) noexcept nogil
    cdef void mark_addresses(self, Principal *p) noexcept nogil
    cdef int meetings_of(self, Principal *p, double share) noexcept nogil
    cdef void mark(self, Identifier *node) noexcept nogil
    cdef void meet(self, uint32_t seed, Identifier *node, double share, int least) noexcept nogil
