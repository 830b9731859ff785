from libc.stdint cimport int64_t

from ratelimit.usage.prices cimport Used
from ratelimit.usage.reader cimport Reader

cdef enum:
    NOT_KNOWN = 0
    AT_LEAST = 1
    EXACT = 2

cdef class Usage:
    cdef Used used


cdef class UsageReading:
    cdef readonly str certainty
    cdef readonly Usage usage
    cdef readonly bint has_input


cdef Reader reader_for(object shape, bytes content_type, bint is_encoded)
cdef int64_t output_so_far(Reader reader) noexcept
cdef bint used_so_far(Reader reader, Used *used) noexcept
cdef int read_end(Reader reader, bint is_complete, int64_t unread, Used *used, bint *has_input) except -1
