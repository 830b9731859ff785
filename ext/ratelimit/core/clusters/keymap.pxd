"""A fixed map from 64-bit hashes to small numbers: made once, then only looked into.

Keys are keyed hashes already and need no further mixing. At most half full, so that a
look-up of what is not there ends soon.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport uint32_t, uint64_t

cdef struct KeyMap:
    uint64_t *keys
    uint32_t *values    # 0 for an empty place
    uint32_t mask


cdef inline int keymap_open(KeyMap *map, size_t count) except -1:
    """Take memory for `count` keys; the map is zeroed or was closed before."""
    cdef size_t size = 8
    while size < 2 * count:
        size *= 2
    map.keys = <uint64_t *>PyMem_RawCalloc(size, sizeof(uint64_t))
    map.values = <uint32_t *>PyMem_RawCalloc(size, sizeof(uint32_t))
    if map.keys == NULL or map.values == NULL:
        keymap_close(map)
        raise MemoryError
    map.mask = <uint32_t>(size - 1)
    return 0


cdef inline void keymap_close(KeyMap *map) noexcept:
    PyMem_RawFree(map.keys)
    PyMem_RawFree(map.values)
    map.keys = NULL
    map.values = NULL


cdef inline void keymap_put(KeyMap *map, uint64_t key, uint32_t value) noexcept nogil:
    """Set what a key leads to, not 0. The caller vouches for room."""
    cdef uint32_t at = <uint32_t>(key ^ (key >> 32)) & map.mask
    while map.values[at] and map.keys[at] != key:
        at = (at + 1) & map.mask
    map.keys[at] = key
    map.values[at] = value


cdef inline uint32_t keymap_get(const KeyMap *map, uint64_t key) noexcept nogil:
    """Return what a key leads to, 0 for nothing."""
    cdef uint32_t at = <uint32_t>(key ^ (key >> 32)) & map.mask
    while map.values[at]:
        if map.keys[at] == key:
            return map.values[at]
        at = (at + 1) & map.mask
    return 0
