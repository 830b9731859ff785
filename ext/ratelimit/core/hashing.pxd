from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.siphash cimport Sip, sip_bytes, sip_finish, sip_start

cdef class Hasher:
    cdef uint64_t k0
    cdef uint64_t k1

    cdef uint64_t hash_value(self, uint64_t kind, object value) except? 0


cdef inline uint64_t hash_run(uint64_t k0, uint64_t k1, uint64_t kind, const uint8_t *at, size_t size) noexcept nogil:
    # A state whose address goes nowhere else stays in registers: half the time of the general way.
    cdef Sip sip
    sip_start(&sip, k0, k1)
    sip_bytes(&sip, kind, at, size)
    return sip_finish(&sip)
