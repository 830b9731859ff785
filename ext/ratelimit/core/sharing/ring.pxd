from libc.stdint cimport uint64_t

from ratelimit.core.sharing.board cimport Board, Cell
from ratelimit.core.clusters.sighting cimport Columns, Sighting

cdef enum:
    NOTHING = 0
    TAKEN = 1
    PASSED = 2              # a cell without a sighting was stepped over

cdef class Ring:
    cdef readonly Board board
    cdef readonly Columns columns
    cdef uint64_t mask
    # The consumer's own: since when it waits, and for tickets below which one.
    cdef uint64_t waits_since
    cdef uint64_t waits_until

    cdef int check_ready(self) except -1
    cdef bint push(self, Sighting *seen, uint64_t time_s) noexcept nogil
    cdef int pop(self, Sighting *seen, uint64_t *time_s, uint64_t now) noexcept nogil
    cdef int wait(self, Cell *cell, uint64_t ticket, uint64_t now) noexcept nogil
