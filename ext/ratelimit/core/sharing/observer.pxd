from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.clusters.recogniser cimport Recogniser
from ratelimit.core.sharing.assignments cimport Assignments
from ratelimit.core.sharing.ring cimport Ring

cdef class Watch(Recogniser):
    cdef readonly Ring ring
    cdef readonly Assignments assignments

    cdef uint64_t owner(self, uint64_t payment, uint8_t *verdict) noexcept nogil
