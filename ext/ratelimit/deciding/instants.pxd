from libc.stdint cimport uint64_t

from ratelimit.environment.os_time cimport HostClock


cdef class Instants:
    cdef readonly object now_ns
    cdef HostClock host

    cdef uint64_t read(self) except? 0xFFFFFFFFFFFFFFFF
    cdef object now(self)
