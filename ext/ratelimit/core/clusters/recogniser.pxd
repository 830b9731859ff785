from libc.stdint cimport uint32_t, uint64_t

from ratelimit.core.clusters.cluster_index cimport ClusterIndex
from ratelimit.core.clusters.sighting cimport Columns

cdef class Recogniser:
    cdef Columns columns
    cdef readonly int at        # the last of an actor's four places
    cdef readonly int highest   # of any position it reads or writes

    cdef int set_up(self, Columns columns, int at) except -1
    cdef uint64_t stamp(self, uint64_t *ids) noexcept
    cdef uint64_t enter(self, uint64_t *ids, object now_ns) noexcept
    cdef void note(self, uint64_t *ids, bint refused, object now_ns, int counted_at) noexcept
    cdef bint is_free(self, const uint64_t *ids, int counted_at) noexcept
    cdef uint64_t principal_in(self, const uint64_t *ids) noexcept


cdef class AtOnce(Recogniser):
    cdef readonly ClusterIndex index
    cdef public bint is_entered     # the correlator has seen the request that is under way
    cdef uint32_t place             # of its account, then; NOBODY for none
