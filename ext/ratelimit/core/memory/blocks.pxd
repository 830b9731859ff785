"""Blocks: state larger than a word (logs, concurrency slots, sketches), found through an entry.

A block belongs to a key until its expiry. The entry's word names it: expiry in
seconds (29 bits), generation (15 bits), number (20 bits). A block with
another owner or generation was given away; its entry is as good as absent.

Pages of one size class each are handed out once and kept. A block is claimed by
swapping its owner pair, filled, and only then named by an entry: a worker that
dies in between wastes one block until its expiry.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from ratelimit.core.memory.atomic cimport SECOND, Pair, cas, cas_pair, fetch_add, fetch_and, load, load_pair, store
from ratelimit.core.memory.entries cimport (
    SLOTS, block_at, find, insert, lease_of, make_tag, owner_of, slots_held, word_of,
)
from ratelimit.core.memory.layout cimport (
    BLOCK_HEAD_BYTES, MAX_PAGES, PAGE_BYTES, SEATS, SMALLEST_BLOCK_BITS, Arena, Block, Seat,
)
from ratelimit.core.memory.quota cimport STEP_NS, Quota

cdef enum:
    EXPIRY_BITS = 29
    GENERATION_BITS = 15
    NUMBER_BITS = 20
    LOOKED_AT = 96     # blocks examined before one is evicted
    MOST_TURNS = 2048  # so often pages are taken or others are faster; there are half as many pages
    LARGEST_BLOCK_BITS = 17
    LARGEST_CLASS = 11  # its number: LARGEST_BLOCK_BITS - SMALLEST_BLOCK_BITS + 1


cdef inline uint64_t block_bits(uint64_t body_bytes) noexcept nogil:
    """Return the binary logarithm of the size of blocks with room for so much.

    It is part of the rule's salt: within a size a changed quota keeps its
    counters, a quota that needs another size starts afresh.
    """
    cdef uint64_t bits = SMALLEST_BLOCK_BITS
    while bits < LARGEST_BLOCK_BITS and (<uint64_t>1 << bits) < BLOCK_HEAD_BYTES + body_bytes:
        bits += 1
    return bits


cdef inline bint reserve_page(Arena *arena, const Quota *quota) noexcept nogil:
    """Make sure that a page holds blocks of a rule's size; False if none is left.

    Done when a plan is made, so that a decision always finds a block to take.
    """
    cdef uint64_t want = quota.block_bits - SMALLEST_BLOCK_BITS + 1
    cdef uint64_t i
    for i in range(arena.pages):
        if load(&arena.header.page_class[i]) == want:
            return True
    return take_page(arena, want)


cdef inline bint take_page(Arena *arena, uint64_t want) noexcept nogil:
    """Hand a page out to a size class; False if none is left."""
    cdef uint64_t i
    for i in range(arena.pages):
        if load(&arena.header.page_class[i]) == 0 and cas(&arena.header.page_class[i], 0, want):
            return True
    return False


cdef inline uint64_t pack_block(uint64_t until_s, uint64_t generation, uint64_t number) noexcept nogil:
    return (until_s << (GENERATION_BITS + NUMBER_BITS)) | ((generation & 0x7FFF) << NUMBER_BITS) | number


cdef inline Block *block_of(Arena *arena, const Quota *quota, uint64_t key, uint64_t word) noexcept nogil:
    """Return the block of a rule's that an entry's word names, or NULL if it has another owner by now."""
    cdef uint64_t number = word & ((1 << NUMBER_BITS) - 1)
    cdef Block *block = block_at(arena, number)
    cdef Pair owner
    if (number << SMALLEST_BLOCK_BITS) + (<uint64_t>1 << quota.block_bits) > arena.pages * PAGE_BYTES:
        return NULL  # never follow a number out of the mapping, whatever memory says
    owner = load_pair(&block.owner)
    if owner.tag != owner_of(key) or ((owner.word >> EXPIRY_BITS) & 0x7FFF) != ((word >> NUMBER_BITS) & 0x7FFF):
        return NULL
    return block


cdef inline bint claim(
    Arena *arena, Block *block, Pair seen, const Quota *quota, uint64_t key, uint64_t until_s, uint64_t window
) noexcept nogil:
    """Make an idle (or sacrificed) block the key's own, and fill it. False if another worker was faster."""
    cdef uint64_t generation = (seen.word >> EXPIRY_BITS) + 1
    if not cas_pair(&block.owner, seen.tag, seen.word, owner_of(key), (generation << EXPIRY_BITS) | until_s):
        return False
    # The kind last, and none until then. A worker that died here leaves a block half filled,
    # and its body must not be read by the measures of another kind.
    fetch_and(&block.kind, 0)  # and not a plain store, which later writes may overtake
    block.lease_ns = quota.lease_ns
    block.head = 0
    block.base = generation * <uint64_t>0x9E3779B97F4A7C15 >> 32  # unlike the last owner's numbers
    if quota.bits:
        block.base = quota.bits
    # A page's blocks never change size, so a worker that still works on this one stays inside it.
    block.size = quota.places
    block.window = window
    memset(<char *>block + BLOCK_HEAD_BYTES, 0, quota.places * 16)
    store(&block.kind, quota.kind)
    return True


cdef inline int64_t allocate(
    Arena *arena, const Quota *quota, uint64_t key, uint64_t until_s, uint64_t window, uint64_t now
) noexcept nogil:
    """Return the number of a block that is now the key's own, or -1 if no page can have blocks of its size."""
    cdef uint64_t bits = quota.block_bits
    cdef uint64_t want = bits - SMALLEST_BLOCK_BITS + 1
    cdef uint64_t per_page = PAGE_BYTES >> bits
    cdef uint64_t pages[MAX_PAGES]
    cdef uint64_t cursor, offset, number, ends, best, best_ends, total, i
    cdef int _turn
    cdef Block *block
    cdef Pair seen
    for _turn in range(MOST_TURNS):
        total = 0
        for i in range(arena.pages):
            if load(&arena.header.page_class[i]) == want:
                pages[total] = i
                total += 1
        if total == 0:
            if take_page(arena, want):
                continue  # the one that the plan reserved was damaged
            return -1
        total *= per_page
        # The hand of a clock: it comes to the next block each time, so that free ones are
        # found at once. Where all are in use, each block is looked at equally often.
        cursor = load(&arena.header.block_cursor)
        best = <uint64_t>-1
        best_ends = <uint64_t>-1
        for i in range(total if total < LOOKED_AT else <uint64_t>LOOKED_AT):
            offset = (cursor + i) % total
            number = (pages[offset // per_page] * PAGE_BYTES >> SMALLEST_BLOCK_BITS) + (
                (offset % per_page) << (bits - SMALLEST_BLOCK_BITS)
            )
            block = block_at(arena, number)
            seen = load_pair(&block.owner)
            ends = (seen.word & ((1 << EXPIRY_BITS) - 1)) * SECOND
            if seen.tag == 0 or ends <= now:
                if seen.tag and load(&block.kind) == SLOTS and slots_held(arena, block, now):
                    ends = now + lease_of(block)
                elif claim(arena, block, seen, quota, key, until_s, window):
                    store(&arena.header.block_cursor, cursor + i + 1)
                    return number
                else:
                    continue
            if ends < best_ends:
                best = number
                best_ends = ends
        store(&arena.header.block_cursor, cursor + LOOKED_AT)
        if take_page(arena, want) or best == <uint64_t>-1:
            continue  # there are more now, or others took each one we looked at
        block = block_at(arena, best)
        seen = load_pair(&block.owner)
        if claim(arena, block, seen, quota, key, until_s, window):
            fetch_add(&arena.header.block_evictions, 1)
            return best
    return -1


cdef inline void prolong(Arena *arena, Pair *entry, uint64_t tag, Block *block, uint64_t until_s) noexcept nogil:
    """Move the expiry of an entry and its block out to `until_s`; never in."""
    cdef Pair seen = load_pair(&block.owner)
    cdef uint64_t word
    if (seen.word & ((1 << EXPIRY_BITS) - 1)) < until_s:
        # A lost race means another worker prolonged it, or took it: either is theirs to say.
        cas_pair(&block.owner, seen.tag, seen.word, seen.tag, ((seen.word >> EXPIRY_BITS) << EXPIRY_BITS) | until_s)
    word = load(&entry.word)
    if word >> (GENERATION_BITS + NUMBER_BITS) < until_s:
        cas_pair(entry, tag, word, tag, pack_block(until_s, word >> NUMBER_BITS, word & ((1 << NUMBER_BITS) - 1)))


cdef inline Block *lookup(
    Arena *arena, const Quota *quota, uint64_t key, uint64_t tag, Pair **entry
) noexcept nogil:
    """Return a key's block and its entry; NULL if it has none."""
    entry[0] = find(arena, key, tag)
    return block_of(arena, quota, key, word_of(entry[0], tag)) if entry[0] != NULL else NULL


cdef inline bint is_current(const Quota *quota, Block *block, uint64_t window) noexcept nogil:
    """Return whether a block counts for `window`: a later one does, unless it is from before a clock step."""
    cdef uint64_t stored = load(&block.window)
    return stored >= window and stored <= window + quota.period_ns + STEP_NS


cdef inline Block *secure(
    Arena *arena, const Quota *quota, uint64_t key, uint64_t tag, uint64_t until_s, uint64_t window, uint64_t now,
    Pair **entry,
) noexcept nogil:
    """Return a key's block, made if need be; NULL only if no page was reserved, or memory is damaged.

    A sketch of another window than `window` is replaced: the entry then names a new block.
    """
    cdef Block *block
    cdef Pair owner
    cdef int64_t number
    cdef uint64_t word, fresh
    while True:
        block = lookup(arena, quota, key, tag, entry)
        if block != NULL and is_current(quota, block, window):
            return block
        word = word_of(entry[0], tag) if entry[0] != NULL else 0
        number = allocate(arena, quota, key, until_s, window, now)
        if number < 0:
            return NULL
        block = block_at(arena, number)
        owner = load_pair(&block.owner)
        fresh = pack_block(until_s, owner.word >> EXPIRY_BITS, number)
        if entry[0] != NULL:
            if cas_pair(entry[0], tag, word, tag, fresh):
                return block
        elif insert(arena, key, tag, fresh, now):
            entry[0] = find(arena, key, tag)
            if entry[0] != NULL:
                return block
        # Another worker named a block for this key first: ours goes back.
        cas_pair(&block.owner, owner.tag, owner.word, 0, (owner.word >> EXPIRY_BITS) << EXPIRY_BITS)


cdef inline void count_workers(Arena *arena, uint64_t now, uint64_t *workers, uint64_t *away) noexcept nogil:
    """Add up the workers that live, and those of them that do not ask the store's server."""
    cdef uint64_t i
    cdef Seat *seat
    for i in range(SEATS):
        seat = arena.seats + i
        if load(&seat.pid) and load(&seat.heartbeat) + 60 * SECOND > now:
            workers[0] += 1
            if load(&seat.away) and load(&seat.away) == load(&seat.generation):
                away[0] += 1


cdef inline void count_blocks(Arena *arena, uint64_t now, uint64_t *total, uint64_t *used) noexcept nogil:
    """Add up the blocks there are, and those in use."""
    cdef uint64_t page, size_class, size_bits, j, word
    cdef Block *block
    for page in range(arena.pages):
        size_class = load(&arena.header.page_class[page])
        if size_class == 0 or size_class > LARGEST_CLASS:
            continue
        size_bits = SMALLEST_BLOCK_BITS + size_class - 1
        for j in range(<uint64_t>PAGE_BYTES >> size_bits):
            block = <Block *>(arena.blocks + page * PAGE_BYTES + (j << size_bits))
            word = load(&block.owner.word) & ((1 << 29) - 1)
            total[0] += 1
            if load(&block.owner.tag) and word * SECOND > now:
                used[0] += 1
