from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.clusters.keymap cimport KeyMap

cdef enum:
    MOST_RULED_LABELS = 4096
    # What the operator says of an actor.
    UNSAID = 0
    CLEARED = 1
    CONFIRMED = 2

cdef struct Ruling:
    uint32_t group      # of `together`, counted from 1; 0 for none
    uint32_t first      # where the keys it is kept apart from begin,
    uint32_t count      # and how many they are
    bint exempt
    uint8_t decree      # of the actor it belongs to

cdef class Rulings:
    cdef KeyMap places          # principals to rulings, counted from 1
    cdef Ruling *rulings
    cdef uint64_t *apart_keys
    cdef uint32_t *labels       # by group: the cluster it is in, 0 for none yet
    cdef uint8_t sealed[MOST_RULED_LABELS + 1]
    cdef uint8_t decrees[MOST_RULED_LABELS + 1]     # by cluster, from the accounts named in it
    cdef readonly object exempt
    cdef readonly object together
    cdef readonly object apart
    cdef readonly object confirm
    cdef readonly object clear

    cdef Ruling *find(self, uint64_t key) noexcept nogil
