"""Sliding windows in the table: one word, or two where counts are too large for one.

Theory of operation. A key's own word is always that of the latest window. If its two counts have room in
it, both are there. Else it is wide: the count of the window before is in an entry of another key, the
*past*, with the number of that window. A past of another number says nothing.

Admission is one compare-and-swap of the key's own word, wide or not. A count becomes the past in three:

1. The own word is frozen, as it is: no charge goes into it any more.
2. The past is written.
3. The own word is replaced, by a wide one without the count that became the past.

What is written follows from the frozen word alone. So any worker that meets one finishes it, and one that
is killed between the steps holds up nobody. It happens once a window, and only to a key that used so much.
Corrections of the window before are swaps of the past.
"""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport Pair, cas_pair, u128
from ratelimit.core.memory.entries cimport FORM_BITS, FROZEN, WIDE, find, insert, number_in, word_of
from ratelimit.core.memory.layout cimport Arena
from ratelimit.core.memory.quota cimport Check, Quota
from ratelimit.core.memory.siphash cimport mix
from ratelimit.core.algorithms.setup cimport Charge, Look
from ratelimit.core.algorithms.windows cimport (
    Slide, low_bits, needs_past, sliding_check, sliding_correct, sliding_pack, sliding_roll, wide_word,
)

cdef extern from *:
    const uint64_t PAST_SALT "((uint64_t)0x70617374u)"


cdef inline uint64_t past_key(uint64_t key) noexcept nogil:
    return mix(key ^ PAST_SALT)


cdef inline uint64_t past_tag(uint64_t key, uint64_t tag) noexcept nogil:
    """Return the tag of a key's past: of the form that the key's own has."""
    return (past_key(key) << FORM_BITS) | low_bits(tag, FORM_BITS)


cdef inline uint64_t past_of(Arena *arena, uint64_t key, uint64_t tag) noexcept nogil:
    cdef uint64_t other = past_tag(key, tag)
    cdef Pair *entry = find(arena, past_key(key), other)
    return word_of(entry, other) if entry != NULL else 0


cdef void look_up(Arena *arena, uint64_t key, uint64_t tag, Look *look, uint64_t *past) noexcept nogil:
    """Find a key's own word, and its past if it is wide: as they were at one moment."""
    past[0] = 0
    while True:
        look.entry = find(arena, key, tag)
        look.seen = word_of(look.entry, tag) if look.entry != NULL else 0
        if not look.seen & WIDE:
            return
        past[0] = past_of(arena, key, tag)
        if word_of(look.entry, tag) == look.seen:
            return


cdef inline bint put_past(
    Arena *arena, uint64_t key, uint64_t tag, uint64_t seen, uint64_t word, uint64_t now
) noexcept nogil:
    """Replace a key's past if it is still as it was seen; 0: absent."""
    cdef uint64_t other = past_tag(key, tag)
    cdef Pair *entry = find(arena, past_key(key), other)
    if entry == NULL:
        return seen == 0 and insert(arena, past_key(key), other, word, now)
    return cas_pair(entry, other, seen, other, word)


cdef inline void thaw(
    Arena *arena, const Quota *q, uint64_t key, uint64_t tag, Pair *entry, uint64_t frozen, uint64_t now
) noexcept nogil:
    """Have a count of a frozen word become the past, and replace the word; or see that another worker did."""
    cdef uint64_t number = number_in(frozen, q.bits), half = q.bits >> 1, past, seen, after
    if frozen & WIDE:
        past = wide_word(q, number, low_bits(frozen, q.bits))
        after = wide_word(q, number + 1, 0)
    else:
        past = wide_word(q, number - 1, low_bits(frozen >> half, half))
        after = wide_word(q, number, low_bits(frozen, half))
    while True:
        seen = past_of(arena, key, tag)
        if word_of(entry, tag) != frozen:
            return
        if seen == past or put_past(arena, key, tag, seen, past, now):
            break
    cas_pair(entry, tag, frozen, tag, after)


cdef inline bint make_room(
    Arena *arena, const Quota *q, uint64_t key, uint64_t tag, const Look *look, uint64_t past, const Slide *wanted, uint64_t now
) noexcept nogil:
    """Take a step towards a word that can have these counts; True if there was one to take, and all is to be read anew."""
    cdef uint64_t number = number_in(look.seen, q.bits), other
    if look.seen & FROZEN:
        thaw(arena, q, key, tag, look.entry, look.seen, now)
    elif needs_past(q, wanted):
        if cas_pair(look.entry, tag, look.seen, tag, look.seen | FROZEN):
            thaw(arena, q, key, tag, look.entry, look.seen | FROZEN, now)
    elif wanted.is_wide and number > wanted.window and past and number_in(past, q.bits) + 1 == number:
        # After a step of the clock the counts move to the present window, as they are.
        put_past(arena, key, tag, past, FROZEN | wide_word(q, wanted.window - 1, low_bits(past, q.bits)), now)
    elif wanted.before or not wanted.current >> (q.bits >> 1) or wanted.is_wide and number == wanted.window:
        return False
    else:
        # The word becomes a wide one without a past: what is there is from before a step of the clock.
        other = past_of(arena, key, tag)
        if low_bits(other, q.bits) == 0 or number_in(other, q.bits) + 1 != wanted.window:
            return False
        put_past(arena, key, tag, other, FROZEN | wide_word(q, wanted.window - 1, 0), now)
    return True


cdef void check_wide(
    Arena *arena, const Quota *q, Charge *charge, Look *look, uint64_t now, bint commit, Check *check
) noexcept nogil:
    cdef Slide wanted
    while True:
        look_up(arena, charge.key, charge.tag, look, &charge.past)
        wanted = sliding_check(q, look.seen, charge.past, now, charge.cost, check)
        if not commit or look.entry == NULL:
            return
        if not make_room(arena, q, charge.key, charge.tag, look, charge.past, &wanted, now):
            return


cdef void correct_sliding(
    Arena *arena, const Quota *q, Charge *charge, int64_t asked, uint64_t now, int64_t *moved
) noexcept nogil:
    """Correct what a charge's window has counted by `asked`."""
    cdef Look look
    cdef Slide s
    cdef bint is_before
    while True:
        look_up(arena, charge.key, charge.tag, &look, &charge.past)
        charge.word = look.seen
        s = sliding_roll(q, look.seen, charge.past, now)
        is_before = sliding_correct(q, &s, charge.mark, asked, moved)
        if moved[0] == 0:
            return
        if look.entry == NULL:
            if asked < 0:
                return  # a refund to an entry that was evicted: nothing is left to give back to
            if is_before:
                s.window, s.before, s.current = s.window - 1, 0, s.before
            charge.word = sliding_pack(q, &s)
            if insert(arena, charge.key, charge.tag, charge.word, now):
                return
        elif make_room(arena, q, charge.key, charge.tag, &look, charge.past, &s, now):
            pass
        elif s.is_wide and is_before:
            charge.word = sliding_pack(q, &s)
            if put_past(arena, charge.key, charge.tag, charge.past, wide_word(q, s.window - 1, s.before), now):
                charge.past = wide_word(q, s.window - 1, s.before)
                return
        else:
            charge.word = sliding_pack(q, &s)
            if cas_pair(look.entry, charge.tag, look.seen, charge.tag, charge.word):
                return


cdef inline uint64_t used_slide(const Quota *q, const Slide *s) noexcept nogil:
    """Return how many units are in use, rounded up."""
    return s.current + <uint64_t>(
        (<u128>s.before * (q.period_ns - s.elapsed) + q.period_ns - 1) // q.period_ns
    )


cdef uint64_t take_sliding(
    Arena *arena, const Quota *q, uint64_t key, uint64_t tag, uint64_t most, uint64_t now
) noexcept nogil:
    """Take up to `most` units out of what is in use, those of this window first; return how many."""
    cdef Look look
    cdef Slide s
    cdef uint64_t past, units, less, taken = 0
    while True:
        look_up(arena, key, tag, &look, &past)
        s = sliding_roll(q, look.seen, past, now)
        units = min(most - taken, used_slide(q, &s))
        if units == 0:
            return taken
        if make_room(arena, q, key, tag, &look, past, &s, now):
            continue
        less = min(units, s.current)
        if s.is_wide and less:
            s.current -= less
            if cas_pair(look.entry, tag, look.seen, tag, sliding_pack(q, &s)):
                taken += less
            continue
        # Units of the window before that are as good as over go with the last that count.
        s.before = 0 if units == used_slide(q, &s) else s.before - min(units - less, s.before)
        s.current -= less
        if s.is_wide:
            if put_past(arena, key, tag, past, wide_word(q, s.window - 1, s.before), now):
                return taken + units
        elif cas_pair(look.entry, tag, look.seen, tag, sliding_pack(q, &s)):
            return taken + units
