"""Algorithms that keep their state in one word: all that differs between them is asked here.

Each operation has one place, and there a line for each algorithm. Where an entry's rule is not known,
`entries.pxd` reads its word by the range that the kind's number is in.
"""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport SECOND, Pair, cas_pair, u128
from ratelimit.core.memory.entries cimport (
    ARRIVALS, BLOCKS, COUNTS, LIFETIME, PAIRS, find, insert, make_tag, word_of,
)
from ratelimit.core.algorithms.gcra cimport (
    gcra_arrival, gcra_check, gcra_known, gcra_live, gcra_lower, gcra_raise, gcra_remaining, gcra_reset, gcra_retry,
)
from ratelimit.core.memory.layout cimport Arena
from ratelimit.core.memory.quota cimport Check, Quota
from ratelimit.core.algorithms.settlement cimport corrected_by, owed
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.algorithms.setup cimport Charge, Look, Setup, rule_key
from ratelimit.core.algorithms.windows cimport (
    LAST_NS, Slide, count_check, count_correct, count_pack, count_remaining, count_reset, count_retry, count_roll, fixed_end,
    sliding_check, sliding_correct, sliding_pack, sliding_remaining, sliding_reset, sliding_retry, sliding_roll,
    stagger_of, staggered_end,
)

cdef enum:
    GCRA = ARRIVALS
    FIXED = COUNTS
    STAGGERED = COUNTS + 1
    SLIDING = PAIRS


cdef inline bint knows_word(uint64_t kind) noexcept nogil:
    """Return whether the operations below have an algorithm."""
    return kind == GCRA or kind == FIXED or kind == STAGGERED or kind == LIFETIME or kind == SLIDING


cdef inline uint64_t phase_of(const Quota *q, uint64_t key) noexcept nogil:
    """Return how long after a multiple of the period a key's windows begin, in seconds."""
    return stagger_of(q, key) if q.kind == STAGGERED else 0


cdef inline uint64_t window_end(const Quota *q, uint64_t key, uint64_t now) noexcept nogil:
    """Return when a key's window around now ends, of an algorithm that counts in one."""
    if q.kind == FIXED:
        return fixed_end(q, now)
    return staggered_end(q, key, now) if q.kind == STAGGERED else LAST_NS


cdef inline void check_word(
    const Quota *q, uint64_t key, uint64_t word, uint64_t now, uint64_t cost, Check *check
) noexcept nogil:
    check.next = word
    check.mark = 0
    if q.kind < COUNTS:
        gcra_check(q, word, now, cost, check)
    elif q.kind < PAIRS:
        count_check(q, word, window_end(q, key, now), cost, check)
    else:
        sliding_check(q, word, now, cost, check)


cdef inline int64_t retry_word(const Quota *q, uint64_t key, uint64_t word, uint64_t now, uint64_t cost) noexcept nogil:
    if q.kind < COUNTS:
        return gcra_retry(q, word, now, cost)
    if q.kind < PAIRS:
        return count_retry(q, word, window_end(q, key, now), now, cost)
    return sliding_retry(q, word, now, cost)


cdef inline uint64_t remaining_word(const Quota *q, uint64_t key, uint64_t word, uint64_t now) noexcept nogil:
    if q.kind < COUNTS:
        return gcra_remaining(q, word, now)
    if q.kind < PAIRS:
        return count_remaining(q, word, window_end(q, key, now))
    return sliding_remaining(q, word, now)


cdef inline uint64_t reset_word(const Quota *q, uint64_t key, uint64_t word, uint64_t now) noexcept nogil:
    if q.kind < COUNTS:
        return gcra_reset(q, word, now)
    if q.kind < PAIRS:
        return count_reset(q, word, window_end(q, key, now), now)
    return sliding_reset(q, word, now)


cdef inline uint64_t most_of(const Quota *q) noexcept nogil:
    """Return the most units that fit at one instant."""
    return q.burst if q.kind < COUNTS else q.units


cdef inline uint64_t used_word(const Quota *q, uint64_t key, uint64_t word, uint64_t now) noexcept nogil:
    """Return how many units are in use: of a bucket those of its burst that have not drained."""
    cdef uint64_t most = most_of(q)
    cdef uint64_t left = remaining_word(q, key, word, now)
    return most - left if most > left else 0


cdef inline uint64_t move_word(
    const Quota *q, const Charge *charge, uint64_t word, uint64_t now, int64_t asked, uint64_t *before, int64_t *moved
) noexcept nogil:
    """Return the word after a charge is corrected by `asked`, and how much of that took effect.

    `before` is a bucket's arrival time until then.
    """
    cdef uint64_t corrected
    if q.kind >= PAIRS:
        return sliding_correct(q, word, now, charge.mark, asked, moved)
    if q.kind >= COUNTS:
        return count_correct(q, word, window_end(q, charge.key, now), charge.mark, asked, moved)
    if asked > 0:
        before[0] = gcra_arrival(q, word, now)
        corrected = gcra_raise(q, before[0], now, <uint64_t>asked)
        moved[0] = <int64_t>((corrected - before[0]) // q.interval)
        return corrected if corrected != before[0] else word
    before[0] = gcra_known(q, word, now)
    moved[0] = gcra_live(q, before[0], now, charge.mark, charge.live)
    moved[0] = asked if moved[0] > -asked else -moved[0]
    return gcra_lower(q, before[0], now, charge.mark, <uint64_t>(-moved[0])) if moved[0] else word


cdef inline void settle_word(
    const Quota *q, Charge *charge, uint64_t before, uint64_t after, uint64_t now, int64_t asked, int64_t moved
) noexcept nogil:
    """Note in a charge what a correction moved; `before` and `after` are its word then, a bucket's arrival times."""
    if q.kind < COUNTS:
        settle_bucket(q, charge, before, after, now, asked, moved)
    else:
        settle_window(q, charge, after, now, asked, moved)


cdef inline bint commit_word(Setup *plan, int i, Charge *charge, Look *look, uint64_t now) noexcept nogil:
    """Write one word; False if, after a lost race, the cost no longer fits."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Arena *arena = plan.arena
    cdef Check check
    charge.held = charge.live = charge.cost
    while True:
        if look.next == look.seen:
            return True
        if look.entry != NULL:
            if cas_pair(look.entry, charge.tag, look.seen, charge.tag, look.next):
                break
        elif insert(arena, charge.key, charge.tag, look.next, now):
            break
        look.entry = find(arena, charge.key, charge.tag)
        look.seen = word_of(look.entry, charge.tag) if look.entry != NULL else 0
        check_word(q, charge.key, look.seen, now, charge.cost, &check)
        look.next = check.next
        charge.mark = check.mark
        if not check.allowed:
            charge.word = look.seen
            charge.retry = retry_word(q, charge.key, look.seen, now, charge.cost)
            return False
    charge.word = look.next
    charge.charged = True
    return True


cdef inline void settle_bucket(
    const Quota *q, Charge *charge, uint64_t before, uint64_t after, uint64_t now, int64_t asked, int64_t moved
) noexcept nogil:
    """Note in a bucket's charge that a correction moved the TAT from `before` to `after`."""
    charge.live = gcra_live(q, before, now, charge.mark, charge.live)
    corrected_by(charge, asked, moved)
    if moved > 0:
        charge.mark = after
    elif moved < 0:
        charge.mark -= before - after


cdef inline void settle_window(
    const Quota *q, Charge *charge, uint64_t word, uint64_t now, int64_t asked, int64_t moved
) noexcept nogil:
    """Note in a window's charge what a correction moved, and which window it is of from now on."""
    cdef Slide slide
    cdef uint64_t window
    cdef bint is_over
    if q.kind < PAIRS:
        window = window_end(q, charge.key, now)
        count_roll(q, word, &window)
        is_over = window != charge.mark
    else:
        slide = sliding_roll(q, word, now)
        window = slide.window
        is_over = window != charge.mark and window != charge.mark + 1
    if is_over:
        charge.live = 0
        if moved > 0:
            charge.mark = window
    corrected_by(charge, asked, moved)


cdef inline int64_t correct_word(Setup *plan, int i, Charge *charge, uint64_t actual, uint64_t now) noexcept nogil:
    """Replace what rule `i` was charged by `actual`; return the signed correction that took effect."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Arena *arena = plan.arena
    cdef int64_t asked = owed(charge, actual) if actual != charge.cost else 0
    cdef Pair *entry
    cdef uint64_t word, corrected, before = 0
    cdef int64_t moved = 0
    charge.cost = actual
    charge.charged = actual > 0
    if asked == 0:
        return 0
    while True:
        entry = find(arena, charge.key, charge.tag)
        word = word_of(entry, charge.tag) if entry != NULL else 0
        corrected = move_word(q, charge, word, now, asked, &before, &moved)
        if corrected == word:
            break
        if entry != NULL:
            if cas_pair(entry, charge.tag, word, charge.tag, corrected):
                break
        elif asked < 0 or insert(arena, charge.key, charge.tag, corrected, now):
            break  # a refund to an entry that was evicted: nothing is left to give back to
    charge.word = corrected
    settle_word(
        q, charge, before, corrected if corrected != word or q.kind >= COUNTS else before, now, asked, moved
    )
    return moved


cdef inline uint64_t charge_word(
    Setup *plan, int i, uint64_t *ids, uint64_t used, uint64_t most, uint64_t now
) noexcept nogil:
    """Charge rule `i` with what was used already, if at most `most` is left; return what is forgiven of it."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Charge charge
    cdef Check check
    cdef Pair *entry
    charge.key = rule_key(plan, i, ids)
    if charge.key == ABSENT_HASH:
        return 0
    charge.tag = make_tag(charge.key, q.kind, plan.shapes[i])
    entry = find(plan.arena, charge.key, charge.tag)
    if remaining_word(q, charge.key, word_of(entry, charge.tag) if entry != NULL else 0, now) > most:
        return 0
    # The window a charge of now would belong to.
    check_word(q, charge.key, 0, now, 0, &check)
    charge.mark = check.mark
    charge.cost = charge.held = charge.live = 0
    charge.charged = False
    correct_word(plan, i, &charge, used, now)
    return used - charge.held if used > charge.held else 0


cdef inline uint64_t in_use(const Quota *q, uint64_t key, uint64_t word, uint64_t now) noexcept nogil:
    """Return how many units can be taken out of use, those in debt too: of a lifetime what may be paid in advance."""
    cdef uint64_t end
    cdef Slide slide
    if q.kind < COUNTS:
        return (gcra_arrival(q, word, now) - (now << 4) + q.interval - 1) // q.interval
    if q.kind < PAIRS:
        end = window_end(q, key, now)
        return count_roll(q, word, &end)
    slide = sliding_roll(q, word, now)
    return slide.current + <uint64_t>((<u128>slide.before * (q.period_ns - slide.elapsed) + q.period_ns - 1) // q.period_ns)


cdef inline uint64_t lowered(const Quota *q, uint64_t key, uint64_t word, uint64_t now, uint64_t units) noexcept nogil:
    """Return a word with so many units less in use, or with none."""
    cdef uint64_t arrival, end, count, both
    cdef Slide slide
    if units >= in_use(q, key, word, now) and q.kind != LIFETIME:
        return 0
    if q.kind < COUNTS:
        arrival = gcra_arrival(q, word, now)
        return arrival - units * q.interval if arrival > units * q.interval else 0
    if q.kind < PAIRS:
        end = window_end(q, key, now)
        count = count_roll(q, word, &end)
        return count_pack(q, end, count - units)
    slide = sliding_roll(q, word, now)
    both = slide.before + slide.current
    slide.current -= min(units, slide.current)
    slide.before -= min(units - (both - slide.before - slide.current), slide.before)
    return sliding_pack(q, slide.window, slide.before, slide.current)


cdef inline uint64_t take_word(Setup *plan, int i, uint64_t *ids, uint64_t most, uint64_t now) noexcept nogil:
    """Take up to `most` units out of what is in use of rule `i`; return how many.

    Of workers that take at the same time each gets others: the swap of one fails, and it looks again.
    """
    cdef const Quota *q = &plan.quotas[i]
    cdef uint64_t key = rule_key(plan, i, ids), tag, word, units
    cdef Pair *entry
    if key == ABSENT_HASH:
        return 0
    tag = make_tag(key, q.kind, plan.shapes[i])
    while True:
        entry = find(plan.arena, key, tag)
        if entry == NULL and q.kind != LIFETIME:
            return 0
        word = word_of(entry, tag) if entry != NULL else 0
        units = min(most, in_use(q, key, word, now))
        if units == 0:
            return 0
        if entry == NULL:
            if insert(plan.arena, key, tag, lowered(q, key, word, now, units), now):
                return units
        elif cas_pair(entry, tag, word, tag, lowered(q, key, word, now, units)):
            return units


cdef inline uint64_t carry_word(Setup *plan, int i, uint64_t *source, uint64_t *target, uint64_t now) noexcept nogil:
    """Charge rule `i` under the target's key with what is used under the source's; return what is forgiven of it."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Pair *entry
    cdef uint64_t tag, key = rule_key(plan, i, source)
    if key == ABSENT_HASH or key == rule_key(plan, i, target):
        return 0
    tag = make_tag(key, q.kind, plan.shapes[i])
    entry = find(plan.arena, key, tag)
    if entry != NULL:
        return charge_word(plan, i, target, used_word(q, key, word_of(entry, tag), now), <uint64_t>-1, now)
    return 0
