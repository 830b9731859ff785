"""A stage's pick of a plan, compiled: see the stub."""

cimport cython
from libc.stdint cimport uint64_t

from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.request.scanner cimport MOST_POSITIONS


@cython.auto_pickle(False)
cdef class Picker:
    cdef object picked(self, uint64_t *ids, object now_ns):
        """Return the plan that is asked for identities, which reach as far as the policy's."""
        raise NotImplementedError

    def plan_for(self, list row not None, now_ns, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t number
        cdef int at = 0
        if len(row) > MOST_POSITIONS:
            raise ValueError(f"there are at most {MOST_POSITIONS} identities")
        for at in range(MOST_POSITIONS):
            ids[at] = ABSENT_HASH
            if at < len(row) and read_number(row[at], &number) == WHOLE:
                ids[at] = number
        return self.picked(ids, now_ns)

    def __reduce__(self):
        raise TypeError("a picker is bound to a policy at work and is not pickled")
