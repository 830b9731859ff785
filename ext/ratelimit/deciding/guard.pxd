from libc.stdint cimport uint64_t


cdef class Guard:
    cdef bint stops(self, const uint64_t *ids, uint64_t account, bint is_certain, uint64_t now_ns) noexcept
    cdef int decided(
        self, uint64_t *ids, uint64_t account, bint allowed, object plan, object outcome, object now_ns
    ) except -1
