from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <time.h>
    static inline int64_t kin_time(clockid_t which) {
        struct timespec now;
        clock_gettime(which, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    static inline int64_t kin_monotonic(void) { return kin_time(CLOCK_MONOTONIC); }
    static inline int64_t kin_civil(void) { return kin_time(CLOCK_REALTIME); }
    static inline int64_t kin_processor(void) { return kin_time(CLOCK_THREAD_CPUTIME_ID); }
    """
    int64_t kin_monotonic() noexcept nogil
    int64_t kin_civil() noexcept nogil
    int64_t kin_processor() noexcept nogil


cdef class HostClock:
    cdef public int64_t anchor_ns
    cdef public int64_t moved_ns
