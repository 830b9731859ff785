"""Windows: counts of aligned windows, packed into one word.

Counted: window end, and count. The end is a number of grains since the epoch, rounded up: a grain is a
power of two of seconds, a quarter of the period at most. No two windows end in one grain, so what is
saved of the end is exact, and the count has the bits (`window_bits`). Each window admits
at most N, any interval of its length at most 2 N. Fixed windows begin at multiples of the period, or by a
calendar. Staggered windows begin at an offset of each key's own. A lifetime is one window that never ends.
Its count begins at `base` and not at 0, so that it has room for what is paid in advance.

Sliding: window number since the epoch, count of the window before, count of this
one. The window before counts with the share of it that the sliding window still
covers. Each aligned window at most N, any interval of that length below 2 N, and
for evenly spread traffic about N.

A `now` before the stored window counts in the stored window. So a clock that steps
back a little makes a window longer, and never opens a new one. After a step of more
than a window and a minute the counts move to the present window, as they are.
No caller gains by it, and none waits for the old time to come round again.
"""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport SECOND, u128
from ratelimit.core.memory.entries cimport COUNT_BITS, COUNTS, LIFETIME
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
    if quota.kind == COUNTS:
        return fixed_end(quota, last - (SECOND << (quota.bits - COUNT_BITS)))
    return end + (last - end) // quota.period_ns * quota.period_ns


cdef inline uint64_t count_roll(const Quota *quota, uint64_t word, uint64_t *end) noexcept nogil:
    """Return the count that now counts in; `end` is when the window around now ends, and then that count's."""
    cdef uint64_t stored = word >> quota.bits, present = grains_of(quota, end[0]), later
    if stored < present:
        return quota.base
    if stored > present and quota.kind != LIFETIME:
        later = later_end(quota, end[0], stored)
        if later <= end[0] + quota.period_ns + STEP_NS:
            end[0] = later
    return word & ((<uint64_t>1 << quota.bits) - 1)


cdef inline uint64_t count_pack(const Quota *quota, uint64_t end, uint64_t count) noexcept nogil:
    return (grains_of(quota, end) << quota.bits) | count


cdef inline void count_check(const Quota *quota, uint64_t word, uint64_t end, uint64_t cost, Check *check) noexcept nogil:
    cdef uint64_t count = count_roll(quota, word, &end)
    check.allowed = count + cost <= quota.units + quota.base
    check.next = word if count == quota.base else count_pack(quota, end, count)
    if check.allowed and cost:
        check.next = count_pack(quota, end, count + cost)
    check.mark = end


cdef inline uint64_t count_remaining(const Quota *quota, uint64_t word, uint64_t end) noexcept nogil:
    cdef uint64_t count = count_roll(quota, word, &end)
    return quota.units + quota.base - count if quota.units + quota.base > count else 0


cdef inline int64_t count_retry(
    const Quota *quota, uint64_t word, uint64_t end, uint64_t now, uint64_t cost
) noexcept nogil:
    if cost > quota.units or quota.kind == LIFETIME:
        return NEVER
    count_roll(quota, word, &end)
    return end - now


cdef inline uint64_t count_reset(const Quota *quota, uint64_t word, uint64_t end, uint64_t now) noexcept nogil:
    """Return when all of it is back; 0 of a lifetime, as time gives nothing back."""
    return end - now if quota.kind != LIFETIME and count_roll(quota, word, &end) else 0


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


cdef inline Slide sliding_roll(const Quota *quota, uint64_t word, uint64_t now) noexcept nogil:
    cdef Slide slide
    cdef uint64_t mask = (<uint64_t>1 << quota.bits) - 1
    cdef uint64_t absolute = quota.epoch_ns + now
    cdef uint64_t number = absolute // quota.period_ns
    cdef uint64_t stored = word >> (2 * quota.bits)
    slide.elapsed = absolute - number * quota.period_ns
    slide.ahead = 0
    slide.window = number - quota.first_window
    slide.before = (word >> quota.bits) & mask
    slide.current = word & mask
    if word == 0 or slide.window > stored + 1:
        slide.before = 0
        slide.current = 0
    elif slide.window == stored + 1:
        slide.before = slide.current
        slide.current = 0
    elif slide.window < stored:
        slide.ahead = (stored + quota.first_window) * quota.period_ns - absolute
        if slide.ahead > quota.period_ns + STEP_NS:
            slide.ahead = 0
        else:
            slide.window = stored
            slide.elapsed = 0
    return slide


cdef inline uint64_t sliding_pack(const Quota *quota, uint64_t window, uint64_t before, uint64_t current) noexcept nogil:
    return (window << (2 * quota.bits)) | (before << quota.bits) | current


cdef inline void sliding_check(const Quota *quota, uint64_t word, uint64_t now, uint64_t cost, Check *check) noexcept nogil:
    cdef Slide s = sliding_roll(quota, word, now)
    cdef u128 used
    check.mark = s.window
    check.next = word if s.before == 0 and s.current == 0 else sliding_pack(quota, s.window, s.before, s.current)
    used = <u128>s.before * (quota.period_ns - s.elapsed) + <u128>(s.current + cost) * quota.period_ns
    check.allowed = used <= <u128>quota.units * quota.period_ns
    if check.allowed and cost:
        check.next = sliding_pack(quota, s.window, s.before, s.current + cost)


cdef inline uint64_t sliding_remaining(const Quota *quota, uint64_t word, uint64_t now) noexcept nogil:
    cdef Slide s = sliding_roll(quota, word, now)
    cdef u128 used = <u128>s.before * (quota.period_ns - s.elapsed) + <u128>s.current * quota.period_ns
    cdef u128 whole = <u128>quota.units * quota.period_ns
    return <uint64_t>((whole - used) // quota.period_ns) if whole > used else 0


cdef inline int64_t sliding_retry(const Quota *quota, uint64_t word, uint64_t now, uint64_t cost) noexcept nogil:
    """Return the least wait after which `cost` fits, if nothing else is charged."""
    cdef Slide s = sliding_roll(quota, word, now)
    cdef u128 period = quota.period_ns
    cdef u128 covered
    if cost > quota.units:
        return NEVER
    if s.current + cost <= quota.units and s.before:
        # before * (period - elapsed) <= room * period, solved for elapsed.
        covered = <u128>(quota.units - s.current - cost) * period // s.before
        if covered >= period - s.elapsed:
            return s.ahead
        if covered > 0:
            return <int64_t>(s.ahead + <uint64_t>(period - covered) - s.elapsed)
    elif s.current + cost <= quota.units:
        return s.ahead
    # This window never gets there. In the next, this one's count is what fades.
    covered = period
    if s.current:
        covered = <u128>(quota.units - cost) * period // s.current
        if covered > period:
            covered = period
    return <int64_t>(s.ahead + quota.period_ns - s.elapsed + <uint64_t>(period - covered))


cdef inline uint64_t sliding_reset(const Quota *quota, uint64_t word, uint64_t now) noexcept nogil:
    cdef Slide s = sliding_roll(quota, word, now)
    if s.current:
        return s.ahead + 2 * quota.period_ns - s.elapsed
    return s.ahead + quota.period_ns - s.elapsed if s.before else 0


cdef inline uint64_t sliding_correct(
    const Quota *quota, uint64_t word, uint64_t now, uint64_t mark, int64_t delta, int64_t *moved
) noexcept nogil:
    """Return the word after a correction of window number `mark`.

    When that no longer counts, more counts in the window that now is, and less changes nothing.
    """
    cdef Slide s = sliding_roll(quota, word, now)
    cdef uint64_t corrected
    moved[0] = 0
    if s.window == mark + 1:
        corrected = saturated(quota, s.before, delta)
        moved[0] = <int64_t>corrected - <int64_t>s.before
        s.before = corrected
    elif s.window == mark or delta > 0:
        corrected = saturated(quota, s.current, delta)
        moved[0] = <int64_t>corrected - <int64_t>s.current
        s.current = corrected
    return sliding_pack(quota, s.window, s.before, s.current) if moved[0] else word
