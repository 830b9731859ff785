from libc.math cimport log2
from libc.stdint cimport uint32_t, uint64_t

from ratelimit.core.organisations cimport Organisations
from ratelimit.core.traits cimport KINDS, LEVELS, OCTAVE

cdef struct Sighting:
    uint64_t principal
    uint64_t kinds[KINDS]   # hashes by kind, 0 for none; the lowest bit of an address says infrastructure
    bint refused
    bint free           # admitted, and no limit per cluster counted it, for want of one
    # Of an answer, which is all that there is to be said then: its length as a level, and as what
    # it was said to be before, if it was; both count from 1.
    uint32_t answer     # 0: a request
    uint32_t before

cdef class Columns:
    cdef int principal_at[4]
    cdef int principal_parts
    cdef int kinds_at[KINDS]
    cdef readonly int highest
    cdef int origin_at                  # where rows say from which declared network; -1 for nowhere
    cdef Organisations organisations    # None: none are declared

    cdef int read(self, object row, Sighting *seen) except -1
    cdef bint take(self, const uint64_t *hashes, Sighting *seen) noexcept nogil
    cdef void weed(self, Sighting *seen, uint64_t origin) noexcept nogil
    cdef int principal(self, object row, uint64_t *key) except -1


cdef inline uint32_t level_of(uint64_t length) noexcept nogil:
    """Return an answer's length on a logarithmic scale, from 1."""
    cdef uint32_t level = 1 + <uint32_t>(OCTAVE * log2(<double>length + 1.0) + 0.5)
    return level if level < LEVELS else LEVELS - 1
