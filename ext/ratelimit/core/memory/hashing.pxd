from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.memory.siphash cimport Sip, sip_bytes, sip_finish, sip_start

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const uint8_t *PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef class Hasher:
    cdef uint64_t k0
    cdef uint64_t k1

    cdef uint64_t hash_other(self, uint64_t kind, object value) except? 0


cdef extern from *:
    """
    /* A bit of a kind, and of the hashes under it. */
    #define KIN_STAND_IN 0x80000000ULL
    """
    const uint64_t STAND_IN_KIND "KIN_STAND_IN"


cdef inline uint64_t told_apart(uint64_t hashed, uint64_t kind) noexcept nogil:
    """Return a hash that says whether it stands in for a value that a request lacks, as its kind does."""
    return hashed ^ ((hashed ^ kind) & STAND_IN_KIND)


cdef inline uint64_t hash_run(uint64_t k0, uint64_t k1, uint64_t kind, const uint8_t *at, size_t size) noexcept nogil:
    # A state stays in registers if its address goes nowhere else: half the time of the general way.
    cdef Sip sip
    sip_start(&sip, k0, k1)
    sip_bytes(&sip, kind, at, size)
    return told_apart(sip_finish(&sip), kind)


cdef inline uint64_t hash_value(Hasher hasher, uint64_t kind, object value) except? 0:
    """Return the hash of one identity's value: bytes, or text as its UTF-8."""
    if type(value) is bytes:
        return hash_run(
            hasher.k0, hasher.k1, kind, <const uint8_t *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
        )
    if type(value) is str and PyUnicode_IS_COMPACT_ASCII(value):  # such text is its own UTF-8
        return hash_run(hasher.k0, hasher.k1, kind, PyUnicode_1BYTE_DATA(value), PyUnicode_GET_LENGTH(value))
    return hasher.hash_other(kind, value)
