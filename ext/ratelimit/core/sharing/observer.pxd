from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.sharing.assignments cimport Assignments
from ratelimit.core.sharing.ring cimport Ring
from ratelimit.core.clusters.sighting cimport Columns

cdef class Watch:
    cdef readonly Ring ring
    cdef readonly Assignments assignments
    cdef Columns columns
    cdef readonly int at        # the last of an actor's three places
    cdef readonly int highest   # of any position it reads or writes

    cdef uint64_t stamp(self, uint64_t *ids) noexcept
    cdef uint64_t owner(self, uint64_t payment, uint8_t *verdict) noexcept nogil
    cdef int mark_hashes(self, uint64_t *ids, object now_ns) except -1
    cdef void note(self, uint64_t *ids, bint refused, object now_ns, int counted_at) noexcept
