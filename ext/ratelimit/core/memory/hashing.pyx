"""Keyed 64-bit hashing of length-prefixed tuples: see the stub for the contract."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from ratelimit.core.memory.siphash cimport Sip, sip_bytes, sip_finish, sip_start, sip_word

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size)
    void PyErr_Clear()

KEY_BYTES = 16


def is_stand_in(uint64_t identity, /):
    return identity & STAND_IN_KIND != 0


cdef inline int feed(Sip *sip, uint64_t kind, object part) except -1:
    if type(part) is bytes:
        sip_bytes(sip, kind, <const uint8_t *>PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
        return 0
    return feed_text(sip, kind, part)


cdef int feed_text(Sip *sip, uint64_t kind, object part) except -1:
    cdef Py_ssize_t size
    cdef const char *at
    if isinstance(part, bytes):
        sip_bytes(sip, kind, <const uint8_t *>PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
        return 0
    if not isinstance(part, str):
        raise TypeError(f"a hashed part is bytes or str, not {type(part).__name__}")
    at = PyUnicode_AsUTF8AndSize(part, &size)  # cached inside the str; borrowed while `part` lives
    if at != NULL:
        sip_bytes(sip, kind, <const uint8_t *>at, size)
        return 0
    PyErr_Clear()
    # Undecodable bytes arrive as lone surrogates: hash the bytes they stand for.
    how = "surrogatepass" if _has_real_surrogate(part) else "surrogateescape"
    return feed(sip, kind, (<str>part).encode("utf-8", how))


def _has_real_surrogate(text):
    """Return whether a lone surrogate is outside the range that `surrogateescape` uses."""
    return any(0xD800 <= ord(c) <= 0xDFFF and not 0xDC80 <= ord(c) <= 0xDCFF for c in text)


@cython.final
cdef class Hasher:
    def __init__(self, bytes key not None):
        if len(key) != 16:
            raise ValueError(f"a hash key is 16 bytes, not {len(key)}")
        cdef const char *at = PyBytes_AS_STRING(key)
        memcpy(&self.k0, at, 8)
        memcpy(&self.k1, at + 8, 8)

    cdef uint64_t hash_other(self, uint64_t kind, object value) except? 0:
        cdef Sip sip
        sip_start(&sip, self.k0, self.k1)
        feed(&sip, kind, value)
        return told_apart(sip_finish(&sip), kind)

    def identity(self, kind, value, /):
        cdef uint64_t number = kind
        if number > <uint64_t>0xFFFFFFFF:
            raise OverflowError("an identity kind is a 32-bit number")
        return hash_value(self, number, value)

    def kind_of(self, str name not None, /, *, bint stands_in=False):
        # FNV-1a: stable and public. Kinds only separate namespaces; secrecy comes from the key.
        cdef uint64_t h = <uint64_t>0xCBF29CE484222325
        cdef unsigned char byte
        for byte in name.encode("utf-8"):
            h = (h ^ byte) * <uint64_t>0x100000001B3
        h = (h ^ (h >> 32)) & (STAND_IN_KIND - 1)
        return h | STAND_IN_KIND if stands_in else h

    def tuple(self, *parts):
        cdef Sip sip
        sip_start(&sip, self.k0, self.k1)
        sip_word(&sip, (<uint64_t>0x7475706C << 32) | <uint64_t>len(parts))  # apart from every identity kind
        for part in parts:
            feed(&sip, 0, part)
        return sip_finish(&sip)

    def combine(self, first, second, /):
        cdef Sip sip
        sip_start(&sip, self.k0, self.k1)
        sip_word(&sip, <uint64_t>0x636F6D62 << 32)
        sip_word(&sip, <uint64_t>first)
        sip_word(&sip, <uint64_t>second)
        return sip_finish(&sip)

    @property
    def key(self):
        cdef uint64_t pair[2]
        pair[0] = self.k0
        pair[1] = self.k1
        return PyBytes_FromStringAndSize(<char *>pair, 16)

    def __reduce__(self):
        raise TypeError("a Hasher holds a secret and is not pickled; pass its key deliberately")
