from libc.stdint cimport int64_t

cdef extern from "ratelimit/os_time.h":
    int64_t kin_monotonic() noexcept nogil
    int64_t kin_civil() noexcept nogil
    int64_t kin_processor() noexcept nogil


cdef class HostClock:
    cdef public int64_t anchor_ns
    cdef public int64_t moved_ns
