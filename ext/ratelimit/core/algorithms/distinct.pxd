"""Distinct count: a bitmap of at least sixteen bits a member (linear counting, Whang et al. 1990).

A member with a set bit was seen, or shares the bit of one that was. The chance of that
is at most 1 in 16 at the limit, and less before. So never fewer than N distinct members
are admitted, and about N (1 + 1/32) on average before the first refusal.
"""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport cas, fetch_and, fetch_or, load
from ratelimit.core.memory.layout cimport BLOCK_HEAD_BYTES, Block
from ratelimit.core.memory.quota cimport Quota
from ratelimit.core.memory.siphash cimport mix


cdef inline uint64_t sketch_bits(uint64_t members) noexcept nogil:
    """Return the bitmap size: at least 16 bits a member keeps two members on one bit rare."""
    cdef uint64_t bits = 64
    while bits < 16 * members:
        bits *= 2
    return bits


cdef inline uint64_t *sketch_word(Block *block, uint64_t bit) noexcept nogil:
    return <uint64_t *>(<char *>block + BLOCK_HEAD_BYTES) + (bit >> 6)


cdef inline uint64_t sketch_bit(const Quota *quota, Block *block, uint64_t member) noexcept nogil:
    cdef uint64_t bit = mix(member) & (load(&block.base) - 1)
    # Only a block that changes hands at this moment, or is damaged, has other numbers: stay inside it.
    return bit if bit < 128 * quota.places else 0


cdef inline bint sketch_has(Block *block, uint64_t bit) noexcept nogil:
    return (load(sketch_word(block, bit)) >> (bit & 63)) & 1


cdef inline int sketch_add(Block *block, uint64_t bit, uint64_t units) noexcept nogil:
    """Return 1 if the bit was set now, 0 if it was set already, -1 if the sketch is full.

    Counts first, then sets: a worker killed in between leaves the count one too
    high, which errs towards the limit.
    """
    cdef uint64_t members
    while True:
        if sketch_has(block, bit):
            return 0
        members = load(&block.head)
        if members >= units:
            return 0 if sketch_has(block, bit) else -1
        if cas(&block.head, members, members + 1):
            break
    if (fetch_or(sketch_word(block, bit), <uint64_t>1 << (bit & 63)) >> (bit & 63)) & 1:
        sketch_uncount(block)
        return 0
    return 1


cdef inline void sketch_uncount(Block *block) noexcept nogil:
    cdef uint64_t members
    while True:
        members = load(&block.head)
        if members == 0 or cas(&block.head, members, members - 1):
            return


cdef inline void sketch_remove(Block *block, uint64_t bit) noexcept nogil:
    """Forget a member; only for undoing an addition of this very decision."""
    if (fetch_and(sketch_word(block, bit), ~(<uint64_t>1 << (bit & 63))) >> (bit & 63)) & 1:
        sketch_uncount(block)
