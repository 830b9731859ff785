"""The share of each account in what goes on, by cells of a sketch: see `shares`."""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport fetch_add, load
from ratelimit.core.sharing.flight cimport SHARE_CELLS, SHARE_ROWS, ShareMemory

cdef enum:
    UNIT = 1024             # a request of one unit
    MOST_SHARE_UNITS = 4096  # of one request


cdef inline int cell_of(uint64_t account, int row) noexcept:
    return row * SHARE_CELLS + <int>(account >> (32 * row) & (SHARE_CELLS - 1))


cdef inline void count(uint64_t *cells, uint64_t account, uint64_t units) noexcept:
    """Count what an account was served, or what of it was shed; noexcept: additions to cells that are there."""
    cdef int row
    if account:
        for row in range(SHARE_ROWS):
            fetch_add(&cells[cell_of(account, row)], UNIT * min(units, <uint64_t>MOST_SHARE_UNITS))


cdef inline bint over_share(ShareMemory *shares, uint64_t account, uint64_t units) noexcept:
    """Return whether an account has had its share: its cell of each row was served as much as is even; noexcept: loads."""
    cdef int row, at
    cdef uint64_t level
    if not account:
        return False
    for row in range(SHARE_ROWS):
        level, at = load(&shares.level[row]), cell_of(account, row)
        if not level or load(&shares.served[at]) + load(&shares.served_elsewhere[at]) + units * UNIT // 2 <= level:
            return False
    return True
