"""The callers refused most, limit by limit, in a bounded part of the table.

Theory of operation. Space-Saving in sets (Metwally et al., 2005): a caller's hash picks a set of eight
places. A new caller takes the place with the fewest refusals and goes on from that count. The count is
noted as perhaps another caller's. So the callers that are refused most stay. A flood of fresh callers
pushes out those that are refused seldom.

Refusals of more than an hour ago fade: the count is halved with the time that it covers. That leaves
the rate. A place without a refusal for an hour is free.

What is refused now is counted apart: by the minute, of this minute and the one before. So the last sixty
seconds are this minute, and the part of the one before that they reach into (`lately`).

What limits in shadow would refuse is noted in places of its own, so a trial pushes nobody out.

Any worker may write at any time. Two that write at once may miscount by a few; nothing else depends on it.
"""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport LOW32, SECOND, Pair, cas_pair, fetch_add, load, load_pair, store
from ratelimit.core.memory.layout cimport REFUSAL_SETS, REFUSAL_WAYS, REFUSALS, Arena, Refusal
from ratelimit.core.memory.siphash cimport mix

cdef enum:
    KEPT_S = 3600
    MINUTE_BITS = 22       # of a count: 4 million a minute
    MINUTE_MASK = 0x3FFFFF
    MINUTE_NUMBERS = 0xFFFFF  # two years of minutes


cdef inline bint is_faded(uint64_t times, uint64_t now_s) noexcept nogil:
    """Return whether nothing was refused for an hour; of a last time in the future nothing is believed."""
    cdef uint64_t last_s = times >> 32
    return last_s + KEPT_S < now_s or last_s > now_s + KEPT_S


cdef inline void note_refusal(
    Arena *arena, uint64_t who, uint64_t counter, uint64_t now, bint is_shadow
) noexcept nogil:
    # A mark above the counter's 32 bits, of a tier or an act, makes another caller: with a place and a count of its own.
    note_in(arena.refusals + (REFUSALS if is_shadow else 0), who, counter, now // SECOND)


cdef inline uint64_t note_in(Refusal *memory, uint64_t who, uint64_t counter, uint64_t now_s) noexcept nogil:
    """Count a refusal in `REFUSAL_SETS` sets; return the number of its place, even where a race lost it."""
    # noexcept, nogil: reads and writes inside one set, which is the process' own arithmetic.
    cdef Refusal *places = memory + (mix(who + counter) & (REFUSAL_SETS - 1)) * REFUSAL_WAYS
    cdef Refusal *least = places
    cdef Refusal *place
    cdef Pair seen, taken
    cdef uint64_t i, count, times, fewest = LOW32 + 1
    taken.tag = taken.word = 0
    for i in range(REFUSAL_WAYS):
        place = places + i
        seen = load_pair(&place.who)
        times = load(&place.times)
        if seen.tag == who and seen.word == counter + 1 and not is_faded(times, now_s):
            count_again(place, times, now_s)
            return place - memory
        count = 0 if seen.word == 0 or is_faded(times, now_s) else load(&place.counts) & LOW32
        if count < fewest:
            fewest, least, taken = count, place, seen
    if cas_pair(&least.who, taken.tag, taken.word, who, counter + 1):
        store(&least.counts, min(fewest + 1, LOW32) | fewest << 32)
        times = load(&least.times)
        store(&least.times, (times & LOW32 if fewest else now_s) | now_s << 32)
        store(&least.minutes, 1 | (now_s // 60 & MINUTE_NUMBERS) << 2 * MINUTE_BITS)
    return least - memory


cdef inline void count_again(Refusal *place, uint64_t times, uint64_t now_s) noexcept nogil:
    cdef uint64_t counts, since_s = times & LOW32, span_s = now_s - since_s if now_s > since_s else 0
    if span_s > KEPT_S:
        counts = load(&place.counts)
        store(&place.counts, (counts & LOW32) // 2 | (counts >> 32) // 2 << 32)
        since_s = now_s - min(span_s // 2, KEPT_S // 2)
    if load(&place.counts) & LOW32 < LOW32:
        fetch_add(&place.counts, 1)
    store(&place.times, since_s | now_s << 32)
    count_minute(place, now_s)


cdef inline void count_minute(Refusal *place, uint64_t now_s) noexcept nogil:
    # Arithmetic on one word of a place that the caller chose.
    cdef uint64_t seen = load(&place.minutes), minute = now_s // 60 & MINUTE_NUMBERS
    cdef uint64_t later = minute - (seen >> 2 * MINUTE_BITS) & MINUTE_NUMBERS
    if later == 0:
        if seen & MINUTE_MASK < MINUTE_MASK:
            fetch_add(&place.minutes, 1)
        return
    store(&place.minutes, 1 | (seen & MINUTE_MASK if later == 1 else 0) << MINUTE_BITS | minute << 2 * MINUTE_BITS)


cdef inline uint64_t lately(uint64_t minutes, uint64_t now_s) noexcept nogil:
    """Return the refusals of the last sixty seconds, as if those of a minute were spread evenly over it."""
    cdef uint64_t this = minutes & MINUTE_MASK, before = minutes >> MINUTE_BITS & MINUTE_MASK
    cdef uint64_t later = now_s // 60 - (minutes >> 2 * MINUTE_BITS) & MINUTE_NUMBERS
    if later > 1:
        return 0
    if later == 1:
        this, before = 0, this
    return this + (before * (60 - now_s % 60) + 59) // 60
