from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.clusters.keymap cimport KeyMap

cdef enum:
    MOST_OVERRIDDEN = 4096      # labels
    # The operator's override of a cluster.
    NOT_SET = 0
    CLEARED = 1
    CONFIRMED = 2

cdef struct Override:
    uint32_t group      # of `together`, counted from 1; 0 for none
    uint32_t first      # where the keys it is kept apart from begin,
    uint32_t count      # and how many they are
    bint exempt
    uint8_t on_cluster  # of the cluster it belongs to: NOT_SET, CLEARED or CONFIRMED

cdef class Overrides:
    cdef KeyMap places          # principals to overrides, counted from 1
    cdef Override *overrides
    cdef uint64_t *apart_keys
    cdef uint32_t *labels       # by group: the cluster it is in, 0 for none yet
    cdef uint8_t declared_only[MOST_OVERRIDDEN + 1]
    cdef uint8_t by_label[MOST_OVERRIDDEN + 1]      # by cluster, from the accounts named in it
    cdef readonly object exempt
    cdef readonly object together
    cdef readonly object apart
    cdef readonly object confirm
    cdef readonly object clear

    cdef Override *find(self, uint64_t key) noexcept nogil
