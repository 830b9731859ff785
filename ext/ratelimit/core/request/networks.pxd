from libc.stdint cimport uint32_t, uint64_t

from ratelimit.core.request.address cimport Address

cdef enum:
    MOST_FIELDS = 4

cdef struct High:
    uint64_t high           # the first 64 bits of an IPv6 address
    uint64_t low

cdef class Networks:
    cdef uint32_t *v4       # where runs of addresses begin that have one number, in order
    cdef High *v6
    cdef uint64_t *v4_numbers
    cdef uint64_t *v6_numbers
    cdef Py_ssize_t v4_count
    cdef Py_ssize_t v6_count
    cdef uint64_t fields[MOST_FIELDS]
    cdef int field_count

    cdef uint64_t of(self, const Address *address, const Address *written) noexcept nogil
    cdef uint64_t of_one(self, const Address *address) noexcept nogil
