"""A histogram of times in a table's cells: see the stub for the contract."""

cimport cython
from libc.stdint cimport uint64_t

from ratelimit.core.memory.layout cimport COLUMNS, COUNTERS
from ratelimit.core.memory.table cimport Table, bump

cdef enum:
    MOST_BOUNDS = 32


@cython.final
@cython.auto_pickle(False)
cdef class Timings:
    cdef Table table
    cdef int bounds
    cdef uint64_t bounds_ns[MOST_BOUNDS]
    cdef uint64_t buckets[MOST_BOUNDS + 1][2]   # counter and column of each, the last beyond all bounds
    cdef uint64_t total[2]
    cdef uint64_t counted[2]

    def __cinit__(self, Table table not None, bounds_ns, buckets, total, counted, /):
        cdef int at
        self.table = table
        if not 0 < len(bounds_ns) <= MOST_BOUNDS or len(buckets) != len(bounds_ns) + 1:
            raise ValueError(f"from 1 to {MOST_BOUNDS} bounds, and one bucket more")
        self.bounds = <int>len(bounds_ns)
        for at in range(self.bounds):
            self.bounds_ns[at] = bounds_ns[at]
        for at in range(self.bounds + 1):
            take_cell(self.buckets[at], buckets[at])
        take_cell(self.total, total)
        take_cell(self.counted, counted)

    def add(self, uint64_t counted, elapsed_ns, /):
        cdef uint64_t elapsed = elapsed_ns if elapsed_ns > 0 else 0
        cdef int at = 0
        if not self.table.open:
            return
        while at < self.bounds and elapsed > self.bounds_ns[at]:
            at += 1
        bump(self.table, self.counted[0], self.counted[1], counted)
        bump(self.table, self.buckets[at][0], self.buckets[at][1], 1)
        bump(self.table, self.total[0], self.total[1], elapsed)

    def __reduce__(self):
        raise TypeError("counters lie in memory of this host and are not pickled")


cdef int take_cell(uint64_t *cell, object place) except -1:
    """Read the counter and the column of a cell."""
    cell[0], cell[1] = place
    if cell[0] >= COUNTERS or cell[1] >= COLUMNS:
        raise IndexError(f"there are {COUNTERS} counters of {COLUMNS} columns")
    return 0
