/* The few atomic operations the table needs, on memory that processes share.
 *
 * A pair is one table entry: 16 bytes, 16-byte aligned, compared and swapped as
 * a whole, so that "this word still belongs to this key" and "the word has not
 * changed" are one question. C11 offers it only through libatomic, which may
 * take a lock, and a lock would die with its holder: so the instruction itself.
 */
#ifndef KINLIMIT_ATOMIC_H
#define KINLIMIT_ATOMIC_H

#include <stdint.h>

typedef unsigned __int128 kin_u128;

#define KIN_LOW32 ((uint64_t)0xFFFFFFFFu)
#define KIN_SECOND ((uint64_t)1000000000u) /* in nanoseconds */

typedef struct { uint64_t tag; uint64_t word; } __attribute__((aligned(16))) kin_pair;

#if defined(__x86_64__)
/* Sanitizers watch compiler built-ins and not assembly, hence the built-in; -mcx16 makes it inline. */
static inline int kin_cas_pair(kin_pair *at, uint64_t tag, uint64_t word, uint64_t new_tag, uint64_t new_word)
{
    kin_u128 expected = ((kin_u128)word << 64) | tag;
    kin_u128 desired = ((kin_u128)new_word << 64) | new_tag;
    return __sync_bool_compare_and_swap((kin_u128 *)at, expected, desired);
}
#elif defined(__aarch64__)
static inline int kin_cas_pair(kin_pair *at, uint64_t tag, uint64_t word, uint64_t new_tag, uint64_t new_word)
{
    uint64_t seen_tag, seen_word;
    uint32_t failed;
    do {
        __asm__ volatile("ldaxp %0, %1, [%2]" : "=&r"(seen_tag), "=&r"(seen_word) : "r"(at) : "memory");
        if (seen_tag != tag || seen_word != word) {
            __asm__ volatile("clrex" ::: "memory");
            return 0;
        }
        __asm__ volatile("stlxp %w0, %1, %2, [%3]"
                         : "=&r"(failed) : "r"(new_tag), "r"(new_word), "r"(at) : "memory");
    } while (failed);
    return 1;
}
#else
#error "kinlimit's core needs a 16-byte compare-and-swap: x86-64 or aarch64"
#endif

/* A consistent copy of a pair without writing to it. Re-reading the tag tells a
 * replaced entry from a kept one; the word in between is one atomic load. A
 * caller that goes on to swap is protected by the swap itself. */
static inline kin_pair kin_load_pair(const kin_pair *at)
{
    kin_pair seen;
    uint64_t again;
    do {
        seen.tag = __atomic_load_n(&at->tag, __ATOMIC_ACQUIRE);
        seen.word = __atomic_load_n(&at->word, __ATOMIC_ACQUIRE);
        again = __atomic_load_n(&at->tag, __ATOMIC_ACQUIRE);
    } while (again != seen.tag);
    return seen;
}

static inline uint64_t kin_load(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
static inline void kin_store(uint64_t *at, uint64_t value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
static inline uint64_t kin_add(uint64_t *at, uint64_t amount) { return __atomic_fetch_add(at, amount, __ATOMIC_ACQ_REL); }
static inline uint64_t kin_or(uint64_t *at, uint64_t bits) { return __atomic_fetch_or(at, bits, __ATOMIC_ACQ_REL); }
static inline uint64_t kin_and(uint64_t *at, uint64_t bits) { return __atomic_fetch_and(at, bits, __ATOMIC_ACQ_REL); }
static inline int kin_cas(uint64_t *at, uint64_t expected, uint64_t desired)
{
    return __atomic_compare_exchange_n(at, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline void kin_prefetch(const void *at) { __builtin_prefetch(at, 1, 3); }

#endif
