from libc.stdint cimport uint64_t


cdef class Picker:
    cdef object picked(self, uint64_t *ids, object now_ns)
