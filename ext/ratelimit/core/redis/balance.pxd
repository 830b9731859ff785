"""The memory of balances that a host has: what a server last said of a lifetime, for one that comes back empty.

Three numbers, of which none falls: charged, paid, and what is in both (see `lifetime.lua`). Each is an entry of
the host's table, and a fourth has the generation of the server's key. A word has twelve bits of the generation and
the number. Workers write side by side: of a generation the larger number stays, and another generation replaces
it. The generation is written first, then what was charged, and both are read last. So a reader in between knows of
no payment without what was charged before it. A table that evicted one of these two knows nothing.
"""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport Pair, cas_pair
from ratelimit.core.memory.entries cimport LIFETIME, LIFETIME_BITS, find, insert, make_tag, word_of
from ratelimit.core.memory.layout cimport Arena
from ratelimit.core.memory.siphash cimport mix

cdef enum:
    BALANCE_NUMBERS = 3     # charged, paid, back

cdef extern from *:
    const uint64_t MOST_REMEMBERED "(((uint64_t)1 << 52) - 1)"


cdef struct Balance:
    uint64_t generation     # never 0 where anything is known
    uint64_t numbers[BALANCE_NUMBERS]


cdef inline uint64_t balance_key(uint64_t key, int number) noexcept nogil:
    return mix(key + <uint64_t>(number + 2) * <uint64_t>0x9E3779B97F4A7C15)


cdef inline uint64_t stamp_of(uint64_t generation) noexcept nogil:
    """Return the bits of a generation in each word, of which none is 0."""
    return generation % 4095 + 1


cdef inline void put_number(
    Arena *arena, uint64_t key, uint64_t shape, int number, uint64_t told, bint is_sum, uint64_t now
) noexcept nogil:
    """Write one entry; a sum of the same generation never falls."""
    cdef uint64_t own = balance_key(key, number), word
    cdef uint64_t tag = make_tag(own, LIFETIME, shape)
    cdef Pair *entry
    while True:
        entry = find(arena, own, tag)
        word = word_of(entry, tag) if entry != NULL else 0
        if word == told or (is_sum and word >> LIFETIME_BITS == told >> LIFETIME_BITS and word > told):
            break
        if entry == NULL:
            if insert(arena, own, tag, told, now):
                break
        elif cas_pair(entry, tag, word, tag, told):
            break


cdef inline void remember_balance(
    Arena *arena, uint64_t key, uint64_t shape, const Balance *known, uint64_t now
) noexcept nogil:
    """Remember what a server said."""
    cdef uint64_t stamp = stamp_of(known.generation) << LIFETIME_BITS
    cdef int i
    put_number(arena, key, shape, -1, stamp | (known.generation & MOST_REMEMBERED), False, now)
    for i in range(BALANCE_NUMBERS):
        put_number(arena, key, shape, i, stamp | min(known.numbers[i], MOST_REMEMBERED), True, now)


cdef inline uint64_t number_at(Arena *arena, uint64_t key, uint64_t shape, int number) noexcept nogil:
    """Return the word of one entry; 0 for none."""
    cdef uint64_t own = balance_key(key, number)
    cdef uint64_t tag = make_tag(own, LIFETIME, shape)
    cdef Pair *entry = find(arena, own, tag)
    return word_of(entry, tag) if entry != NULL else 0


cdef inline bint recall_balance(Arena *arena, uint64_t key, uint64_t shape, Balance *known) noexcept nogil:
    """Read what a server said last; return whether anything is known."""
    cdef uint64_t words[BALANCE_NUMBERS]
    cdef uint64_t stamp
    cdef int i
    for i in range(BALANCE_NUMBERS - 1, -1, -1):
        words[i] = number_at(arena, key, shape, i)
    known.generation = number_at(arena, key, shape, -1) & MOST_REMEMBERED
    stamp = stamp_of(known.generation)
    for i in range(BALANCE_NUMBERS):
        known.numbers[i] = words[i] & MOST_REMEMBERED if words[i] >> LIFETIME_BITS == stamp else 0
    return known.generation != 0 and words[0] >> LIFETIME_BITS == stamp
