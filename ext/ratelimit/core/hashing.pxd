from libc.stdint cimport uint32_t, uint64_t

cdef class Hasher:
    cdef uint64_t k0
    cdef uint64_t k1

    cdef uint64_t hash_value(self, uint64_t kind, object value) except? 0
