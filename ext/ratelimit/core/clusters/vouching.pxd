from libc.stdint cimport int64_t, uint32_t, uint64_t

from ratelimit.core.clusters.evidence cimport Evidence

cdef enum:
    # What is known of a payment method, in place of an address's payers.
    BY_OLD = 1      # an established account pays with it
    BY_NEW = 2      # and a new one

    ESTABLISHED = 0     # in assignments, what stands for no cluster but for an established payment method

cdef bint is_vouched(Evidence evidence, uint64_t payment) noexcept nogil
