from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.redis.remote cimport RemoteRules
from ratelimit.core.algorithms.setup cimport MOST_RULES
from ratelimit.core.redis.lease_record cimport Lease
from ratelimit.core.memory.table cimport Table

cdef class LeasedRules


cdef class Leases:
    cdef Lease *leases
    cdef uint64_t mask
    cdef Table table
    cdef int64_t skew        # what the store's clock is ahead of this host's, in ns
    cdef list owners         # (rules, index) by number; None where none is
    cdef list free           # such numbers
    cdef Py_ssize_t most_owners
    cdef list due            # keys that are to be asked for
    cdef list foreign        # keys with leases that allow more than their limits do now
    cdef object wake
    cdef uint64_t horizon
    cdef uint64_t longest
    cdef double worthwhile   # units that a round trip should bring
    cdef uint64_t recheck
    cdef readonly uint64_t local

    cdef Lease *find(self, uint64_t key) noexcept
    cdef Lease *make(self, uint64_t key, uint64_t now) noexcept
    cdef int mark_due(self, Lease *lease) except -1
    cdef int owner_of(self, LeasedRules rules, int index) except -1
    cdef bint claim(self, Lease *lease, LeasedRules rules, int index, uint64_t now) except -1
    cdef bint is_ample(self, const Lease *lease) noexcept
    cdef int sweep(self) except -1
    cdef uint64_t there(self, uint64_t now) noexcept


cdef class LeasedRules:
    cdef readonly RemoteRules rules
    cdef Leases leases
    cdef readonly object ledger
    cdef int owners[MOST_RULES]  # each rule's number among the leases' owners, -1 if it has none

    cdef object taken(self, uint64_t *ids, uint64_t *amounts, object now_ns, bint commit)
