from libc.stdint cimport uint32_t, uint64_t

from ratelimit.core.assignments cimport Assignments
from ratelimit.core.ring cimport Ring
from ratelimit.core.sighting cimport Columns

cdef class Watch:
    cdef readonly Ring ring
    cdef readonly Assignments assignments
    cdef Columns columns
    cdef readonly int at        # the last of an actor's three places
    cdef readonly int highest   # of any position it reads or writes
    cdef readonly str unit      # says how long an answer was; None: nothing does

    cdef uint64_t stamp(self, uint64_t *ids) noexcept
    cdef bint vouched(self, uint64_t payment) noexcept
    cdef void note(self, uint64_t *ids, bint refused, object now_ns, int counted_at) noexcept
    cdef Answer answer_to(self, uint64_t principal)


cdef class Answer:
    cdef Watch watch
    cdef uint64_t principal
    cdef uint32_t level         # as it was told last; 0: not yet
