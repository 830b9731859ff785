"""The header of a table, and whether it can be believed: pure, over bytes that may hold anything."""

from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.memory.atomic cimport cas, fetch_add, load
from ratelimit.core.memory.layout cimport Arena, Identity

cdef extern from *:
    const uint64_t MAGIC "((uint64_t)0x54494D494C4E494Bu)"  # "KINLIMIT", little-endian


cdef inline uint64_t checked(const Identity *identity) noexcept nogil:
    # noexcept, nogil: arithmetic over one structure, which is all words.
    cdef const uint64_t *words = <const uint64_t *>identity
    cdef uint64_t i, h = <uint64_t>0x9E3779B97F4A7C15
    for i in range(sizeof(Identity) // 8 - 1):
        h = (h ^ words[i]) * <uint64_t>0xFF51AFD7ED558CCD
        h ^= h >> 32
    return h


cdef inline bint is_sound(const Identity *identity) noexcept nogil:
    return identity.magic == MAGIC and identity.check == checked(identity)


cdef inline bint is_zero(const uint8_t *at, uint64_t size) noexcept nogil:
    # noexcept, nogil: reads inside the checked buffer.
    cdef uint64_t i
    for i in range(size):
        if at[i]:
            return False
    return True


# Lists that all workers fill from the front, each word once: names of counters, lengths of
# windows. A process keeps to itself what it has found or entered in them, and goes by that.

cdef inline uint64_t placed(uint64_t *shared, uint64_t *own, uint64_t count, uint64_t wanted) noexcept nogil:
    """Return where a word is in a list, adding it if there is room; else `count`."""
    cdef uint64_t i
    for i in range(count):
        if own[i] == wanted:
            return i
    for i in range(count):
        if load(shared + i) == 0:
            cas(shared + i, 0, wanted)
        if load(shared + i) == wanted:
            own[i] = wanted
            return i
    return count


cdef inline void enter(uint64_t *shared, uint64_t *own, uint64_t count) noexcept nogil:
    """Enter in a fresh list what this process has; forget it where another was faster."""
    cdef uint64_t i
    for i in range(count):
        if own[i]:
            cas(shared + i, 0, own[i])
            if load(shared + i) != own[i]:
                own[i] = 0


cdef inline bint is_other(const uint64_t *shared, const uint64_t *own, uint64_t count) noexcept nogil:
    """Return whether a list has lost what this process found in it."""
    cdef uint64_t i
    for i in range(count):
        if own[i] and load(shared + i) != own[i]:
            return True
    return False


cdef inline void end_owner(Arena *arena, uint64_t seat) noexcept nogil:
    """Have a seat's last owner hold nothing more; its use of the server that was not handed over counts, once."""
    cdef uint64_t owing = load(&arena.seats[seat].owing)
    fetch_add(&arena.seats[seat].generation, 1)
    if owing and cas(&arena.seats[seat].owing, owing, 0):
        fetch_add(&arena.header.orphans, owing)
