from libc.stdint cimport int64_t, uint64_t

cdef enum:
    PARTS = 6

cdef struct Used:
    # What an answer used, in tokens. The cache's writes have those for an hour among them.
    int64_t fresh_input
    int64_t cache_write
    int64_t cache_read
    int64_t output
    int64_t cache_write_1h


cdef class Price:
    cdef uint64_t parts[PARTS]
    cdef Py_hash_t hashed

    cdef int64_t cost(self, const Used *used) noexcept


cdef class PriceList:
    cdef dict prices            # by name
    cdef dict plain             # by name without case
    cdef dict known             # what was found for other names; bounded
    cdef readonly Price dearest
    cdef readonly bint has_free

    cdef Price of(self, object model)
