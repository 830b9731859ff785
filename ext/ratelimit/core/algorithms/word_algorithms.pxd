"""Algorithms that keep their state in one word: all that differs between them is asked here.

Each operation has one place, and there a line for each algorithm. Where an entry's rule is not known,
`entries.pxd` reads its word by the range that the kind's number is in.
"""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport Pair, cas_pair
from ratelimit.core.memory.entries cimport (
    ARRIVALS, BLOCKS, CARRIED, COUNTS, LIFETIME, PAIRS, find, insert, make_tag, word_of,
)
from ratelimit.core.algorithms.gcra cimport (
    gcra_arrival, gcra_check, gcra_known, gcra_live, gcra_lower, gcra_raise, gcra_remaining, gcra_reset, gcra_retry,
)
from ratelimit.core.memory.layout cimport Arena
from ratelimit.core.memory.quota cimport Check, Quota
from ratelimit.core.algorithms.settlement cimport corrected_by, owed
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.algorithms.setup cimport Charge, Look, Setup, rule_key
from ratelimit.core.algorithms.sliding_words cimport (
    check_sliding, correct_sliding, look_up, take_sliding,
)
from ratelimit.core.algorithms.windows cimport (
    LAST_NS, count_check, count_correct, count_pack, count_remaining, count_reset, count_retry, count_roll, fixed_end,
    sliding_remaining, sliding_reset, sliding_retry, sliding_window, stagger_of, staggered_end,
)

cdef enum:
    GCRA = ARRIVALS
    FIXED = COUNTS
    STAGGERED = COUNTS + 1
    SLIDING = PAIRS


cdef inline bint knows_word(uint64_t kind) noexcept nogil:
    """Return whether the operations below have an algorithm."""
    return kind == GCRA or kind == FIXED or kind == STAGGERED or kind == CARRIED or kind == LIFETIME or kind == SLIDING


cdef inline uint64_t phase_of(const Quota *q, uint64_t key) noexcept nogil:
    """Return how long after a multiple of the period a key's windows begin, in seconds."""
    return stagger_of(q, key) if q.kind == STAGGERED else 0


cdef inline uint64_t window_end(const Quota *q, uint64_t key, uint64_t now) noexcept nogil:
    """Return when a key's window around now ends, of an algorithm that counts in one."""
    if q.kind == FIXED:
        return fixed_end(q, now)
    if q.kind == STAGGERED:
        return staggered_end(q, key, now)
    return fixed_end(q, now) if q.kind == CARRIED else LAST_NS


cdef inline void check_word(
    Arena *arena, const Quota *q, Charge *charge, Look *look, uint64_t now, bint commit, Check *check
) noexcept nogil:
    """Ask whether a charge's cost fits the word that is seen."""
    check.next = look.seen
    check.mark = 0
    if q.kind < COUNTS:
        gcra_check(q, look.seen, now, charge.cost, check)
    elif q.kind < PAIRS:
        count_check(q, look.seen, window_end(q, charge.key, now), charge.cost, check)
    else:
        check_sliding(arena, q, charge, look, now, commit, check)


cdef inline int64_t retry_word(
    const Quota *q, uint64_t key, uint64_t word, uint64_t past, uint64_t now, uint64_t cost
) noexcept nogil:
    if q.kind < COUNTS:
        return gcra_retry(q, word, now, cost)
    if q.kind < PAIRS:
        return count_retry(q, word, window_end(q, key, now), now, cost)
    return sliding_retry(q, word, past, now, cost)


cdef inline uint64_t remaining_word(
    const Quota *q, uint64_t key, uint64_t word, uint64_t past, uint64_t now
) noexcept nogil:
    if q.kind < COUNTS:
        return gcra_remaining(q, word, now)
    if q.kind < PAIRS:
        return count_remaining(q, word, window_end(q, key, now))
    return sliding_remaining(q, word, past, now)


cdef inline uint64_t reset_word(const Quota *q, uint64_t key, uint64_t word, uint64_t past, uint64_t now) noexcept nogil:
    if q.kind < COUNTS:
        return gcra_reset(q, word, now)
    if q.kind < PAIRS:
        return count_reset(q, word, window_end(q, key, now), now)
    return sliding_reset(q, word, past, now)


cdef inline uint64_t most_of(const Quota *q) noexcept nogil:
    """Return the most units that fit at one instant."""
    return q.burst


cdef inline uint64_t used_word(const Quota *q, uint64_t key, uint64_t word, uint64_t past, uint64_t now) noexcept nogil:
    """Return how many units are in use: of a bucket those of its burst that have not drained."""
    cdef uint64_t most = most_of(q)
    cdef uint64_t left = remaining_word(q, key, word, past, now)
    return most - left if most > left else 0


cdef inline uint64_t move_word(
    const Quota *q, const Charge *charge, uint64_t word, uint64_t now, int64_t asked, uint64_t *before, int64_t *moved
) noexcept nogil:
    """Return the word after a charge is corrected by `asked`, and how much of that took effect: of one word alone.

    `before` is a bucket's arrival time until then.
    """
    cdef uint64_t corrected
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


cdef bint look_again(Arena *arena, const Quota *q, Charge *charge, Look *look, uint64_t now) noexcept nogil


cdef inline bint commit_word(Setup *plan, int i, Charge *charge, Look *look, uint64_t now) noexcept nogil:
    """Write one word; False if, after a lost race, the cost no longer fits."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Arena *arena = plan.arena
    charge.held = charge.live = charge.cost
    while True:
        if look.next == look.seen:
            return True
        if look.entry != NULL:
            if cas_pair(look.entry, charge.tag, look.seen, charge.tag, look.next):
                break
        elif insert(arena, charge.key, charge.tag, look.next, now):
            break
        if not look_again(arena, q, charge, look, now):
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
    cdef uint64_t window
    cdef bint is_over
    if q.kind < PAIRS:
        window = window_end(q, charge.key, now)
        count_roll(q, word, &window)
        is_over = window != charge.mark
    else:
        window = sliding_window(q, word, now)
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
    if q.kind >= PAIRS:
        correct_sliding(arena, q, charge, asked, now, &moved)
        settle_window(q, charge, charge.word, now, asked, moved)
        return moved
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


cdef inline void look_word(Arena *arena, const Quota *q, Charge *charge, Look *look) noexcept nogil:
    """Find what counts for a charge's key."""
    charge.past = 0
    if q.kind >= PAIRS:
        look_up(arena, charge.key, charge.tag, look, &charge.past)
        return
    look.entry = find(arena, charge.key, charge.tag)
    look.seen = word_of(look.entry, charge.tag) if look.entry != NULL else 0


cdef inline uint64_t charge_word(
    Setup *plan, int i, uint64_t *ids, uint64_t used, uint64_t most, uint64_t now
) noexcept nogil:
    """Charge rule `i` with what was used already, if at most `most` is left; return what is forgiven of it."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Charge charge
    cdef Check check
    cdef Look look
    charge.key = rule_key(plan, i, ids)
    if charge.key == ABSENT_HASH:
        return 0
    charge.tag = make_tag(charge.key, q.kind, plan.shapes[i])
    look_word(plan.arena, q, &charge, &look)
    if remaining_word(q, charge.key, look.seen, charge.past, now) > most:
        return 0
    # The window a charge of now would belong to.
    look.entry, look.seen, charge.cost = NULL, 0, 0
    check_word(plan.arena, q, &charge, &look, now, False, &check)
    charge.mark = check.mark
    charge.cost = charge.held = charge.live = 0
    charge.charged = False
    correct_word(plan, i, &charge, used, now)
    return used - charge.held if used > charge.held else 0


cdef inline uint64_t in_use(const Quota *q, uint64_t key, uint64_t word, uint64_t now) noexcept nogil:
    """Return how many units can be taken out of use, those in debt too: of a lifetime what may be paid in advance."""
    cdef uint64_t end
    if q.kind < COUNTS:
        return (gcra_arrival(q, word, now) - (now << 4) + q.interval - 1) // q.interval
    end = window_end(q, key, now)
    return count_roll(q, word, &end)


cdef inline uint64_t lowered(const Quota *q, uint64_t key, uint64_t word, uint64_t now, uint64_t units) noexcept nogil:
    """Return a word with so many units less in use, or with none."""
    cdef uint64_t arrival, end, count
    if units >= in_use(q, key, word, now) and q.kind != LIFETIME:
        return 0
    if q.kind < COUNTS:
        arrival = gcra_arrival(q, word, now)
        return arrival - units * q.interval if arrival > units * q.interval else 0
    end = window_end(q, key, now)
    count = count_roll(q, word, &end)
    return count_pack(q, end, count - units)


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
    if q.kind >= PAIRS:
        return take_sliding(plan.arena, q, key, tag, most, now)
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
    cdef Charge charge
    cdef Look look
    charge.key = rule_key(plan, i, source)
    if charge.key == ABSENT_HASH or charge.key == rule_key(plan, i, target):
        return 0
    charge.tag = make_tag(charge.key, q.kind, plan.shapes[i])
    look_word(plan.arena, q, &charge, &look)
    if look.entry == NULL:
        return 0
    return charge_word(
        plan, i, target, used_word(q, charge.key, look.seen, charge.past, now), <uint64_t>-1, now
    )
