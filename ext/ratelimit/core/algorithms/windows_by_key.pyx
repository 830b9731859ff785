"""Windows under keys that no rule stands behind: see the stub for the contract.

Theory of operation. A key has a block of its own, found through an entry as a rule's blocks are
(`blocks.pxd`). Its counts are pairs of that block, each swapped whole:

- fixed: one pair, (end, count). It ends a period after its first charge.
- weighted: one pair, (window number, previous count | current count), aligned to civil time.
- moving, up to `EXACT` units: the exact log of `log.pxd`.
- moving, beyond: the ring of `quanta.pxd`.

After a swap the worker looks at the block's owner again. A block that was given away meanwhile has
another key's state in it; then the charge is made anew in a block of its own.
"""

cimport cython
from libc.stdint cimport uint64_t

from ratelimit.core.memory.arguments cimport identity_number
from ratelimit.core.algorithms.block_algorithms cimport LOG
from ratelimit.core.memory.atomic cimport LOW32, SECOND, Pair, cas_pair, load_pair, u128
from ratelimit.core.memory.blocks cimport lookup, prolong, reserve_page, secure
from ratelimit.core.memory.entries cimport FORM_BITS, PENDING, expiry, find, kind_of, make_tag, owner_of
from ratelimit.core.memory.layout cimport (
    BLOCK_HEAD_BYTES, BUCKET_ENTRIES, PAGE_BYTES, SMALLEST_BLOCK_BITS, Arena, Block,
)
from ratelimit.core.algorithms.log cimport Reading, is_record, log_append, log_read, log_restart, record
from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.algorithms.quanta cimport Tide, pair_at, set_aside, tide_at
from ratelimit.core.memory.quota cimport Quota
from ratelimit.core.memory.siphash cimport mix
from ratelimit.core.memory.table cimport Table, relative

from ratelimit.errors import StoreError, UsageError

cdef enum:
    FIXED_WINDOW = 1
    MOVING_WINDOW = 2
    WEIGHTED_WINDOW = 3
    EXACT = 1000           # units of a moving window in which every charge has a record
    LARGEST_BITS = 14      # of a block: 1,020 pairs, for either
    SPARE_RECORDS = 2      # where costs of 0 have none, a window's records are never more than its units

cdef extern from *:
    const uint64_t LATEST_S "((uint64_t)1 << 29) - 1"
    const uint64_t MOST_UNITS "((uint64_t)1 << 62)"
    const uint64_t MOST_WEIGHTED "(((uint64_t)1 << 31) - 1)"
    const uint64_t LONGEST_NS "((uint64_t)3660 * 86400u * 1000000000u)"

LARGEST_EXACT = EXACT
LARGEST_WEIGHTED = MOST_WEIGHTED


cdef uint64_t units_of(object given, uint64_t most, str name) except? 0xFFFFFFFFFFFFFFFF:
    cdef uint64_t units
    if read_number(given, &units) != WHOLE or units > most:
        raise UsageError(f"{name} is an integer from 0 to {most}, not {given!r}", code="rule-range")
    return units


cdef uint64_t period_of(object given) except? 0xFFFFFFFFFFFFFFFF:
    cdef uint64_t period
    if read_number(given, &period) != WHOLE or not SECOND // 1000 <= period <= LONGEST_NS:
        raise UsageError(f"a window lasts a millisecond to ten years, not {given!r} ns", code="rule-range")
    return period


cdef inline uint64_t bits_for(uint64_t pairs) noexcept nogil:
    """Return the binary logarithm of the size of a block with room for so many pairs."""
    cdef uint64_t bits = SMALLEST_BLOCK_BITS
    while (<uint64_t>1 << bits) < BLOCK_HEAD_BYTES + pairs * sizeof(Pair):
        bits += 1
    return bits


cdef inline Quota quota_for(uint64_t bits, uint64_t period, uint64_t units) noexcept nogil:
    """Return what the block's functions go by."""
    cdef Quota q
    q.kind = LOG
    q.units = q.room = q.ceiling = units
    q.block_bits = bits
    q.places = ((<uint64_t>1 << bits) - BLOCK_HEAD_BYTES) // sizeof(Pair)
    q.period_ns = period
    q.lease_ns = q.bits = q.share = 0
    return q


cdef struct Place:
    uint64_t key
    uint64_t tag
    Quota quota
    Pair *entry
    Block *block
    Pair owner           # of the block, when it was found


cdef inline Place place_for(uint64_t key, uint64_t bits, uint64_t period, uint64_t units) noexcept nogil:
    cdef Place place
    place.key = key
    place.quota = quota_for(bits, period, units)
    place.tag = make_tag(key, LOG, bits - SMALLEST_BLOCK_BITS)
    place.entry = NULL
    place.block = NULL
    return place


cdef inline bint look(Arena *arena, Place *place) noexcept nogil:
    """Find a key's block; False if it has none."""
    place.block = lookup(arena, &place.quota, place.key, place.tag, &place.entry)
    return place.block != NULL


cdef inline uint64_t until_s(uint64_t now, uint64_t lasts) noexcept nogil:
    cdef uint64_t until = (now + lasts) // SECOND + 1
    return until if until < LATEST_S else LATEST_S


cdef int take(Arena *arena, Place *place, uint64_t now, uint64_t lasts) except -1:
    """Find a key's block, or make it one that lasts."""
    place.block = secure(arena, &place.quota, place.key, place.tag, until_s(now, lasts), 0, now, &place.entry)
    if place.block == NULL:
        raise StoreError("the table has no blocks left of the size of this limit", code="table-memory")
    place.owner = load_pair(&place.block.owner)
    return 0


cdef inline bint kept(Arena *arena, Place *place, uint64_t now, uint64_t lasts) noexcept nogil:
    """Return whether the block that was written to is still the key's; keep it for as long as it counts."""
    cdef Pair owner = load_pair(&place.block.owner)
    if owner.tag != owner_of(place.key) or owner.word >> 29 != place.owner.word >> 29:
        return False
    prolong(arena, place.entry, place.tag, place.block, until_s(now, lasts))
    return True


cdef struct Slide:
    uint64_t number
    uint64_t previous
    uint64_t current
    uint64_t elapsed      # of the window, in ns


cdef inline Slide slide_at(Pair seen, uint64_t civil, uint64_t period) noexcept nogil:
    """Return what a weighted window's pair says at an instant of civil time."""
    cdef Slide s
    cdef uint64_t stored = seen.tag - 1
    s.number = civil // period
    s.elapsed = civil % period
    s.previous = 0
    s.current = 0
    if seen.tag == 0 or stored > s.number + 1:
        return s   # nothing, or what no worker wrote
    if stored == s.number + 1:   # another worker read its clock after this one did
        s.number = stored
        s.elapsed = 0
    if stored == s.number:
        s.previous = seen.word >> 32
        s.current = seen.word & LOW32
    elif stored + 1 == s.number:
        s.previous = seen.word & LOW32
    return s


cdef inline uint64_t weighted_sum(Slide s, uint64_t period) noexcept nogil:
    return s.current + <uint64_t>(<u128>s.previous * (period - s.elapsed) // period)


cdef inline uint64_t oldest_of(const Quota *quota, Block *block, Reading r) noexcept nogil:
    """Return the time of the oldest record of a log that counts; the log's time where none does."""
    cdef uint64_t oldest = r.at, i = r.head
    cdef Pair seen
    while i > 0 and r.head - i < quota.places:
        i -= 1
        seen = load_pair(record(quota, block, i))
        if not is_record(block, seen, i) or seen.tag - 1 > r.at or seen.tag - 1 + quota.period_ns <= r.at:
            break
        oldest = seen.tag - 1
    return oldest


cdef inline void give_up(Arena *arena, Pair *entry, Pair seen) noexcept nogil:
    """Take an entry out, and give its block back."""
    cdef uint64_t number = seen.word & 0xFFFFF, key = seen.tag >> FORM_BITS
    cdef Block *block
    cdef Pair owner
    if not cas_pair(entry, seen.tag, seen.word, 0, 0) or kind_of(seen.tag) != LOG:
        return
    if (number << SMALLEST_BLOCK_BITS) >= arena.pages * PAGE_BYTES:
        return
    block = <Block *>(arena.blocks + (number << SMALLEST_BLOCK_BITS))
    owner = load_pair(&block.owner)
    if owner.tag == owner_of(key) and (owner.word >> 29) & 0x7FFF == (seen.word >> 20) & 0x7FFF:
        cas_pair(&block.owner, owner.tag, owner.word, 0, (owner.word >> 29) << 29)


@cython.final
cdef class Windows:
    """Windows under keys: see the stub."""

    cdef readonly Table table

    def __cinit__(self, Table table not None):
        cdef uint64_t bits
        cdef Quota q
        table.check_open()
        for bits in range(SMALLEST_BLOCK_BITS, LARGEST_BITS + 1):
            q = quota_for(bits, SECOND, 1)
            if not reserve_page(&table.arena, &q) and not table.wrong():
                raise UsageError("the table is too small for blocks of every size; make it larger", code="plan-blocks")
        self.table = table

    cdef uint64_t at(self, object now_ns) except? 0xFFFFFFFFFFFFFFFF:
        self.table.check_open()
        return relative(self.table, now_ns)

    # -- fixed windows -----------------------------------------------------------------------------

    def add(self, key, amount, period_ns, now_ns, /):
        cdef uint64_t units = units_of(amount, MOST_UNITS, "an amount"), period = period_of(period_ns)
        cdef uint64_t now = self.at(now_ns), end, total
        cdef Place place = place_for(salted(key, FIXED_WINDOW), SMALLEST_BLOCK_BITS, period, 0)
        cdef Arena *arena = &self.table.arena
        cdef Pair seen
        cdef Pair *pair
        while True:
            take(arena, &place, now, period)
            pair = pair_at(place.block, 0)
            seen = load_pair(pair)
            end, total = now + period, units
            if now < seen.tag <= now + LONGEST_NS:
                end, total = seen.tag, seen.word + units
                if seen.word > MOST_UNITS or total > MOST_UNITS:
                    total = MOST_UNITS
            if cas_pair(pair, seen.tag, seen.word, end, total) and kept(arena, &place, now, end - now):
                return total

    def count(self, key, now_ns, /):
        cdef uint64_t now = self.at(now_ns)
        cdef Place place = place_for(salted(key, FIXED_WINDOW), SMALLEST_BLOCK_BITS, SECOND, 0)
        cdef Pair seen
        if look(&self.table.arena, &place):
            seen = load_pair(pair_at(place.block, 0))
            if now < seen.tag <= now + LONGEST_NS:
                return min(seen.word, MOST_UNITS), seen.tag + self.table.arena.epoch_ns
        return 0, now + self.table.arena.epoch_ns

    # -- moving windows ----------------------------------------------------------------------------

    def acquire(self, key, limit, amount, period_ns, now_ns, /):
        cdef uint64_t most = units_of(limit, MOST_UNITS, "a limit"), units = units_of(amount, MOST_UNITS, "an amount")
        cdef uint64_t now = self.at(now_ns)
        cdef Place place = moving_place(key, most, period_of(period_ns))
        if units > most:
            return False
        return self.append(&place, units, now) if most <= EXACT else self.swap(&place, most, units, now)

    cdef bint append(self, Place *place, uint64_t units, uint64_t now) except -1:
        cdef Arena *arena = &self.table.arena
        cdef uint64_t period = place.quota.period_ns
        cdef Reading r
        while True:
            take(arena, place, now, period)
            r = log_read(&place.quota, place.block, now, units)
            if r.stepped:
                r = log_restart(&place.quota, place.block, r, now, units)
            if not r.allowed:
                return False
            if units == 0:
                return True
            if log_append(&place.quota, place.block, r, units) and kept(arena, place, r.at, period):
                return True

    cdef bint swap(self, Place *place, uint64_t most, uint64_t units, uint64_t now) except -1:
        cdef Arena *arena = &self.table.arena
        cdef const Quota *q = &place.quota
        cdef uint64_t used
        cdef Pair newest
        cdef Tide t
        while True:
            take(arena, place, now, q.period_ns)
            newest = load_pair(pair_at(place.block, 0))
            t = tide_at(q, place.block, newest, now)
            used = t.used + t.present
            if used > most or units > most - used:
                return False
            if units == 0:
                return True
            if newest.tag and not t.present:
                set_aside(q, place.block, newest)
            if cas_pair(
                pair_at(place.block, 0), newest.tag, newest.word, t.at + 1, t.present + units
            ) and kept(arena, place, now, t.at + q.period_ns - now):
                return True

    def moving(self, key, limit, period_ns, now_ns, /):
        cdef uint64_t most = units_of(limit, MOST_UNITS, "a limit"), now = self.at(now_ns)
        cdef uint64_t epoch = self.table.arena.epoch_ns
        cdef Place place = moving_place(key, most, period_of(period_ns))
        cdef Reading r
        cdef Tide t
        if not look(&self.table.arena, &place):
            return now + epoch, 0
        if most <= EXACT:
            r = log_read(&place.quota, place.block, now, 0)
            return oldest_of(&place.quota, place.block, r) + epoch, r.used
        t = tide_at(&place.quota, place.block, load_pair(pair_at(place.block, 0)), now)
        return t.oldest + epoch, t.used + t.present

    # -- windows weighted by how much of the one before still counts --------------------------------

    def acquire_weighted(self, key, limit, amount, period_ns, now_ns, /):
        cdef uint64_t most = units_of(limit, MOST_WEIGHTED, "a limit"), units = units_of(amount, MOST_UNITS, "an amount")
        cdef uint64_t period = period_of(period_ns), now = self.at(now_ns)
        cdef Place place = place_for(weighted_key(key, period), SMALLEST_BLOCK_BITS, period, 0)
        cdef Arena *arena = &self.table.arena
        cdef Pair seen
        cdef Slide s
        while True:
            take(arena, &place, now, 2 * period)
            seen = load_pair(pair_at(place.block, 0))
            s = slide_at(seen, now + arena.epoch_ns, period)
            if units > most or weighted_sum(s, period) + units > most:
                return False
            if units == 0:
                return True
            if cas_pair(
                pair_at(place.block, 0), seen.tag, seen.word, s.number + 1, (s.previous << 32) | (s.current + units)
            ) and kept(arena, &place, now, 2 * period):
                return True

    def weighted(self, key, period_ns, now_ns, /):
        cdef uint64_t period = period_of(period_ns), now = self.at(now_ns)
        cdef Place place = place_for(weighted_key(key, period), SMALLEST_BLOCK_BITS, period, 0)
        cdef Pair seen
        cdef Slide s
        seen.tag = 0
        seen.word = 0
        if look(&self.table.arena, &place):
            seen = load_pair(pair_at(place.block, 0))
        s = slide_at(seen, now + self.table.arena.epoch_ns, period)
        return s.previous, s.current, s.elapsed

    # -- forgetting --------------------------------------------------------------------------------

    def clear(self, key, /):
        cdef uint64_t bits, moving = salted(key, MOVING_WINDOW)
        self.table.check_open()
        self.forget(salted(key, FIXED_WINDOW), SMALLEST_BLOCK_BITS)
        for bits in range(SMALLEST_BLOCK_BITS, LARGEST_BITS + 1):
            self.forget(moving, bits)
        self.forget(mix(moving), LARGEST_BITS)

    def clear_weighted(self, key, period_ns, /):
        cdef uint64_t period = period_of(period_ns)
        self.table.check_open()
        self.forget(weighted_key(key, period), SMALLEST_BLOCK_BITS)

    cdef void forget(self, uint64_t key, uint64_t bits) noexcept:
        # noexcept: compares and swaps, nothing that raises.
        cdef uint64_t tag = make_tag(key, LOG, bits - SMALLEST_BLOCK_BITS)
        cdef Pair *entry = find(&self.table.arena, key, tag)
        cdef Pair seen
        while entry != NULL:
            seen = load_pair(entry)
            if seen.tag == tag:
                give_up(&self.table.arena, entry, seen)
            entry = find(&self.table.arena, key, tag)

    def clear_all(self, now_ns, /):
        cdef uint64_t now = self.at(now_ns), gone = 0, i
        cdef Arena *arena = &self.table.arena
        cdef Pair seen
        with nogil:
            for i in range(arena.buckets * BUCKET_ENTRIES):
                seen = load_pair(arena.entries + i)
                if seen.tag == 0 or kind_of(seen.tag) == PENDING:
                    continue
                if expiry(arena, seen.tag, seen.word, now) > now:
                    gone += 1
                give_up(arena, arena.entries + i, seen)
        return gone

    def __reduce__(self):
        raise TypeError("windows are memory of this host and are not pickled; open their table instead")


cdef inline uint64_t salted(object key, uint64_t salt) except? 0xFFFFFFFFFFFFFFFF:
    return mix(mix(identity_number(key)) + salt)


cdef inline uint64_t weighted_key(object key, uint64_t period) except? 0xFFFFFFFFFFFFFFFF:
    return mix(salted(key, WEIGHTED_WINDOW) + period)


cdef inline Place moving_place(object key, uint64_t most, uint64_t period) except *:
    """Return where a moving window is: a log's key and a ring's are not the same."""
    cdef uint64_t salt = salted(key, MOVING_WINDOW)
    if most <= EXACT:
        return place_for(salt, bits_for(most + SPARE_RECORDS), period, most)
    return place_for(mix(salt), LARGEST_BITS, period, most)
