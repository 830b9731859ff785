from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.memory.atomic cimport Pair
from ratelimit.core.sharing.board cimport Board
from ratelimit.core.clusters.cluster_index cimport ClusterIndex
from ratelimit.core.clusters.sighting cimport Columns

cdef class Assignments:
    cdef readonly Board board
    cdef readonly Columns columns
    cdef uint64_t slots
    cdef uint64_t rooms
    # The writer's own.
    cdef readonly uint64_t term
    cdef bint building
    cdef uint64_t built         # entries in the half being built
    cdef Pair *changes          # what was entered since it was last taken, oldest first; NULL: not recorded
    cdef uint32_t changes_room
    cdef uint32_t changed
    cdef readonly bint overrun  # there were more changes than are recorded

    cdef int check_ready(self) except -1
    cdef uint64_t find(self, uint64_t key, uint8_t *verdict) noexcept nogil
    cdef uint64_t find_in(self, int half, uint64_t key, uint8_t *verdict) noexcept nogil
    cdef uint64_t identity_in(self, int half, uint64_t entry, uint8_t *verdict) noexcept nogil
    cdef int in_force(self) noexcept nogil
    cdef bint empty(self) noexcept nogil
    cdef bint put_in_force(self) noexcept nogil
    cdef bint repack(self) noexcept nogil
    cdef bint insert(self, int half, uint64_t key, uint64_t identity, uint8_t verdict, uint64_t *count) noexcept nogil
    cdef uint64_t place_of(self, int half, uint64_t identity) noexcept nogil
    cdef void record_change(self, uint64_t key, uint64_t identity, uint8_t verdict) noexcept nogil
    cdef void compare(self, int before, int after) noexcept nogil
    cdef bint set(self, uint64_t key, uint64_t identity, uint8_t verdict) noexcept nogil
    cdef void follow(self, ClusterIndex cluster_index, uint64_t key) noexcept nogil
    cdef bint writes(self) noexcept nogil
