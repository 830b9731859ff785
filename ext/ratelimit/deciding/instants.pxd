from libc.stdint cimport int64_t, uint64_t

cdef class Instants:
    cdef readonly object now_ns
    cdef int64_t anchor
    cdef bint is_host

    cdef uint64_t read(self) except? 0xFFFFFFFFFFFFFFFF
