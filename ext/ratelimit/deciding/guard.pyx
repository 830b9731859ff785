"""A stage's part in the compiled decider: see the stub."""

cimport cython
from libc.stdint cimport uint64_t


@cython.auto_pickle(False)
cdef class Guard:
    cdef bint stops(self, const uint64_t *ids, uint64_t account, bint is_certain, uint64_t now_ns) noexcept:
        """Return whether Python has to decide a request of an account; noexcept: a look into memory that is there."""
        return False

    cdef int decided(
        self, uint64_t *ids, uint64_t account, bint allowed, object plan, object outcome, object now_ns
    ) except -1:
        """Take note of what limits decided."""
        return 0

    def __reduce__(self):
        raise TypeError("a guard is bound to memory of this host and is not pickled")
