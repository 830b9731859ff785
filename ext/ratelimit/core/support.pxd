from libc.stdint cimport uint32_t

from ratelimit.core.census cimport Census
from ratelimit.core.traits cimport Identifier, Principal

cdef class Support(Census):
    cdef void bridge_one(self, Principal *p) noexcept nogil
    cdef void weigh(self, Identifier *node, uint32_t payment) noexcept nogil
    cdef bint is_meeting(self, Identifier *node, uint32_t label, int least) noexcept nogil
    cdef void support_one(self, Principal *p) noexcept nogil
