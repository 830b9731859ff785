from libc.stdint cimport uint64_t

from ratelimit.core.sharing.flight cimport Minute
from ratelimit.core.sharing.inflight cimport InFlight


cdef class Heaviest:
    cdef InFlight flight

    cdef Minute *minute(self, uint64_t number) noexcept
    cdef void add(self, uint64_t principal, uint64_t units, uint64_t now) noexcept
    cdef double lighter(self, uint64_t principal, uint64_t now) noexcept
