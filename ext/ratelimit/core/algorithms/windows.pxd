"""Windows: counts of aligned windows, packed into one word.

Counted: window end, and count. The end is a number of grains since the epoch, rounded up: a grain is a
power of two of seconds, a quarter of the period at most. No two windows end in one grain, so what is
saved of the end is exact, and the count has the bits (`window_bits`). Each window admits
at most N, any interval of its length at most 2 N. Fixed windows begin at multiples of the period, or by a
calendar. Staggered windows begin at an offset of each key's own. A lifetime is one window that never ends.
Its count begins at `base` and not at 0, so that it has room for what is paid in advance.

Carried: the same, of windows that have room for a burst. The quota drains from the count as each of them ends,
so that the next has what was left, up to the burst. What a key used of one window therefore matters in the next,
and in no later one.

Sliding: window number since the epoch, count of the window before, count of this
one. The window before counts with the share of it that the sliding window still
covers. Each aligned window at most N, any interval of that length below 2 N, and
for evenly spread traffic about N. Two counts too large for one word are in two: the key's own has this window's,
as a *wide* word, and another entry (`sliding_words.pxd`) has the count of the window before, the *past*.

A `now` before the stored window counts in the stored window. So a clock that steps
back a little makes a window longer, and never opens a new one. After a step of more
than a window and a minute the counts move to the present window, as they are.
No caller gains by it, and none waits for the old time to come round again.
"""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport SECOND, u128
from ratelimit.core.memory.entries cimport CARRIED, COUNT_BITS, COUNTS, LIFETIME, WIDE, number_in
from ratelimit.core.memory.quota cimport NEVER, STEP_NS, Check, Quota
from ratelimit.core.memory.siphash cimport mix, unmix


cdef inline uint64_t fixed_end(const Quota *quota, uint64_t now) noexcept nogil:
    """Return when the window around `now` ends, in ns since the epoch of the table."""
    cdef uint64_t absolute = quota.epoch_ns + now
    cdef uint64_t low = 0, high = quota.calendar_size, middle
    if quota.calendar_size == 0:
        return absolute - absolute % quota.period_ns + quota.period_ns - quota.epoch_ns
    while low < high:  # the first start after now
        middle = (low + high) // 2
        if quota.calendar[middle] <= absolute:
            low = middle + 1
        else:
            high = middle
    if low < quota.calendar_size:
        return quota.calendar[low] - quota.epoch_ns
    # Past the last known start: windows of the nominal length from there on.
    low = quota.calendar[quota.calendar_size - 1]
    return absolute - (absolute - low) % quota.period_ns + quota.period_ns - quota.epoch_ns


cdef inline uint64_t stagger_of(const Quota *quota, uint64_t key) noexcept nogil:
    """Return the offset of a key's own windows: whole seconds below the period, spread evenly over keys.

    A worker's share of a limit has the windows of the whole.
    """
    if quota.share:
        key = unmix(key) ^ quota.share
    return ((mix(key) >> 32) * (quota.period_ns // SECOND)) >> 32


cdef inline uint64_t staggered_end(const Quota *quota, uint64_t key, uint64_t now) noexcept nogil:
    """Return when the key's own window around `now` ends, in ns since the epoch of the table."""
    cdef uint64_t since = quota.epoch_ns + now + quota.period_ns - stagger_of(quota, key) * SECOND
    return now + quota.period_ns - since % quota.period_ns


cdef extern from *:
    # A lifetime's end, in ns since the epoch: a number that no window of it is compared with but its own.
    const uint64_t LAST_NS "((uint64_t)268435456u * 1000000000u)"


cdef inline uint64_t grains_of(const Quota *quota, uint64_t end) noexcept nogil:
    """Return how a word says when a window ends."""
    return (end // SECOND + ((<uint64_t>1 << (quota.bits - COUNT_BITS)) - 1)) >> (quota.bits - COUNT_BITS)


cdef inline uint64_t later_end(const Quota *quota, uint64_t end, uint64_t grains) noexcept nogil:
    """Return when a window ends that a word says; it is later than the one that ends at `end`."""
    cdef uint64_t last = (grains << (quota.bits - COUNT_BITS)) * SECOND
    if quota.kind != COUNTS + 1:
        return fixed_end(quota, last - (SECOND << (quota.bits - COUNT_BITS)))
    return end + (last - end) // quota.period_ns * quota.period_ns


cdef inline uint64_t drained(const Quota *quota, uint64_t count) noexcept nogil:
    """Return what a window begins with, of a count in the one before; a debt ends with its window."""
    cdef uint64_t rest = count - quota.units if count > quota.units else 0
    return rest if rest < quota.burst - quota.units else quota.burst - quota.units


cdef uint64_t left_in_use(const Quota *quota, uint64_t word, uint64_t end) noexcept nogil


cdef inline uint64_t count_roll(const Quota *quota, uint64_t word, uint64_t *end) noexcept nogil:
    """Return the count that now counts in; `end` is when the window around now ends, and then that count's."""
    cdef uint64_t stored = word >> quota.bits, present = grains_of(quota, end[0]), later
    if stored < present:
        return quota.base if quota.kind != CARRIED else left_in_use(quota, word, end[0])
    if stored > present and quota.kind != LIFETIME:
        later = later_end(quota, end[0], stored)
        if later <= end[0] + quota.period_ns + STEP_NS:
            end[0] = later
    return word & ((<uint64_t>1 << quota.bits) - 1)


cdef inline uint64_t count_pack(const Quota *quota, uint64_t end, uint64_t count) noexcept nogil:
    return (grains_of(quota, end) << quota.bits) | count


cdef inline void count_check(const Quota *quota, uint64_t word, uint64_t end, uint64_t cost, Check *check) noexcept nogil:
    cdef uint64_t count = count_roll(quota, word, &end)
    check.allowed = count + cost <= quota.burst + quota.base
    check.next = word if count == quota.base else count_pack(quota, end, count)
    if check.allowed and cost:
        check.next = count_pack(quota, end, count + cost)
    check.mark = end


cdef inline uint64_t count_remaining(const Quota *quota, uint64_t word, uint64_t end) noexcept nogil:
    cdef uint64_t count = count_roll(quota, word, &end)
    return quota.burst + quota.base - count if quota.burst + quota.base > count else 0


cdef inline int64_t count_retry(
    const Quota *quota, uint64_t word, uint64_t end, uint64_t now, uint64_t cost
) noexcept nogil:
    cdef uint64_t count
    if cost > quota.burst or quota.kind == LIFETIME:
        return NEVER
    count = count_roll(quota, word, &end)
    if quota.kind == CARRIED:
        if count + cost <= quota.burst:
            return 0
        if drained(quota, count) + cost > quota.burst:
            end = fixed_end(quota, end)
    return end - now


cdef inline uint64_t count_reset(const Quota *quota, uint64_t word, uint64_t end, uint64_t now) noexcept nogil:
    """Return when all of it is back; 0 of a lifetime, as time gives nothing back."""
    cdef uint64_t count = count_roll(quota, word, &end)
    if count == 0 or quota.kind == LIFETIME:
        return 0
    return (fixed_end(quota, end) if quota.kind == CARRIED and count > quota.units else end) - now


cdef inline uint64_t saturated(const Quota *quota, uint64_t count, int64_t delta) noexcept nogil:
    """Return a count corrected by `delta`: at least 0, and raised to the quota and its debt at most."""
    cdef uint64_t less, raised
    if delta < 0:
        less = <uint64_t>(-delta)
        return count - less if count > less else 0
    raised = count + <uint64_t>delta
    if raised > quota.ceiling:
        raised = quota.ceiling
    # A reload may have lowered the quota under what is counted: that stays.
    return raised if raised > count else count


cdef inline uint64_t count_correct(
    const Quota *quota, uint64_t word, uint64_t end, uint64_t mark, int64_t delta, int64_t *moved
) noexcept nogil:
    """Return the word after a correction of the window that ends at `mark`.

    When that is over, more counts in the window that now is, and less changes nothing.
    """
    cdef uint64_t corrected
    cdef uint64_t count = count_roll(quota, word, &end)
    moved[0] = 0
    if end != mark and delta < 0:
        return word
    corrected = saturated(quota, count, delta)
    moved[0] = <int64_t>corrected - <int64_t>count
    return count_pack(quota, end, corrected) if moved[0] else word


cdef struct Slide:
    uint64_t window    # number of the window, from that of the table's epoch
    uint64_t before
    uint64_t current
    uint64_t elapsed   # ns of the window that have passed
    uint64_t ahead     # ns until the window starts: only after a clock step back
    bint is_wide       # the word is, and of this window: the count before it is in the past


cdef void slide_wide(const Quota *quota, Slide *slide, uint64_t word, uint64_t past) noexcept nogil


cdef inline uint64_t low_bits(uint64_t word, uint64_t bits) noexcept nogil:
    return word & ((<uint64_t>1 << bits) - 1)


cdef inline Slide sliding_roll(const Quota *quota, uint64_t word, uint64_t past, uint64_t now) noexcept nogil:
    """Return what counts now; `past` is only looked at if the word is wide."""
    cdef Slide slide
    cdef uint64_t absolute = quota.epoch_ns + now
    cdef uint64_t number = absolute // quota.period_ns
    cdef uint64_t stored = number_in(word, quota.bits)
    slide.elapsed = absolute - number * quota.period_ns
    slide.ahead = 0
    slide.window = number - quota.first_window
    slide.is_wide = False
    if word & WIDE:
        slide_wide(quota, &slide, word, past)
    else:
        slide.before = low_bits(word >> (quota.bits >> 1), quota.bits >> 1)
        slide.current = low_bits(word, quota.bits >> 1)
    if slide.window == stored:
        return slide
    if slide.window > stored:
        slide.before = slide.current if slide.window == stored + 1 else 0
        slide.current = 0
        slide.is_wide = False
        return slide
    slide.ahead = (stored + quota.first_window) * quota.period_ns - absolute
    if slide.ahead > quota.period_ns + STEP_NS:
        slide.ahead = 0
    else:
        slide.window = stored
        slide.elapsed = 0
    return slide


cdef inline uint64_t wide_word(const Quota *quota, uint64_t window, uint64_t count) noexcept nogil:
    return WIDE | (window << quota.bits) | count


cdef inline uint64_t sliding_pack(const Quota *quota, const Slide *s) noexcept nogil:
    """Return a word with these counts: a wide one leaves the count before to the past."""
    if s.is_wide or (s.before | s.current) >> (quota.bits >> 1):
        return wide_word(quota, s.window, s.current)
    return (s.window << quota.bits) | (s.before << (quota.bits >> 1)) | s.current


cdef inline bint needs_past(const Quota *quota, const Slide *s) noexcept nogil:
    """Return whether a count has to become the past before a word can have these counts."""
    return not s.is_wide and s.before and (s.before | s.current) >> (quota.bits >> 1)


cdef inline Slide sliding_check(
    const Quota *quota, uint64_t word, uint64_t past, uint64_t now, uint64_t cost, Check *check
) noexcept nogil:
    """Ask whether the cost fits; return what counts then."""
    cdef Slide s = sliding_roll(quota, word, past, now)
    cdef bint was_used = s.before or s.current
    check.mark = s.window
    check.allowed = s.current + cost <= quota.units and (
        s.before == 0
        or <u128>s.before * (quota.period_ns - s.elapsed) <= <u128>(quota.units - s.current - cost) * quota.period_ns
    )
    if check.allowed:
        s.current += cost
    check.next = sliding_pack(quota, &s) if was_used or check.allowed and cost else word
    return s


cdef inline uint64_t sliding_remaining(const Quota *quota, uint64_t word, uint64_t past, uint64_t now) noexcept nogil:
    cdef Slide s = sliding_roll(quota, word, past, now)
    cdef u128 used, whole
    if s.before == 0:
        return quota.units - s.current if quota.units > s.current else 0
    used = <u128>s.before * (quota.period_ns - s.elapsed) + <u128>s.current * quota.period_ns
    whole = <u128>quota.units * quota.period_ns
    return <uint64_t>((whole - used) // quota.period_ns) if whole > used else 0


cdef int64_t sliding_retry(const Quota *quota, uint64_t word, uint64_t past, uint64_t now, uint64_t cost) noexcept nogil
cdef uint64_t sliding_reset(const Quota *quota, uint64_t word, uint64_t past, uint64_t now) noexcept nogil
cdef uint64_t sliding_window(const Quota *quota, uint64_t word, uint64_t now) noexcept nogil


cdef inline bint sliding_correct(const Quota *quota, Slide *s, uint64_t mark, int64_t delta, int64_t *moved) noexcept nogil:
    """Correct the counts of window number `mark`; return whether that is the one before.

    When that no longer counts, more counts in the window that now is, and less changes nothing.
    """
    cdef uint64_t corrected
    moved[0] = 0
    if s.window == mark + 1:
        corrected = saturated(quota, s.before, delta)
        moved[0] = <int64_t>corrected - <int64_t>s.before
        s.before = corrected
        return True
    if s.window == mark or delta > 0:
        corrected = saturated(quota, s.current, delta)
        moved[0] = <int64_t>corrected - <int64_t>s.current
        s.current = corrected
    return False
