"""A stage's pick of a plan, compiled: see the stub."""

cimport cython
from libc.stdint cimport uint64_t

from ratelimit.core.request.scanner cimport MOST_POSITIONS


@cython.auto_pickle(False)
cdef class Picker:
    cdef object picked(self, uint64_t *ids, object now_ns):
        """Return the plan that is asked for identities, which reach as far as the policy's."""
        raise NotImplementedError

    cdef int charged(self, uint64_t *ids, object plan, object outcome, object now_ns) except -1:
        """Take note that a request was charged."""
        return 0

    cdef int refused(self, uint64_t *ids, object plan, object outcome, object now_ns) except -1:
        """Take note that a request was refused by limits."""
        return 0

    cdef void look_ahead(self, uint64_t **columns, Py_ssize_t row) noexcept nogil:
        """Have the memory fetched that a pick for a row of columns will read: a hint, which changes nothing."""

    def plan_for(self, list row not None, now_ns, /):
        cdef uint64_t ids[MOST_POSITIONS]
        fill(row, ids)
        return self.picked(ids, now_ns)

    def note(self, list row not None, plan, outcome, now_ns, /):
        cdef uint64_t ids[MOST_POSITIONS]
        fill(row, ids)
        self.charged(ids, plan, outcome, now_ns)

    def __reduce__(self):
        raise TypeError("a picker is bound to a policy at work and is not pickled")
