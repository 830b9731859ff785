from libc.stdint cimport uint32_t

from ratelimit.core.fitting cimport Fitting
from ratelimit.core.traits cimport Principal

cdef class Dormancy(Fitting):
    cdef void move_dormant(self, Principal *p, uint32_t label) noexcept nogil
