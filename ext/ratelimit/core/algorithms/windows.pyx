"""Windows: what few decisions need, kept out of the way of the others. See `windows.pxd`."""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport u128
from ratelimit.core.memory.entries cimport FROZEN, number_in
from ratelimit.core.memory.quota cimport NEVER, Quota


cdef inline uint64_t fixed_start(const Quota *quota, uint64_t end) noexcept nogil:
    """Return when the window begins that ends at `end`: when the one before ends."""
    cdef uint64_t absolute = quota.epoch_ns + end
    cdef uint64_t low = 0, high = quota.calendar_size, middle
    while low < high:  # the first start that is not before the end
        middle = (low + high) // 2
        if quota.calendar[middle] < absolute:
            low = middle + 1
        else:
            high = middle
    if 0 < low and (low < quota.calendar_size or absolute - quota.calendar[low - 1] <= quota.period_ns):
        return quota.calendar[low - 1] - quota.epoch_ns if quota.calendar[low - 1] > quota.epoch_ns else 0
    return end - quota.period_ns if end > quota.period_ns else 0


cdef uint64_t left_in_use(const Quota *quota, uint64_t word, uint64_t end) noexcept nogil:
    """Return what the window that ends at `end` begins with, of a word from before it."""
    cdef uint64_t start = fixed_start(quota, end)
    if word == 0 or word >> quota.bits != grains_of(quota, start):
        return 0
    return drained(quota, word & ((<uint64_t>1 << quota.bits) - 1))


cdef void slide_wide(const Quota *quota, Slide *slide, uint64_t word, uint64_t past) noexcept nogil:
    """Read a wide word and its past; one that is marked was moved to the present by a step of the clock, before the word is."""
    cdef uint64_t behind = number_in(past, quota.bits) + 1
    slide.is_wide = True
    slide.current = low_bits(word, quota.bits)
    slide.before = 0
    if past and (behind == number_in(word, quota.bits) or past & FROZEN and behind == slide.window):
        slide.before = low_bits(past, quota.bits)


cdef int64_t sliding_retry(
    const Quota *quota, uint64_t word, uint64_t past, uint64_t now, uint64_t cost
) noexcept nogil:
    """Return the least wait after which `cost` fits, if nothing else is charged."""
    cdef Slide s = sliding_roll(quota, word, past, now)
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


cdef uint64_t sliding_reset(const Quota *quota, uint64_t word, uint64_t past, uint64_t now) noexcept nogil:
    cdef Slide s = sliding_roll(quota, word, past, now)
    if s.current:
        return s.ahead + 2 * quota.period_ns - s.elapsed
    return s.ahead + quota.period_ns - s.elapsed if s.before else 0


cdef uint64_t sliding_window(const Quota *quota, uint64_t word, uint64_t now) noexcept nogil:
    """Return the number of the window that now counts in."""
    return sliding_roll(quota, word, 0, now).window
