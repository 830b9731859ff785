"""The table's entries: find, claim, evict. Lock-free, and whole after a kill at any instruction.

Theory of operation. An entry is a pair (tag, word): 51 bits of key hash with 13
bits of form, and 64 bits of limiter state. A key may live in either of two
buckets of eight entries. Every change swaps the whole pair, so a charge cannot
land on an entry that has meanwhile been given to another key.

At most one *live* entry a key makes limits exact, so two workers that meet a new
key at once must not both create it. Hence two steps. An inserter first writes a
*pending* pair: the key's hash and a unique nonce. Then it looks at all sixteen
places again, and swaps pending for live only if no other copy is there.
Of two concurrent inserters at least one sees the other (each looks after it
wrote); the one in the lower place wins, the other withdraws. Any worker may
finish or remove a pending pair, so a dead inserter blocks no other. The nonce
keeps a late finisher from completing a later insertion on an outdated look.

Idle state is no state: an entry past its expiry is overwritten freely.
Otherwise the entry closest to idle goes, and is counted.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.memory.atomic cimport SECOND, Pair, cas_pair, fetch_add, load, load_pair, prefetch
from ratelimit.core.memory.layout cimport (
    BLOCK_HEAD_BYTES, BUCKET_ENTRIES, PAGE_BYTES, SEATS, SHAPES, SMALLEST_BLOCK_BITS, Arena, Block, Seat,
)

cdef enum:
    # A kind is an algorithm. Its number says how a word is read, so an entry can be judged without its rule.
    # These are where the ranges begin; `word_algorithms.pxd` and `block_algorithms.pxd` number the kinds.
    ARRIVALS = 1    # to 2: an arrival time, in ticks
    COUNTS = 3      # to 6: the end of a window, and its count
    CARRIED = 5     # of these the one of which the next window has what is left
    LIFETIME = 6    # and the one whose window never ends
    PAIRS = 7       # the number of a window, the count before it and in it; if it is wide, only that in it
    BLOCKS = 8      # to 9: names a block, which counts units
    HOLDINGS = 10   # to 14: names a block of what is taken and given back whole
    PENDING = 15
    SLOTS = 10      # the one kind that its workers' heartbeats keep alive
    KIND_BITS = 4
    FORM_BITS = 13
    COUNT_BITS = 35         # of a window of seconds; of a longer one there are more: see `window_bits`
    MOST_COUNT_BITS = 51    # a server counts exactly up to 2^53
    LIFETIME_BITS = 52
    PLACES = 16

cdef extern from *:
    const uint64_t LONGEST_LEASE_NS "((uint64_t)366 * 86400u * 1000000000u)"
    const uint64_t LIFETIME_BASE "((uint64_t)1 << 51)"
    const uint64_t NO_END "(~(uint64_t)0)"
    # Of a word with the number of a window: its count takes the room of both, and it is about to be replaced.
    const uint64_t WIDE "((uint64_t)1 << 63)"
    const uint64_t FROZEN "((uint64_t)1 << 62)"
    const uint64_t NUMBERED_S "(((uint64_t)1 << 29) - 400u * 86400u)"  # windows are numbered as long as a table lives


cdef inline uint64_t make_tag(uint64_t key, uint64_t kind, uint64_t shape) noexcept nogil:
    return (key << FORM_BITS) | (shape << KIND_BITS) | kind


cdef inline uint64_t kind_of(uint64_t tag) noexcept nogil:
    """Return the algorithm of an entry; 0 of an empty place."""
    return tag & ((1 << KIND_BITS) - 1)


cdef inline uint64_t shape_in(uint64_t tag) noexcept nogil:
    """Return where the table keeps the length of an entry's windows."""
    return (tag >> KIND_BITS) & (SHAPES - 1)


cdef inline uint64_t pending_tag(uint64_t tag) noexcept nogil:
    return ((tag >> FORM_BITS) << FORM_BITS) | PENDING


cdef inline Pair *first_bucket(Arena *arena, uint64_t key) noexcept nogil:
    # The high half scaled to the bucket count: no division, no power of two needed.
    return arena.entries + ((key >> 32) * arena.buckets >> 32) * BUCKET_ENTRIES


cdef inline Pair *second_bucket(Arena *arena, uint64_t key) noexcept nogil:
    cdef uint64_t other = (key * <uint64_t>0x9E3779B97F4A7C15) >> 32
    return arena.entries + (other * arena.buckets >> 32) * BUCKET_ENTRIES


cdef inline Pair *place(Pair *first, Pair *second, int index) noexcept nogil:
    return first + index if index < BUCKET_ENTRIES else second + (index - BUCKET_ENTRIES)


cdef inline void warm(Arena *arena, uint64_t key) noexcept nogil:
    """Start fetching both buckets, so that several rules wait for memory once."""
    cdef Pair *first = first_bucket(arena, key)
    cdef Pair *second = second_bucket(arena, key)
    prefetch(first)
    prefetch(<char *>first + 64)
    prefetch(second)
    prefetch(<char *>second + 64)


cdef inline Pair *find(Arena *arena, uint64_t key, uint64_t tag) noexcept nogil:
    """Return the live entry of a key, or NULL."""
    cdef Pair *at = first_bucket(arena, key)
    cdef int i
    for i in range(BUCKET_ENTRIES):
        if load(&at[i].tag) == tag:
            return at + i
    at = second_bucket(arena, key)
    for i in range(BUCKET_ENTRIES):
        if load(&at[i].tag) == tag:
            return at + i
    return NULL


cdef inline uint64_t word_of(Pair *entry, uint64_t tag) noexcept nogil:
    """Return an entry's word; 0, as if it were absent, if the entry has another key by now."""
    cdef uint64_t word = load(&entry.word)
    return word if load(&entry.tag) == tag else 0


cdef inline Block *block_at(Arena *arena, uint64_t number) noexcept nogil:
    """Return block `number`, counted in units of the smallest block."""
    return <Block *>(arena.blocks + (number << SMALLEST_BLOCK_BITS))


cdef inline uint64_t owner_of(uint64_t key) noexcept nogil:
    """Return how a block names its key: the bits that an entry's tag keeps, never 0."""
    cdef uint64_t name = key & ((<uint64_t>1 << (64 - FORM_BITS)) - 1)
    return name if name else 1


cdef inline bint seat_alive(Arena *arena, uint64_t slot, uint64_t lease_ns, uint64_t now) noexcept nogil:
    """Return whether the worker that wrote a concurrency slot still answers for it."""
    cdef Seat *seat = arena.seats + (slot >> 56) % SEATS
    return (load(&seat.generation) & 0xFFFFFF) == ((slot >> 32) & 0xFFFFFF) and load(&seat.heartbeat) + lease_ns > now


cdef inline uint64_t lease_of(Block *block) noexcept nogil:
    """Return how long a block's slots are held without a heartbeat; longer than any rule allows counts as 0."""
    cdef uint64_t lease_ns = load(&block.lease_ns)
    return lease_ns if lease_ns <= LONGEST_LEASE_NS else 0


cdef inline bint slots_held(Arena *arena, Block *block, uint64_t now) noexcept nogil:
    """Return whether any slot of a block is held; it may be a block of any rule's."""
    cdef uint64_t *slot = <uint64_t *>(<char *>block + BLOCK_HEAD_BYTES)
    # No block goes beyond its page, whatever it says of its size.
    cdef uint64_t most = (PAGE_BYTES - <uint64_t>(<uint8_t *>block - arena.blocks) % PAGE_BYTES - BLOCK_HEAD_BYTES) // 16
    cdef uint64_t lease_ns = lease_of(block), size = load(&block.size), i, value
    for i in range(2 * (size if size < most else most)):
        value = load(slot + i)
        if value and seat_alive(arena, value, lease_ns, now):
            return True
    return False


cdef inline uint64_t expiry(Arena *arena, uint64_t tag, uint64_t word, uint64_t now) noexcept nogil:
    """Return when an entry becomes idle, in ns since the epoch; 0 for an empty place."""
    cdef uint64_t kind = kind_of(tag)
    cdef uint64_t period, window, bits, until
    cdef Block *block
    if kind == 0:
        return 0
    if kind < COUNTS:
        return word >> 4
    if kind == LIFETIME:
        return NO_END
    if kind < PAIRS:
        period = load(arena.shapes + shape_in(tag))
        if period == 0:
            return 0  # of no window there is: damaged
        bits = window_bits(period)
        until = (word >> bits) << (bits - COUNT_BITS)
        # The longest month, and the day on which clocks go back, are shorter than that.
        return (until + period + period // 4 if kind == CARRIED else until) * SECOND
    if kind < BLOCKS:
        period = load(arena.shapes + shape_in(tag))
        if period == 0:
            return 0  # of no window there is: damaged
        bits = wide_bits(period)
        window = number_in(word, bits)
        if word & ((<uint64_t>1 << (bits if word & WIDE else bits // 2)) - 1):
            window += 1
        # Windows are aligned to civil time, numbers count from the one the epoch is in.
        return ((window + 1) * period - arena.epoch_ns // SECOND % period) * SECOND
    if kind == PENDING:
        # A worker is about to finish it, unless it died: prefer any idle entry, then this one.
        return now + 1
    until = (word >> 35) * SECOND
    if kind == SLOTS and until <= now:
        block = block_at(arena, word & 0xFFFFF)
        if (
            (word & 0xFFFFF) << SMALLEST_BLOCK_BITS < arena.pages * PAGE_BYTES and
            load(&block.owner.tag) == owner_of(tag >> FORM_BITS)
            and load(&block.kind) == SLOTS
            and slots_held(arena, block, now)
        ):
            return now + lease_of(block)
    return until


cdef inline uint64_t consumed(Arena *arena, uint64_t tag, uint64_t word) noexcept nogil:
    """Return what a window's entry has counted: windows end together, and then the entry that used least goes first."""
    cdef uint64_t bits, kind = kind_of(tag)
    if kind == LIFETIME:
        bits = word & ((<uint64_t>1 << LIFETIME_BITS) - 1)
        # What is paid in advance is worth as much as what is used.
        return bits - LIFETIME_BASE if bits > LIFETIME_BASE else LIFETIME_BASE - bits
    if COUNTS <= kind < PAIRS:
        return word & ((<uint64_t>1 << window_bits(load(arena.shapes + shape_in(tag)))) - 1)
    if PAIRS <= kind < BLOCKS:
        bits = wide_bits(load(arena.shapes + shape_in(tag)))
        if word & WIDE:
            return word & ((<uint64_t>1 << bits) - 1)
        bits //= 2
        return (word & ((<uint64_t>1 << bits) - 1)) + ((word >> bits) & ((<uint64_t>1 << bits) - 1))
    return 0


cdef inline uint64_t window_bits(uint64_t period_s) noexcept nogil:
    """Return the bits of a window's count: what its end leaves, of which a quarter of the period is known."""
    cdef uint64_t bits = COUNT_BITS
    while bits < MOST_COUNT_BITS and period_s >> (bits - COUNT_BITS + 3):
        bits += 1
    return bits


cdef inline uint64_t wide_bits(uint64_t period_s) noexcept nogil:
    """Return the bits that a sliding window's number and two marks leave: to one count, or half of them to each of two."""
    cdef uint64_t bits = 1
    while bits < 30 and (period_s << bits) < NUMBERED_S + 2 * period_s:
        bits += 1
    return 62 - bits


cdef inline uint64_t number_in(uint64_t word, uint64_t bits) noexcept nogil:
    """Return the number of the window of a word that leaves so many bits to counts."""
    return (word & ~(WIDE | FROZEN)) >> bits


cdef inline bint insert(Arena *arena, uint64_t key, uint64_t tag, uint64_t word, uint64_t now) noexcept nogil:
    """Create a key's entry holding `word`. Return False if it has an entry already.

    The caller found none and computed `word` from the absence of state.
    """
    cdef Pair *first = first_bucket(arena, key)
    cdef Pair *second = second_bucket(arena, key)
    cdef uint64_t waiting = pending_tag(tag)
    cdef Pair seen[PLACES]
    cdef Pair *at
    cdef int i, mine, best, live_first, live_second
    cdef uint64_t ends, best_ends, used, best_used, nonce
    cdef bint evicted
    while True:
        mine = -1
        best = -1
        best_ends = 0
        best_used = 0
        live_first = 0
        live_second = 0
        for i in range(PLACES):
            at = place(first, second, i)
            seen[i] = load_pair(at)
            if seen[i].tag == tag:
                return False
            if seen[i].tag == waiting and mine < 0:
                mine = i
        if mine < 0:
            for i in range(PLACES):
                if expiry(arena, seen[i].tag, seen[i].word, now) > now:
                    if i < BUCKET_ENTRIES:
                        live_first += 1
                    else:
                        live_second += 1
            for i in range(PLACES):
                # The emptier bucket first: balance is what keeps a table this full lossless.
                if live_first != live_second and (i < BUCKET_ENTRIES) == (live_first > live_second):
                    continue
                ends = expiry(arena, seen[i].tag, seen[i].word, now)
                used = consumed(arena, seen[i].tag, seen[i].word)
                if best < 0 or ends < best_ends or (ends == best_ends and used < best_used):
                    best = i
                    best_ends = ends
                    best_used = used
            at = place(first, second, best)
            evicted = best_ends > now and kind_of(seen[best].tag) != PENDING
            nonce = fetch_add(&arena.header.nonce, 1)
            if not cas_pair(at, seen[best].tag, seen[best].word, waiting, nonce):
                continue
            if evicted:
                fetch_add(&arena.header.evictions, 1)
            mine = best
            seen[mine].tag = waiting
            seen[mine].word = nonce
        # Look again now that our intention can be seen.
        if settle_pending(first, second, mine, seen[mine].word, tag, waiting):
            if cas_pair(place(first, second, mine), waiting, seen[mine].word, tag, word):
                return True


cdef inline bint settle_pending(
    Pair *first, Pair *second, int mine, uint64_t nonce, uint64_t tag, uint64_t waiting
) noexcept nogil:
    """Return whether the pending pair at `mine` is the only copy of its key, making it so where it may."""
    cdef int i
    cdef Pair other
    cdef Pair *at
    for i in range(PLACES):
        if i == mine:
            continue
        at = place(first, second, i)
        if at == place(first, second, mine):
            continue  # both buckets of this key are one
        other = load_pair(at)
        if other.tag == tag or (other.tag == waiting and i < mine):
            cas_pair(place(first, second, mine), waiting, nonce, 0, 0)
            return False
        if other.tag == waiting and not cas_pair(at, waiting, other.word, 0, 0):
            return False
    return True
