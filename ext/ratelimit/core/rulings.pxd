from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.keymap cimport KeyMap

cdef enum:
    MOST_RULED_LABELS = 4096

cdef struct Ruling:
    uint32_t group      # of `together`, counted from 1; 0 for none
    uint32_t first      # where the keys it is kept apart from begin,
    uint32_t count      # and how many they are
    bint exempt

cdef class Rulings:
    cdef KeyMap places          # principals to rulings, counted from 1
    cdef Ruling *rulings
    cdef uint64_t *apart_keys
    cdef uint32_t *labels       # by group: the cluster it is in, 0 for none yet
    cdef uint8_t sealed[MOST_RULED_LABELS + 1]
    cdef readonly object exempt
    cdef readonly object together
    cdef readonly object apart

    cdef Ruling *find(self, uint64_t key) noexcept nogil
