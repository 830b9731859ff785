from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ratelimit.core.clusters.evidence cimport Evidence
from ratelimit.core.clusters.cluster_index cimport ClusterIndex
from ratelimit.core.clusters.pools cimport Places, Pools
from ratelimit.core.clusters.records cimport Principal
from ratelimit.core.clusters.tally cimport Tally
from ratelimit.core.memory.scratch cimport Scratch

cdef extern from "ratelimit/core/threads/handover.h":
    pass

cdef enum:
    MOST_GROUPS = 2048

cdef class Groups:
    cdef readonly Evidence evidence
    cdef Pools pools
    cdef ClusterIndex cluster_index
    cdef readonly uint32_t count        # groups
    cdef readonly uint32_t left_out     # groups beyond MOST_GROUPS
    cdef uint32_t identifiers           # there were at the beginning
    cdef uint32_t awake
    cdef Tally *tallies                 # by number, from 1
    cdef uint32_t *sizes                # by root: members; then MOST_GROUPS + its number
    cdef uint32_t *owner                # by address: the group that makes most visits
    cdef uint32_t *visits               # by address: those of its owner
    cdef uint16_t *number               # by principal: its group
    cdef Scratch scratch                # all of these
    cdef uint32_t fleet
    cdef uint32_t hub                   # accounts that mostly are at one address, for it to be no home

    cdef void free(self) noexcept
    cdef void forget(self) noexcept
    cdef uint32_t tree_of(self, Principal *p, uint32_t at) noexcept nogil
    cdef void vote(self, uint32_t at, uint32_t group, uint32_t visits) noexcept nogil
    cdef void tally_one(self, Principal *p, uint32_t at) noexcept nogil
    cdef double fit(self, Principal *p, uint32_t at, uint32_t group, bint *roams) noexcept nogil
    cdef bint is_residential(self, uint32_t at) noexcept nogil
    cdef int main_place_of(self, const Places *places) noexcept nogil
    cdef bint is_provable(self, Principal *p) noexcept nogil
    cdef bint is_meeting(self, uint32_t at) noexcept nogil
