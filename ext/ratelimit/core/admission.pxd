from libc.stdint cimport uint32_t

from ratelimit.core.profile cimport Fit
from ratelimit.core.seeds cimport Seeds
from ratelimit.core.traits cimport Principal

cdef class Admission(Seeds):
    cdef bint fits(self, Principal *p, uint32_t label, Fit *fit, double least) noexcept nogil
    cdef bint accepts(self, Principal *p, uint32_t label, Fit *fit, double least) noexcept nogil
    cdef bint is_telling_apart(self, Principal *p, Fit *fit) noexcept nogil
    cdef bint sets_apart(self, Principal *p, Fit *fit, bint stays) noexcept nogil
