"""Where in an array of principals or identifiers the one with a key lies: open addressing, linear."""

from libc.stdint cimport uint32_t, uint64_t

from ratelimit.core.traits cimport Identifier, Principal

cdef struct Index:
    uint32_t *slots     # position + 1, 0 for empty
    uint32_t mask


cdef inline uint32_t spread(uint64_t key) noexcept nogil:
    # Keys are keyed hashes already; this only folds them.
    return <uint32_t>(key ^ (key >> 32))


cdef inline void put(Index *index, uint64_t key, uint32_t position) noexcept nogil:
    cdef uint32_t at = spread(key) & index.mask
    while index.slots[at]:
        at = (at + 1) & index.mask
    index.slots[at] = position + 1


cdef inline uint32_t *slot_of(Index *index, uint64_t key, uint32_t position) noexcept nogil:
    """Return the slot that leads to a position, or the empty one where it would have been found."""
    cdef uint32_t at = spread(key) & index.mask
    while index.slots[at] and index.slots[at] != position + 1:
        at = (at + 1) & index.mask
    return index.slots + at


cdef inline void drop(
    Index *index, uint64_t key, uint32_t position, Principal *principals, Identifier *identifiers
) noexcept nogil:
    """Take a position out of an index, closing the gap so that no marker is left behind."""
    cdef uint32_t at = <uint32_t>(slot_of(index, key, position) - index.slots), gap, home
    cdef uint64_t other
    if not index.slots[at]:
        return
    gap = at
    while True:
        at = (at + 1) & index.mask
        if not index.slots[at]:
            break
        other = principals[index.slots[at] - 1].key if principals != NULL else identifiers[index.slots[at] - 1].key
        home = spread(other) & index.mask
        # Move it back unless its home lies cyclically in (gap, at].
        if ((at - home) & index.mask) >= ((at - gap) & index.mask):
            index.slots[gap] = index.slots[at]
            gap = at
    index.slots[gap] = 0
