"""SipHash-1-3 (Aumasson, Bernstein 2012; the reduced-round variant Rust and CPython use).

Leaf arithmetic, hence `noexcept nogil` throughout: no object is touched and
nothing can fail. A `Sip` is fed whole 64-bit words and runs of bytes. The length
of a run precedes it, which keeps ("a", "bc") apart from ("ab", "c").
A run is shorter than 4 GiB.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    const uint64_t ABSENT_HASH "((uint64_t)-1)"  # "absent" travels as all ones, which no hash is

cdef struct Sip:
    uint64_t v0
    uint64_t v1
    uint64_t v2
    uint64_t v3
    uint64_t words  # words fed so far; part of the last block, as the length is in the paper


cdef inline uint64_t rotl(uint64_t x, int b) noexcept nogil:
    return (x << b) | (x >> (64 - b))


cdef inline void sip_round(Sip *s) noexcept nogil:
    s.v0 += s.v1
    s.v1 = rotl(s.v1, 13)
    s.v1 ^= s.v0
    s.v0 = rotl(s.v0, 32)
    s.v2 += s.v3
    s.v3 = rotl(s.v3, 16)
    s.v3 ^= s.v2
    s.v0 += s.v3
    s.v3 = rotl(s.v3, 21)
    s.v3 ^= s.v0
    s.v2 += s.v1
    s.v1 = rotl(s.v1, 17)
    s.v1 ^= s.v2
    s.v2 = rotl(s.v2, 32)


cdef inline void sip_start(Sip *s, uint64_t k0, uint64_t k1) noexcept nogil:
    s.v0 = k0 ^ <uint64_t>0x736F6D6570736575
    s.v1 = k1 ^ <uint64_t>0x646F72616E646F6D
    s.v2 = k0 ^ <uint64_t>0x6C7967656E657261
    s.v3 = k1 ^ <uint64_t>0x7465646279746573
    s.words = 0


cdef inline void sip_word(Sip *s, uint64_t m) noexcept nogil:
    s.v3 ^= m
    sip_round(s)
    s.v0 ^= m
    s.words += 1


cdef inline void sip_bytes(Sip *s, uint64_t kind, const uint8_t *at, size_t size) noexcept nogil:
    """Feed one word of kind (32 bits) and length (32 bits), then the bytes, the last word padded with zeros."""
    cdef uint64_t m
    cdef size_t left = size, i
    sip_word(s, (kind << 32) | <uint64_t>size)
    while left >= 8:
        memcpy(&m, at, 8)  # unaligned-safe; compiles to one load
        sip_word(s, m)
        at += 8
        left -= 8
    if left and size >= 8:
        # The last eight bytes again, less those fed already: one load for any tail.
        memcpy(&m, at + left - 8, 8)
        sip_word(s, m >> (8 * (8 - left)))
    elif left:
        m = 0
        for i in range(left):
            m |= <uint64_t>at[i] << (8 * i)
        sip_word(s, m)


cdef inline uint64_t sip_finish(Sip *s) noexcept nogil:
    """Return the hash; never all ones, which means "absent" to a plan."""
    cdef uint64_t h
    # The closing block of the paper: total length in bytes, mod 256, in the top byte.
    cdef uint64_t m = ((s.words << 3) & 0xFF) << 56
    s.v3 ^= m
    sip_round(s)
    s.v0 ^= m
    s.v2 ^= 0xFF
    sip_round(s)
    sip_round(s)
    sip_round(s)
    h = s.v0 ^ s.v1 ^ s.v2 ^ s.v3
    if h == <uint64_t>0xFFFFFFFFFFFFFFFF:
        h = <uint64_t>0xFFFFFFFFFFFFFFFE
    return h


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    """Return a bijective scramble (the 64-bit finaliser of MurmurHash3).

    For values that are keyed hashes already: a bijection adds no collisions, and
    without the input a caller cannot steer the output.
    """
    x ^= x >> 33
    x *= <uint64_t>0xFF51AFD7ED558CCD
    x ^= x >> 33
    x *= <uint64_t>0xC4CEB9FE1A85EC53
    x ^= x >> 33
    return x


cdef inline uint64_t unmix(uint64_t x) noexcept nogil:
    """Return what `mix` scrambled."""
    x ^= x >> 33
    x *= <uint64_t>0x9CB4B2F8129337DB
    x ^= x >> 33
    x *= <uint64_t>0x4F74430C22A54005
    x ^= x >> 33
    return x
