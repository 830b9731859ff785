"""An index by key into an array of principals or identifiers: open addressing, linear.

A slot has the position and, in the bits that a position does not need, some of the key's. A walk
passes by what is not meant without looking at it. So a walk may be longer, and the index smaller:
four fifths of it are in use when the array is full.
"""

from cpython.mem cimport PyMem_RawCalloc
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.clusters.records cimport Key, joined

cdef struct HashIndex:
    uint32_t *slots     # tag << bits | position + 1, 0 for empty
    uint32_t size
    uint32_t bits       # that a position takes


cdef inline void open_index(HashIndex *index, uint32_t entries):
    """Take memory for an index of so many entries, fewer than 2**31; `slots` is NULL when there is none."""
    index.bits = 1
    while entries >> index.bits:
        index.bits += 1
    index.size = entries + entries // 4 + 16
    index.slots = <uint32_t *>PyMem_RawCalloc(index.size, sizeof(uint32_t))


cdef inline uint32_t spread(uint64_t key) noexcept nogil:
    # Keys are keyed hashes already; this only folds them, and makes do with those of tests.
    return <uint32_t>(key ^ (key >> 32)) * <uint32_t>0x9E3779B1


cdef inline uint32_t home_of(const HashIndex *index, uint64_t key) noexcept nogil:
    return <uint32_t>((<uint64_t>spread(key) * index.size) >> 32)


cdef inline uint32_t tag_of(const HashIndex *index, uint64_t key) noexcept nogil:
    """Return those bits of a slot that do not say a position: of the key what its home does not say."""
    return spread(key) << index.bits


cdef inline uint32_t after(const HashIndex *index, uint32_t at) noexcept nogil:
    return at + 1 if at + 1 < index.size else 0


cdef inline uint32_t position_in(const HashIndex *index, uint32_t slot) noexcept nogil:
    return (slot & ((<uint32_t>1 << index.bits) - 1)) - 1


cdef inline void put(HashIndex *index, uint64_t key, uint32_t position) noexcept nogil:
    cdef uint32_t at = home_of(index, key)
    while index.slots[at]:
        at = after(index, at)
    index.slots[at] = tag_of(index, key) | (position + 1)


cdef inline uint32_t slot_of(const HashIndex *index, uint64_t key, uint32_t position) noexcept nogil:
    """Return the slot that leads to a position, or the empty one where it would have been found."""
    cdef uint32_t at = home_of(index, key), wanted = tag_of(index, key) | (position + 1)
    while index.slots[at] and index.slots[at] != wanted:
        at = after(index, at)
    return at


cdef inline void move(HashIndex *index, uint64_t key, uint32_t position, uint32_t to) noexcept nogil:
    """Let the key that leads to a position lead to another."""
    index.slots[slot_of(index, key, position)] = tag_of(index, key) | (to + 1)


cdef inline void drop(
    HashIndex *index, uint64_t key, uint32_t position, const uint8_t *entries, size_t entry_bytes
) noexcept nogil:
    """Take a position out of an index, closing the gap so that no marker is left behind.

    Each entry of the array that it is over begins with its key.
    """
    cdef uint32_t gap = slot_of(index, key, position), at = gap, home, other
    if not index.slots[gap]:
        return
    while True:
        at = after(index, at)
        if not index.slots[at]:
            break
        other = position_in(index, index.slots[at])
        home = home_of(index, joined((<const Key *>(entries + other * entry_bytes))[0]))
        # Move it back unless its home lies cyclically in (gap, at].
        if not (gap < home <= at if gap < at else gap < home or home <= at):
            index.slots[gap] = index.slots[at]
            gap = at
    index.slots[gap] = 0
