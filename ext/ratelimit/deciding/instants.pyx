"""A limiter's clock without an object of Python's for each reading: see the stub for the contract."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.sharing.flight cimport instant

from ratelimit.clock import SystemClock

cdef extern from *:
    """
    #include <time.h>
    #if defined(__linux__)
    /* What `time.monotonic_ns` reads. */
    static int kin_monotonic(int64_t *found) {
        struct timespec now;
        if (clock_gettime(CLOCK_MONOTONIC, &now)) { return 0; }
        *found = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
        return 1;
    }
    #else
    static int kin_monotonic(int64_t *found) { (void)found; return 0; }
    #endif
    """
    bint kin_monotonic(int64_t *found) noexcept


@cython.final
@cython.auto_pickle(False)
cdef class Instants:
    def __init__(self, clock):
        cdef int64_t tried
        self.now_ns = clock.now_ns
        if type(clock) is SystemClock and kin_monotonic(&tried):
            self.anchor = clock.anchor_ns
            self.is_host = True

    cdef uint64_t read(self) except? 0xFFFFFFFFFFFFFFFF:
        cdef int64_t now
        if self.is_host and kin_monotonic(&now):
            return <uint64_t>(now + self.anchor)
        return instant(self.now_ns())

    def read_ns(self):
        return self.read()

    def __reduce__(self):
        raise TypeError("a clock of this host is not pickled")
