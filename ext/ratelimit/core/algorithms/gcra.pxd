"""Token bucket as the generic cell rate algorithm (ITU-T I.371): one arrival time is the state.

Times are in ticks of 1/16 ns since the table's epoch, so emission intervals of
high rates are rounded by no more. The word is the theoretical arrival time (TAT);
absent is 0. Over any interval of length L at most burst + rate * L units pass. For
that the emission interval is rounded up, and a TAT in the past counts as now. (A
crate that forgets the latter lets an idle bucket overfill.)
"""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.quota cimport NEVER, STEP_NS, Check, Quota


cdef extern from *:
    """
    /* A branch, which the processor predicts. A conditional move would make all that follows wait for the word:
     * a third more for a decision among a million keys. */
    #define KIN_IS_NEAR(word, bound) __builtin_expect_with_probability((word) <= (bound), 1, 0.999999)
    """
    bint is_near "KIN_IS_NEAR"(uint64_t word, uint64_t bound) noexcept nogil


cdef inline uint64_t gcra_known(const Quota *quota, uint64_t word, uint64_t now) noexcept nogil:
    """Return the TAT as it can be believed.

    A TAT is believed up to `believed` ahead of now: the debt that the limit allows, and two buckets
    at least. Another worker's now may be later than ours by what clocks and scheduling differ.
    Further ahead means that the clock stepped back: then the bucket counts as empty. So no
    caller gains, and none waits for the old time to come round again. A refusal stores the
    TAT that is believed, else the old one would be believed later.
    """
    cdef uint64_t ticks = now << 4
    return word if is_near(word, ticks + quota.believed + (STEP_NS << 4)) else ticks + quota.depth


cdef inline uint64_t gcra_arrival(const Quota *quota, uint64_t word, uint64_t now) noexcept nogil:
    """Return the later of TAT and now, in ticks."""
    word = gcra_known(quota, word, now)
    return word if word > now << 4 else now << 4


cdef inline void gcra_check(const Quota *quota, uint64_t word, uint64_t now, uint64_t cost, Check *check) noexcept nogil:
    cdef uint64_t full = (now << 4) + quota.depth
    cdef uint64_t arrival = gcra_arrival(quota, word, now)
    check.next = gcra_known(quota, word, now)
    check.mark = arrival
    # The burst bounds the product, which therefore cannot wrap.
    check.allowed = cost <= quota.burst and arrival + cost * quota.interval <= full
    if check.allowed and cost:
        check.next = arrival + cost * quota.interval
        check.mark = check.next


cdef inline uint64_t gcra_remaining(const Quota *quota, uint64_t word, uint64_t now) noexcept nogil:
    cdef uint64_t full = (now << 4) + quota.depth
    cdef uint64_t arrival = gcra_arrival(quota, word, now)
    return (full - arrival) // quota.interval if full > arrival else 0


cdef inline int64_t gcra_retry(const Quota *quota, uint64_t word, uint64_t now, uint64_t cost) noexcept nogil:
    if cost > quota.burst:
        return NEVER
    return (gcra_arrival(quota, word, now) + cost * quota.interval - (now << 4) - quota.depth + 15) >> 4


cdef inline uint64_t gcra_reset(const Quota *quota, uint64_t word, uint64_t now) noexcept nogil:
    return (gcra_arrival(quota, word, now) - (now << 4) + 15) >> 4


cdef inline uint64_t gcra_raise(const Quota *quota, uint64_t arrival, uint64_t now, uint64_t units) noexcept nogil:
    """Return the TAT after `units` more, of which those are forgiven that lie beyond the debt."""
    cdef uint64_t furthest = (now << 4) + quota.furthest
    if arrival >= furthest:
        return arrival  # in full debt already, or further since a reload lowered the burst
    # Compare before multiplying: a huge overrun must saturate, not wrap.
    if units > (furthest - arrival) // quota.interval:
        return furthest
    return arrival + units * quota.interval


cdef inline uint64_t gcra_live(const Quota *quota, uint64_t word, uint64_t now, uint64_t mark, uint64_t units) noexcept nogil:
    """Return how many of a charge's `units` have not drained, or not all of them; `mark` is the TAT just after the charge.

    Units that lie before now in the virtual queue were used up by time passing. Returning
    them would let a later burst exceed the bucket (Go's Reservation.Cancel reasons
    alike). The queue may have become shorter since: other charges were given back.
    """
    cdef uint64_t ahead = gcra_ahead(word, now, mark)
    cdef uint64_t undrained = ahead // quota.interval + (ahead % quota.interval != 0)
    return units if units < undrained else undrained


cdef inline uint64_t gcra_ahead(uint64_t word, uint64_t now, uint64_t mark) noexcept nogil:
    """Return how many ticks of the queue are ahead of now up to the end of a charge."""
    cdef uint64_t last = mark if mark < word else word
    return last - (now << 4) if last > now << 4 else 0


cdef inline uint64_t gcra_lower(const Quota *quota, uint64_t word, uint64_t now, uint64_t mark, uint64_t units) noexcept nogil:
    """Return the TAT without `units` of a charge that `gcra_live` counts.

    The first of them may have drained in part, which stays used. Any time passes between a charge and its
    correction: a whole unit would be lost by each.
    """
    cdef uint64_t ahead = gcra_ahead(word, now, mark)
    cdef uint64_t back = units * quota.interval
    return word - (back if back < ahead else ahead)
