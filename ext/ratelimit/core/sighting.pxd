from libc.stdint cimport uint64_t

from ratelimit.core.organisations cimport Organisations
from ratelimit.core.traits cimport KINDS

cdef struct Sighting:
    uint64_t principal
    uint64_t kinds[KINDS]   # hashes by kind, 0 for none; the lowest bit of an address says infrastructure
    bint refused

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
