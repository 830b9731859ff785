"""Assignments on their way to another host: pairs of a principal's key and its cluster.

    key, as entries have it 6 | verdict 1 | 0 | identity 8; all ones: no cluster

Little-endian, whatever the host is.
"""

from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.memory.atomic cimport Pair
from ratelimit.core.clusters.records cimport CERTAIN, NO_VERDICT

cdef enum:
    PAIR = 16
    KEY_BITS = 48

cdef extern from *:
    const uint64_t NOBODY "((uint64_t)-1)"


cdef inline uint64_t tag_of(uint64_t key) noexcept nogil:
    """Return what entries have of a key; of what this returned, the same."""
    return key & (((<uint64_t>1) << KEY_BITS) - 1)


cdef inline void put(uint8_t *at, uint64_t key, uint64_t identity) noexcept nogil:
    cdef int i
    for i in range(8):
        at[i] = <uint8_t>(key >> 8 * i)
        at[8 + i] = <uint8_t>(identity >> 8 * i)


cdef inline Pair got(const uint8_t *at) noexcept nogil:
    cdef Pair pair
    cdef int i
    pair.tag = pair.word = 0
    for i in range(8):
        pair.tag |= <uint64_t>at[i] << 8 * i
        pair.word |= <uint64_t>at[8 + i] << 8 * i
    return pair


cdef inline uint64_t marked(uint64_t key, uint8_t verdict) noexcept nogil:
    """Return a key with a verdict, as pairs have it."""
    return tag_of(key) | <uint64_t>verdict << KEY_BITS


cdef inline uint8_t verdict_in(const Pair *pair) noexcept nogil:
    """Return a pair's verdict; of one that contradicts itself, that there is none."""
    cdef uint64_t verdict = pair.tag >> KEY_BITS
    return <uint8_t>verdict if pair.word != NOBODY and verdict <= CERTAIN else NO_VERDICT
