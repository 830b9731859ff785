"""Declarations of `atomic.h`: single words and the 16-byte pair."""

from libc.stdint cimport uint64_t

cdef extern from "ratelimit/core/memory/atomic.h" nogil:
    const uint64_t LOW32 "KIN_LOW32"
    const uint64_t SECOND "KIN_SECOND"

    ctypedef unsigned long long u128 "kin_u128"  # C's real width is 128 bits; Cython only needs "an integer"

    ctypedef struct Pair "kin_pair":
        uint64_t tag
        uint64_t word

    bint cas_pair "kin_cas_pair"(Pair *at, uint64_t tag, uint64_t word, uint64_t new_tag, uint64_t new_word) noexcept
    Pair load_pair "kin_load_pair"(const Pair *at) noexcept
    uint64_t load "kin_load"(const uint64_t *at) noexcept
    void store "kin_store"(uint64_t *at, uint64_t value) noexcept
    uint64_t fetch_add "kin_add"(uint64_t *at, uint64_t amount) noexcept
    uint64_t fetch_or "kin_or"(uint64_t *at, uint64_t bits) noexcept
    uint64_t fetch_and "kin_and"(uint64_t *at, uint64_t bits) noexcept
    bint cas "kin_cas"(uint64_t *at, uint64_t expected, uint64_t desired) noexcept
    void prefetch "kin_prefetch"(const void *at) noexcept
