"""A limiter's clock without an object of Python's for each reading: see the stub for the contract."""

cimport cython
from libc.stdint cimport uint64_t

from ratelimit.core.sharing.flight cimport instant
from ratelimit.environment.os_time cimport kin_monotonic

from ratelimit.clock import SystemClock


@cython.final
@cython.auto_pickle(False)
cdef class Instants:
    def __init__(self, clock):
        self.now_ns = clock.now_ns
        self.host = clock if type(clock) is SystemClock else None

    cdef uint64_t read(self) except? 0xFFFFFFFFFFFFFFFF:
        if self.host is not None:
            return <uint64_t>(kin_monotonic() + self.host.anchor_ns + self.host.moved_ns)
        return instant(self.now_ns())

    cdef object now(self):
        """Return the time as the clock's own `now_ns` does."""
        if self.host is not None:
            return kin_monotonic() + self.host.anchor_ns + self.host.moved_ns
        return self.now_ns()

    def read_ns(self):
        return self.read()

    def __reduce__(self):
        raise TypeError("a clock of this host is not pickled")
