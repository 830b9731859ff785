from libc.stdint cimport uint64_t

cdef class Pace:
    cdef uint64_t last_ns
    cdef uint64_t interval_ns
    cdef public bint is_kept_up     # by a thread: nothing is ever due

    cdef bint due(self, object now_ns) noexcept
