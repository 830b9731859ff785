"""Algorithms that keep their state in a block: ask, charge, correct, each in one place."""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport LOW32, SECOND, Pair, fetch_add, load
from ratelimit.core.memory.blocks cimport is_current, lookup, prolong, secure
from ratelimit.core.memory.entries cimport BLOCKS, SLOTS
from ratelimit.core.memory.layout cimport Arena, Block
from ratelimit.core.algorithms.log cimport (
    Reading, log_append, log_counts, log_grow, log_is_full, log_read, log_reduce, log_restart,
)
from ratelimit.core.memory.quota cimport HINT_NS, NEVER, Quota
from ratelimit.core.algorithms.settlement cimport corrected_by, owed
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.algorithms.setup cimport SKIPPED, Charge, Look, Setup
from ratelimit.core.algorithms.distinct cimport sketch_add, sketch_bit, sketch_bits, sketch_has, sketch_remove
from ratelimit.core.algorithms.concurrency cimport slots_acquire, slots_release, slots_used
from ratelimit.core.algorithms.windows cimport fixed_end

cdef enum:
    LOG = BLOCKS
    SKETCH = SLOTS + 1
    LOG_SLACK = 64  # with as many again as the quota: records refunded to nothing still take a place


cdef inline bint knows_block(uint64_t kind) noexcept nogil:
    """Return whether the operations below have an algorithm."""
    return kind == LOG or kind == SLOTS or kind == SKETCH


cdef inline uint64_t records_of(const Quota *q) noexcept nogil:
    """Return how many records a log has room for."""
    return 2 * q.room + LOG_SLACK


cdef inline uint64_t body_bytes(const Quota *q) noexcept nogil:
    """Return how much room a rule needs in its blocks."""
    if q.kind == LOG:
        return records_of(q) * 16
    if q.kind == SLOTS:
        return q.room * 8
    return sketch_bits(q.room) // 8


cdef inline bint check_block(
    Setup *plan, int i, Charge *charge, Look *look, uint64_t *ids, uint64_t now, uint64_t cost, bint commit
) noexcept nogil:
    """Ask a rule that keeps its state in a block; fills `charge` and returns whether the cost fits."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Arena *arena = plan.arena
    cdef Block *block
    cdef Reading reading
    cdef uint64_t used = 0
    if q.kind == SKETCH:
        if ids[plan.member_at[i]] == ABSENT_HASH:
            charge.state = SKIPPED
            return True
        charge.word = fixed_end(q, now)
        charge.reset = charge.word - now
    block = lookup(arena, q, charge.key, charge.tag, &look.entry)
    if q.kind == SKETCH and block != NULL:
        if is_current(q, block, charge.word):
            charge.reset = load(&block.window) - now
        else:
            block = NULL
    charge.retry = 0
    if q.kind == LOG:
        charge.word = 0
        charge.mark = 0
        if block == NULL:
            charge.remaining = q.units
            charge.reset = 0
            charge.retry = NEVER if cost > q.units else 0
            return cost <= q.units
        reading = log_read(q, block, now, cost)
        if reading.stepped and commit:
            reading = log_restart(q, block, reading, now, cost)
        charge.remaining = q.units - reading.used if q.units > reading.used else 0
        charge.reset = reading.reset
        charge.retry = reading.retry
        return reading.allowed
    if q.kind == SLOTS:
        if block != NULL:
            used = slots_used(arena, q, block, now)
        charge.remaining = q.units - used if q.units > used else 0
        charge.reset = q.lease_ns if used else 0
        if used + cost <= q.units:
            return True
        charge.retry = NEVER if cost > q.units else HINT_NS
        return False
    charge.mark = 0
    if block != NULL:
        charge.mark = sketch_bit(q, block, ids[plan.member_at[i]])
        used = load(&block.head)
    charge.remaining = q.units - used if q.units > used else 0
    if used < q.units or cost == 0 or sketch_has(block, charge.mark):
        return True
    charge.retry = <int64_t>charge.reset
    return False


cdef inline bint commit_block(
    Setup *plan, int i, Charge *charge, Look *look, uint64_t *ids, uint64_t now
) noexcept nogil:
    cdef const Quota *q = &plan.quotas[i]
    cdef Arena *arena = plan.arena
    cdef Block *block
    cdef Reading reading
    cdef uint64_t until_s
    cdef int added
    charge.held = charge.live = charge.cost
    if charge.cost == 0:
        return True
    until_s = (now + (charge.reset if q.kind == SKETCH else q.period_ns)) // SECOND + 1
    block = secure(
        arena, q, charge.key, charge.tag, until_s, charge.word if q.kind == SKETCH else 0, now, &look.entry
    )
    if block == NULL:
        return False  # damaged, since the plan reserved a page: refusing is the safe reading
    prolong(arena, look.entry, charge.tag, block, until_s)
    if q.kind == LOG:
        while True:
            reading = log_read(q, block, now, charge.cost)
            if reading.stepped:
                reading = log_restart(q, block, reading, now, charge.cost)
            charge.retry = reading.retry
            if not reading.allowed:
                charge.remaining = q.units - reading.used if q.units > reading.used else 0
                return False
            if log_append(q, block, reading, charge.cost):
                break
        charge.mark = reading.head + 1
        charge.word = 0  # the record that settling adds; both plus one, 0 for none
        charge.remaining = q.units - reading.used - charge.cost
        charge.reset = reading.at + q.period_ns - now
    elif q.kind == SLOTS:
        charge.mark = (
            (<uint64_t>plan.seat << 56)
            | ((load(&arena.seats[plan.seat].generation) & 0xFFFFFF) << 32)
            | (fetch_add(&arena.header.nonce, 1) & LOW32)
        )
        if not slots_acquire(arena, q, block, charge.cost, charge.mark, now):
            charge.retry = HINT_NS
            charge.remaining = 0
            return False
        charge.remaining -= charge.cost if charge.remaining >= charge.cost else charge.remaining
        charge.reset = q.lease_ns
    else:
        charge.word = load(&block.window)
        charge.mark = sketch_bit(q, block, ids[plan.member_at[i]])
        added = sketch_add(block, charge.mark, q.units)
        if added < 0:
            charge.remaining = 0
            charge.retry = <int64_t>charge.reset
            return False
        charge.remaining = q.units - load(&block.head) if q.units > load(&block.head) else 0
        if added == 0:
            return True  # seen before: nothing was charged, nothing to take back
    charge.charged = True
    return True


cdef inline int64_t correct_block(Setup *plan, int i, Charge *charge, uint64_t actual, uint64_t now) noexcept nogil:
    """Replace what rule `i` was charged by `actual`; return the signed correction that took effect."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Pair *entry = NULL
    cdef Block *block
    cdef int64_t delta
    if actual == charge.cost:
        return 0
    if q.kind == LOG:
        delta = correct_log(plan, i, charge, owed(charge, actual), now)
    elif actual != 0:
        return 0  # slots and sketches are taken or not: there is no part to correct
    else:
        block = lookup(plan.arena, q, charge.key, charge.tag, &entry)
        delta = -<int64_t>charge.cost if block != NULL else 0
        if block == NULL:
            pass
        elif q.kind == SLOTS:
            slots_release(q, block, charge.mark)
            charge.remaining += charge.cost
        elif load(&block.window) == charge.word:
            sketch_remove(block, charge.mark)
            charge.remaining += 1
    charge.cost = actual
    charge.charged = actual > 0
    return delta


cdef inline int64_t correct_log(Setup *plan, int i, Charge *charge, int64_t asked, uint64_t now) noexcept nogil:
    """Count `asked` units more, or fewer, for a log's charge; return what took effect."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Pair *entry = NULL
    cdef Block *block
    cdef Reading reading
    cdef uint64_t extra, room
    cdef int64_t moved = 0
    if asked == 0:
        return 0
    block = lookup(plan.arena, q, charge.key, charge.tag, &entry)
    if block == NULL and asked > 0:
        # Nothing was charged at first (a cost of zero), or all of it has left: the log is begun now.
        block = secure(plan.arena, q, charge.key, charge.tag, (now + q.period_ns) // SECOND + 1, 0, now, &entry)
    if block == NULL:
        corrected_by(charge, asked, 0)
        return 0
    if asked < 0:
        reading = log_read(q, block, now, 0)
        extra = <uint64_t>(-asked)
        # What settling added goes first.
        room = log_reduce(q, block, charge.word - 1, extra, reading.at) if charge.word else 0
        if charge.mark:
            room += log_reduce(q, block, charge.mark - 1, extra - room, reading.at)
        moved = -<int64_t>room
        charge.remaining += <uint64_t>(-moved)
        corrected_by(charge, asked, moved)
        return moved
    while True:
        reading = log_read(q, block, now, 0)
        if reading.stepped:
            reading = log_restart(q, block, reading, now, 0)
        room = q.ceiling - reading.used if q.ceiling > reading.used else 0
        extra = <uint64_t>asked if <uint64_t>asked < room else room
        if extra == 0:
            break
        prolong(plan.arena, entry, charge.tag, block, (now + q.period_ns) // SECOND + 1)
        if charge.word and log_counts(q, block, charge.word - 1, reading.at):
            if log_grow(q, block, charge.word - 1, extra, reading.at):
                break
        elif log_is_full(q, block, reading):
            # No place: it counts with the newest record, which may be another charge's, and stays.
            if log_grow(q, block, reading.head - 1, extra, reading.at):
                charge.held += extra
                charge.remaining -= extra if extra < charge.remaining else charge.remaining
                return <int64_t>extra
        elif log_append(q, block, reading, extra):
            charge.word = reading.head + 1
            break
    moved = <int64_t>extra
    charge.remaining -= extra if extra < charge.remaining else charge.remaining
    corrected_by(charge, asked, moved)
    return moved
