from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ratelimit.core.clusters.hash_index cimport HashIndex
from ratelimit.core.clusters.sighting cimport Sighting
from ratelimit.core.clusters.records cimport KINDS, Identifier, Principal, Value
from ratelimit.core.clusters.testimony cimport Testimony

cdef class Evidence:
    cdef uint8_t *principals                # one each `principal_bytes`: see `principal_at`
    cdef Identifier *identifiers
    cdef Value *values                      # of identifiers, by position
    cdef Testimony *testimonies             # of witnesses that were evicted, by exit
    cdef readonly uint32_t testimony_lines
    cdef uint32_t new_s                     # for how long accounts are new, and of records until that is known
    cdef uint32_t records_s
    cdef HashIndex principal_index
    cdef HashIndex identifier_index
    cdef readonly int edges                 # of a principal
    cdef readonly uint32_t principal_bytes
    cdef readonly uint32_t most_principals
    cdef readonly uint32_t most_identifiers
    cdef readonly uint32_t principal_count
    cdef readonly uint32_t awake_count      # those before it are awake, those from there on dormant
    cdef readonly uint32_t identifier_count
    cdef uint32_t kind_counts[KINDS]
    cdef uint32_t kind_limits[KINDS]
    cdef uint32_t principal_hand
    cdef uint32_t identifier_hand
    cdef int64_t epoch_s
    cdef readonly uint32_t now_s
    cdef uint32_t kept_ticks[KINDS]         # after which an edge is dropped
    cdef readonly uint64_t new_edges
    cdef readonly uint64_t informative_edges    # those of principals that were not certain then
    cdef readonly uint64_t principal_evictions
    cdef readonly uint64_t identifier_evictions
    cdef readonly uint64_t returns          # how often a principal came back to anything in another hour

    cdef uint32_t clamp(self, int64_t time_s) noexcept nogil
    cdef uint32_t principal(self, uint64_t key, uint32_t now_s) noexcept nogil
    cdef void testify(self, const Principal *p, uint32_t now_s) noexcept nogil
    cdef void keep(self, const Identifier *place, uint64_t key, uint32_t now_s) noexcept nogil
    cdef uint32_t witnesses(self, uint32_t at) noexcept nogil
    cdef void exchange(self, uint32_t one, uint32_t other) noexcept nogil
    cdef void rest(self, uint32_t at) noexcept nogil
    cdef uint32_t wake(self, uint32_t at, uint32_t now_s) noexcept nogil
    cdef uint32_t renewed(self, uint32_t at, int kind, uint32_t now_s) noexcept nogil
    cdef uint32_t guessed(self, uint32_t ref, uint64_t key, int kind) noexcept nogil
    cdef uint32_t find_identifier(self, uint64_t own) noexcept nogil
    cdef uint32_t identifier(self, uint64_t key, int kind, uint32_t now_s) noexcept nogil
    cdef bint touch(self, Principal *p, int first, int count, uint32_t ref, uint32_t now_s) noexcept nogil
    cdef void note_payer(self, uint32_t at, uint32_t payer) noexcept nogil
    cdef bint take(self, Sighting *seen, uint32_t now_s, uint32_t *at) noexcept nogil
    cdef uint32_t principal_to_evict(self) noexcept nogil
    cdef uint32_t identifier_to_evict(self, int kind) noexcept nogil


cdef inline Principal *principal_at(Evidence self, uint32_t at) noexcept nogil:
    """Return the principal at a position. Its edges end where the evidence's `edges` says."""
    return <Principal *>(self.principals + <size_t>at * self.principal_bytes)


cdef uint32_t find_principal(Evidence self, uint64_t key) noexcept nogil

cdef void await_identities(Evidence self, uint64_t principal, uint64_t address, bint is_next) noexcept nogil
