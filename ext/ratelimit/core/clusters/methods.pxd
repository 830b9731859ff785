from libc.stdint cimport uint32_t

from ratelimit.core.clusters.evidence cimport Evidence
from ratelimit.core.clusters.records cimport Principal, Value

cdef enum:
    MET = 3                     # certain members that have to pay with a method
    MIXED = 0xFFFFFFFF          # in `payers[1]` of a payment method: others pay with it, too


cdef inline uint32_t owner_of(const Value *value) noexcept nogil:
    """Return the cluster that a payment method is the own one of, as `tally` found; 0 for none."""
    if value.payers[1] == MIXED or value.payers[1] & 0xFFFF < MET:
        return 0
    return value.payers[1] >> 16


cdef uint32_t mix(Evidence evidence, const Principal *p, uint32_t *found) noexcept nogil
