from libc.stdint cimport uint64_t

from ratelimit.core.layout cimport Arena

cdef class Table:
    cdef Arena arena
    cdef object memory     # keeps the buffer's owner alive
    cdef Py_buffer buffer
    cdef bint open
    cdef readonly bint fresh
    cdef int seat_number   # -1 until joined
    cdef bint seat_shared

    cdef int attach(self, object now_ns, bytes boot_id, object anchor_ns, bytes key, uint64_t pages) except -1
    cdef object sit(self, uint64_t i, uint64_t since, uint64_t now)
    cdef uint64_t relative(self, object now_ns) except? 0xFFFFFFFFFFFFFFFF
    cdef void bump(self, uint64_t row, uint64_t column, uint64_t amount) noexcept nogil
    cdef uint64_t shape_of(self, uint64_t period_s) except? 0xFFFFFFFFFFFFFFFF
    cdef int check_open(self) except -1
