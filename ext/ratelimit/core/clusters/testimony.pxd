"""Testimony of witnesses that memory had no room for: how many other accounts were at an exit of late.

Theory of operation. Each account sets one of 64 bits of an exit, by its key: one that comes back and is
forgotten again counts once. Every six hours about a seventh of the bits is cleared, so half of a count is
left after a day. Exits are kept in lines of four; the one with the fewest witnesses makes room.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef enum:
    WAYS = 4                # exits of one line of memory
    BITS = 64
    STEP_S = 21600          # after which a part of an exit's witnesses is forgotten
    CLEARED = 10            # bits that are drawn then
    MOST_STEPS = 8          # after two days nothing is left: so long exits are looked at
    TESTIMONY_S = 86400     # how lately a witness has to have been at an exit

cdef struct Testimony:
    uint32_t exit           # half of its key; 0: none
    uint32_t low            # the witnesses
    uint32_t high
    uint16_t step           # when they were brought up to date
    uint16_t spare


cdef extern from *:
    """
    #define kin_bits_in(number) __builtin_popcountll(number)
    """
    int bits_in "kin_bits_in"(uint64_t number) noexcept nogil

cdef extern from "<math.h>" nogil:
    double log(double)


cdef inline uint64_t stirred(uint64_t number) noexcept nogil:
    number = (number ^ (number >> 31)) * <uint64_t>0x9E3779B97F4A7C15
    return number ^ (number >> 29)


cdef inline uint64_t left_of(const Testimony *known, uint32_t now_s) noexcept nogil:
    """Return the witnesses of an exit that are not forgotten by now."""
    cdef uint64_t bits = known.low | <uint64_t>known.high << 32, draw
    cdef uint16_t step = <uint16_t>(now_s // STEP_S), passed = <uint16_t>(step - known.step)
    cdef int i
    if passed >= MOST_STEPS:
        return 0
    while passed and bits:
        draw = stirred(<uint64_t>known.exit << 16 | <uint16_t>(step - passed + 1))
        for i in range(CLEARED):
            bits &= ~(<uint64_t>1 << (draw >> 6 * i & 63))
        passed -= 1
    return bits


cdef inline uint32_t counted(uint64_t bits) noexcept nogil:
    """Return about how many witnesses set these bits."""
    cdef int unset = BITS - bits_in(bits)
    if unset == BITS:
        return 0
    return <uint32_t>(BITS * log(BITS / (unset if unset else 0.5)) + 0.5)


cdef inline Testimony *line_of(Testimony *table, uint32_t lines, uint64_t key) noexcept nogil:
    return table + WAYS * <size_t>((key >> 32) % lines)


cdef inline uint32_t half_of(uint64_t key) noexcept nogil:
    cdef uint32_t half = <uint32_t>key
    return half if half else 1


cdef inline uint32_t witnesses_at(Testimony *table, uint32_t lines, uint64_t key, uint32_t now_s) noexcept nogil:
    """Return how many witnesses of an exit were forgotten of late."""
    cdef Testimony *line = line_of(table, lines, key)
    cdef int i
    for i in range(WAYS):
        if line[i].exit == half_of(key):
            return counted(left_of(line + i, now_s))
    return 0


cdef inline void keep_witness(Testimony *table, uint32_t lines, uint64_t key, uint64_t witness, uint32_t now_s) noexcept nogil:
    """Note that a witness of an exit is about to be forgotten."""
    cdef Testimony *line = line_of(table, lines, key)
    cdef Testimony *chosen = line
    cdef uint64_t bits
    cdef int i, count, least = BITS + 1
    for i in range(WAYS):
        if line[i].exit == half_of(key):
            chosen = line + i
            break
        count = bits_in(left_of(line + i, now_s)) if line[i].exit else -1
        if count < least:
            least = count
            chosen = line + i
    else:
        chosen.exit = half_of(key)
        chosen.low = chosen.high = 0
        chosen.step = <uint16_t>(now_s // STEP_S)
    bits = left_of(chosen, now_s) | <uint64_t>1 << (stirred(witness) & 63)
    chosen.low, chosen.high = <uint32_t>bits, <uint32_t>(bits >> 32)
    chosen.step = <uint16_t>(now_s // STEP_S)
