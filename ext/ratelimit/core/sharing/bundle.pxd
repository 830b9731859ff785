"""Sightings counted together, on their way to another host.

A record, all numbers little-endian:

    principal 8 | time 4 | count 2 | free 2 | which kinds follow, a bit each 1 | kinds 8 each | created 4

When the account was created follows only where the highest bit of the count says so.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ratelimit.core.clusters.sighting cimport Sighting
from ratelimit.core.clusters.records cimport KINDS

cdef enum:
    MOST_COUNT = 0x7FFF
    CREATED = 0x8000    # in the count
    LEAST_RECORD = 17
    LARGEST_RECORD = LEAST_RECORD + 8 * KINDS + 4

cdef struct Counted:
    uint64_t principal
    uint64_t kinds[KINDS]
    uint32_t time_s
    uint32_t created_s
    uint16_t count      # sightings
    uint16_t free       # sightings that no limit per cluster counted

cdef class Bundle:
    cdef Counted *records
    cdef uint16_t *index        # position + 1, 0 for empty
    cdef readonly uint32_t room
    cdef readonly uint32_t held
    cdef readonly uint64_t sightings
    cdef uint32_t mask

    cdef int check_ready(self) except -1
    cdef Counted *begin(self, const Sighting *seen, uint64_t time_s) noexcept nogil
    cdef void add(self, const Sighting *seen, uint64_t time_s) noexcept nogil
