from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ratelimit.core.clusters.evidence cimport Evidence
from ratelimit.core.clusters.judge cimport Judge
from ratelimit.core.clusters.pools cimport Places, Pools
from ratelimit.core.clusters.records cimport Identifier, Principal

cdef extern from "ratelimit/core/threads/handover.h":
    pass

cdef enum:
    MOST_GROUPS = 2048
    WEIGHTS = 20        # octaves of visits to one exit
    PARTS_OF_DAY = 4

cdef struct Tally:          # of one group
    uint32_t members
    uint32_t methods        # payment methods that are proven
    uint32_t loners         # members that pay by themselves
    uint32_t homed
    uint32_t seen           # members that would have come home by now
    uint32_t fresh          # known to be new
    uint32_t old
    uint32_t settled
    uint32_t active[PARTS_OF_DAY]
    double visits           # at exits that are mostly the group's
    float weighed[WEIGHTS]  # of those visits, by the octave of an exit's own
    float squares[WEIGHTS]
    double exclusive        # of each visit the part of the accounts there that are members, or testify to nothing
    double among_people     # of those visits, in blocks where people live
    uint32_t exits
    uint32_t capped         # no more than 256 of a network
    uint32_t sole           # exits that no witness uses
    double in_networks      # visits in networks where most are the group's; and their squares, by network
    double network_squares
    bint is_fleet           # on one payment method, which meets no other
    double rate             # requests a day
    uint32_t former         # the cluster that most members were in
    uint32_t votes

cdef class Groups:
    cdef readonly Evidence evidence
    cdef Pools pools
    cdef Judge judge
    cdef readonly uint32_t count        # groups
    cdef uint32_t identifiers           # there were at the beginning
    cdef uint32_t awake
    cdef Tally *tallies                 # by number, from 1
    cdef uint32_t *sizes                # by root: members; then MOST_GROUPS + its number
    cdef uint32_t *owner                # by address: the group that makes most visits
    cdef uint32_t *visits               # by address: those of its owner
    cdef uint16_t *number               # by principal: its group
    cdef uint32_t fleet

    cdef void free(self) noexcept
    cdef uint32_t tree_of(self, Principal *p, uint32_t at) noexcept nogil
    cdef void vote(self, uint32_t at, uint32_t group, uint32_t visits) noexcept nogil
    cdef void tally_one(self, Principal *p, uint32_t at) noexcept nogil
    cdef double fit(self, Principal *p, uint32_t group, bint *roams) noexcept nogil
    cdef bint is_lived_in(self, uint32_t at) noexcept nogil
    cdef bint is_provable(self, Principal *p) noexcept nogil
    cdef bint is_meeting(self, uint32_t at) noexcept nogil
