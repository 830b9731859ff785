"""The schedule of upkeep: see the stub for the contract."""

cimport cython
from libc.stdint cimport uint64_t

from ratelimit.core.memory.number cimport WHOLE, read_number


@cython.final
@cython.auto_pickle(False)
cdef class Pace:
    def __cinit__(self, interval_ns, /):
        self.interval_ns = interval_ns
        # Due at once: no time is as near to this as an interval, but the first one of all.
        self.last_ns = <uint64_t>0 - self.interval_ns

    cdef bint due(self, object now_ns) noexcept:
        # noexcept: a time that is no whole number is refused where limits are asked.
        cdef uint64_t now
        if self.is_kept_up or read_number(now_ns, &now) != WHOLE:
            return False
        # Unsigned, so that a clock that stepped back is far away, and upkeep due.
        return now - self.last_ns >= self.interval_ns

    def is_due(self, now_ns, /):
        return self.due(now_ns)

    def done(self, now_ns, bint is_busy, /):
        cdef uint64_t now = now_ns
        self.last_ns = now - self.interval_ns if is_busy else now

    def __reduce__(self):
        raise TypeError("a Pace belongs to one process and is not pickled")
