"""One record of the allowance's memory: 16 bytes, swapped whole.

    tag    37 bits of the key | 15: the day it was first seen | 12: the newest period
    word   seven levels, a byte each, the newest period's lowest | 8: check of all other bits

The place of a record says the other 13 bits of its key, so a record can be carried to memory of another size.
A payer has a record of its best days, and one of what it paid once that is known. The least that it paid is kept as
its distance from the highest level: so a byte is joined by its maximum in both, and 0 is "not known" in both.
A record of a pair has no levels: the day it was seen last stands there, and no period.

All is leaf arithmetic, hence `noexcept nogil`: no object is touched, and nothing can fail.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from ratelimit.core.memory.atomic cimport Pair
from ratelimit.core.memory.siphash cimport mix

cdef enum:
    FINGER_BITS = 37
    KEY_BITS = 50           # of a key that are kept: `FINGER_BITS`, and what 8,192 places tell
    LAST_DAY = 32767        # in the year 2059
    PERIOD_DAYS = 10
    PERIODS = 7
    RIPE = 4                # periods that lie between a day and its counting: 30 days, and its own
    YOUNG_DAYS = 30
    MOST_PAID = 254         # the highest level of dollars; 255 less a level is what is kept of it
    SILENT_DAYS = 70        # seven periods: then nothing is left that counts
    BACK = 3                # periods from a day to the one that holds the day a month before
    PAYERS = 0
    PAIRS = 1
    PAID = 2
    REGIONS = 3

cdef extern from *:
    """
    #define KIN_LEVELS_MASK ((((uint64_t)1) << 56) - 1)
    #define KIN_ESTABLISHED (((uint64_t)1) << 48)
    #define KIN_NO_WORTH (~(uint64_t)0)
    static inline uint64_t kin_place(uint64_t key, uint64_t buckets)
    {
        return (uint64_t)(((unsigned __int128)key * buckets) >> 50);
    }
    static inline uint64_t kin_key_at(uint64_t bucket, uint64_t buckets, uint64_t finger)
    {
        uint64_t least = (uint64_t)((((unsigned __int128)bucket << 50) + buckets - 1) / buckets);
        uint64_t mask = (((uint64_t)1) << 37) - 1;
        uint64_t key = (least & ~mask) | finger;
        return key < least ? key + mask + 1 : key;
    }
    """
    const uint64_t LEVELS_MASK "KIN_LEVELS_MASK"
    const uint64_t ESTABLISHED "KIN_ESTABLISHED"
    const uint64_t NO_WORTH "KIN_NO_WORTH"
    uint64_t place_of "kin_place"(uint64_t key, uint64_t buckets) noexcept nogil
    uint64_t key_at "kin_key_at"(uint64_t bucket, uint64_t buckets, uint64_t finger) noexcept nogil

cdef struct Record:
    uint64_t first          # day since 1970
    uint64_t newest         # period since 1970; 0 in a pair's
    uint64_t levels         # or the day a pair was seen last


cdef inline uint64_t key_of(uint64_t value) noexcept nogil:
    """Return the bits of a keyed hash that are kept."""
    return mix(value) >> (64 - KEY_BITS)


cdef inline uint64_t pair_of(uint64_t payer, uint64_t other, uint64_t kind) noexcept nogil:
    """Return the key of a pair of keyed hashes; `kind` keeps accounts apart from places."""
    return key_of(payer ^ mix(mix(other) + kind))


cdef inline uint64_t day_of(int64_t seconds) noexcept nogil:
    """Return the UTC day since 1970, 1 at the least; after the last day time stands still."""
    cdef int64_t day = seconds // 86_400
    return 1 if day < 1 else LAST_DAY if day > LAST_DAY else <uint64_t>day


cdef inline uint64_t check_of(uint64_t tag, uint64_t levels) noexcept nogil:
    """Return 1 to 251. A changed bit changes a sum by a power of two, which no prime but 2 divides."""
    return ((tag % 251) * 7 + (levels % 251) * 11) % 251 + 1


cdef inline Pair packed(uint64_t key, Record record) noexcept nogil:
    cdef Pair found
    found.tag = (key & ((<uint64_t>1 << FINGER_BITS) - 1)) << 27 | record.first << 12 | record.newest
    found.word = record.levels << 8 | check_of(found.tag, record.levels)
    return found


cdef inline bint unpacked(Pair seen, Record *record) noexcept nogil:
    """Take a record apart; False where there is none, or one that was damaged."""
    record.first = seen.tag >> 12 & 0x7FFF
    record.newest = seen.tag & 0xFFF
    record.levels = seen.word >> 8
    return record.first != 0 and seen.word & 0xFF == check_of(seen.tag, record.levels)


cdef inline void bring(Record *record, uint64_t period) noexcept nogil:
    """Bring a payer's record forward to a period; what is older than seven periods is forgotten."""
    if period > record.newest:
        record.levels = (
            0 if period - record.newest >= PERIODS
            else record.levels << 8 * (period - record.newest) & LEVELS_MASK
        )
        record.newest = period


cdef inline void lift(Record *record, uint64_t period, uint64_t level) noexcept nogil:
    """Raise the level of a period that the record holds."""
    cdef uint64_t at
    if period > record.newest or record.newest - period >= PERIODS:
        return
    at = 8 * (record.newest - period)
    if level > (record.levels >> at & 0xFF):
        record.levels = record.levels & ~(<uint64_t>0xFF << at) | level << at


cdef inline void join(Record *record, Record other, uint64_t region) noexcept nogil:
    """Take another record of the same key in: the earlier first day, the higher levels."""
    cdef uint64_t period = other.newest, levels = other.levels
    record.first = min(record.first, other.first)
    if region == PAIRS:
        record.levels = max(record.levels, other.levels)
        return
    bring(record, other.newest)
    while levels:
        lift(record, period, levels & 0xFF)
        if period == 0:
            return
        period -= 1
        levels >>= 8


cdef inline uint64_t counting(Record record, uint64_t day, uint64_t own) noexcept nogil:
    """Return the highest level that counts on a day: of periods that ended 30 days ago, or before the limiter's own."""
    cdef uint64_t now = day // PERIOD_DAYS, born = own // PERIOD_DAYS, best = 0
    cdef uint64_t period = record.newest, levels = record.levels
    while levels:
        if period + PERIODS > now and (period + RIPE <= now or (own and period < born and period < now)):
            best = max(best, levels & 0xFF)
        if period == 0:
            break
        period -= 1
        levels >>= 8
    return best


cdef inline uint64_t least_paid(Record record, uint64_t day) noexcept nogil:
    """Return what is kept of the least that was paid for a month, as of a day; 0 where that is not known.

    The month begins with the period that holds the day 30 days before, or with the one before that if nothing is known
    of the first. What is known has to begin 30 days before.
    """
    cdef uint64_t now = day // PERIOD_DAYS, kept = 0, age, period, behind
    cdef bint is_whole = False
    if record.first + YOUNG_DAYS > day:
        return 0
    for age in range(BACK + 2):
        period = now - age
        if age > now or period > record.newest:
            continue
        behind = record.newest - period
        if behind >= PERIODS or (age > BACK and is_whole):
            break
        if record.levels >> 8 * behind & 0xFF:
            kept = max(kept, record.levels >> 8 * behind & 0xFF)
            is_whole = age >= BACK
    return kept if is_whole else 0


cdef inline uint64_t worth_of(Record record, uint64_t region, uint64_t day) noexcept nogil:
    """Return what a record is worth keeping for: established, then its levels, then when it was seen, then its age.

    In place of levels a pair has the days between its first and its last, and is established once these are 30.
    A payer that has paid nothing loses nothing with the record of that.
    """
    cdef uint64_t now = day // PERIOD_DAYS, best = 0, seen, age, level, since = record.first
    cdef bint is_alive
    if region == PAIRS:
        seen = record.levels & LAST_DAY
        is_alive = seen + SILENT_DAYS > day
        best = seen - min(seen, record.first)
        since = day - min(day, best)
    else:
        seen = record.newest
        is_alive = seen + PERIODS > now
        for age in range(PERIODS):
            if seen + PERIODS > now + age:
                level = record.levels >> 8 * age & 0xFF
                if level and region == PAID:
                    level = MOST_PAID + 1 - level
                best = max(best, level)
    if not is_alive:
        return 1 + seen
    return (
        (ESTABLISHED if since + YOUNG_DAYS <= day and (best or region != PAID) else 0)
        | best << 32 | (seen + 1) << 16 | (LAST_DAY - record.first)
    )
