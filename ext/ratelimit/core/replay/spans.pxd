from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from ratelimit.core.request.address cimport Address
from ratelimit.core.request.scanner cimport Scanner

cdef enum:
    NUMBER = 1 << 31            # in `at`: digits stand there, no text

cdef struct Span:
    uint32_t at                 # where a value begins in the chunk; NUMBER for digits
    int32_t size                # in bytes; -1 where there is none

cdef class Spans:
    cdef bytes chunk
    cdef Spans owner            # of the memory that this is a part of
    cdef bint is_owner
    cdef const uint8_t *text
    cdef Span *spans            # of each member, those of all rows
    cdef uint32_t *starts       # of each row, and where the last one ends
    cdef int64_t *instants
    cdef Address *addresses     # of the member that addresses were read of last
    cdef Address *written       # those that they were carried in, of width 0 where they were not
    cdef uint32_t *like         # the first row with the same text as each: what is made of that one is made once
    cdef int addresses_of
    cdef int width
    cdef Py_ssize_t rows        # of the owner
    cdef readonly Py_ssize_t size

    cdef int take_memory(self) except -1
    cdef Span *of(self, int member) except NULL
    cdef object value(self, const Span *span)
    cdef bint same(self, const Span *one, const Span *other) noexcept
    cdef int read_addresses(self, int member, Scanner scanner) except -1
    cdef int find_like(self, const Span *span) except -1


cdef inline uint64_t digits_of(const uint8_t *at, int32_t size) noexcept nogil:
    cdef uint64_t number = 0
    cdef int32_t i
    for i in range(size):
        number = number * 10 + (at[i] - c"0")
    return number
