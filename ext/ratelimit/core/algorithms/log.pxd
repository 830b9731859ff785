"""Exact sliding log: every admitted charge of the last window, so any window admits at most N.

A ring of records (time, sequence | cost). Record i lies in place i mod size and
counts only if it carries sequence base + i. So a place is either record i, or
free for it. One swap both claims it and excludes every concurrent append, which
wants the same place. `head` may lag behind a worker that died; readers
step over records it does not know yet. Costs change in place, times never do.

What a charge is settled to beyond its own record is one more record, of the time of that
report. Later reports change that one as long as it counts. So a charge takes two places a
window at most, however often it is settled.

Times ascend: a `now` before the newest record's time is read as that time. If the
newest is more than a window and a minute ahead the clock stepped back. Then one record, as of
now, stands for all that was in use. Reading stops at it: the record before it lies that much
later, which is how it is recognised.
"""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport LOW32, Pair, cas, cas_pair, load, load_pair
from ratelimit.core.memory.layout cimport BLOCK_HEAD_BYTES, Block
from ratelimit.core.memory.quota cimport NEVER, STEP_NS, Quota

cdef struct Reading:
    bint allowed
    uint64_t head        # index of the record to be written
    uint64_t at          # its time: now, or the newest record's if that is later
    uint64_t used
    uint64_t reset       # ns until the log is empty
    bint stepped         # the newest record is from before a clock step: see `log_restart`
    int64_t retry
    Pair seen            # what lies in the place of `head`


cdef inline Pair *record(const Quota *quota, Block *block, uint64_t index) noexcept nogil:
    return <Pair *>(<char *>block + BLOCK_HEAD_BYTES) + index % quota.places


cdef inline bint is_record(Block *block, Pair seen, uint64_t index) noexcept nogil:
    # Times are kept plus one, so that a zeroed place is never a record.
    return seen.tag != 0 and (seen.word >> 32) == ((block.base + index) & LOW32)


cdef inline uint64_t wait_for(const Quota *quota, uint64_t time, uint64_t now) noexcept nogil:
    """Return how long until a record no longer counts; a period for one with a time that cannot be."""
    cdef uint64_t wait_ns = time + quota.period_ns - now
    return wait_ns if 0 < wait_ns <= 2 * quota.period_ns + STEP_NS else quota.period_ns


cdef inline Reading log_read(const Quota *quota, Block *block, uint64_t now, uint64_t cost) noexcept nogil:
    cdef Reading r
    cdef Pair seen
    cdef uint64_t _step, i, oldest, need, freed, cost_of, time, newer
    r.head = load(&block.head)
    r.seen = load_pair(record(quota, block, r.head))
    for _step in range(quota.places):
        if not is_record(block, r.seen, r.head):
            break
        r.head += 1
        r.seen = load_pair(record(quota, block, r.head))
    r.at = now
    r.used = 0
    r.reset = 0
    r.stepped = False
    oldest = r.head
    newer = 0
    i = r.head
    while i > 0 and r.head - i < quota.places:
        i -= 1
        seen = load_pair(record(quota, block, i))
        if not is_record(block, seen, i):
            break
        time = seen.tag - 1
        if i + 1 == r.head:
            if time > now + quota.period_ns + STEP_NS:
                r.stepped = True
            if time > r.at:
                r.at = time
        elif time > newer + quota.period_ns + STEP_NS:
            break
        newer = time
        if time + quota.period_ns <= r.at:
            break
        if r.used == 0 and (seen.word & LOW32):
            r.reset = wait_for(quota, time, now)
        r.used += seen.word & LOW32
        oldest = i
    if r.stepped:
        r.at = now
        r.used = r.used if r.used < quota.units else quota.units
        r.reset = quota.period_ns if r.used else 0
        r.allowed = r.used + cost <= quota.units
        r.retry = 0 if r.allowed else NEVER if cost > quota.units else <int64_t>quota.period_ns
        return r
    r.allowed = r.used + cost <= quota.units
    r.retry = 0
    if cost > quota.units:
        r.allowed = False
        r.retry = NEVER
    elif not r.allowed:
        need = r.used + cost - quota.units
        freed = 0
        for i in range(oldest, r.head):
            seen = load_pair(record(quota, block, i))
            cost_of = seen.word & LOW32
            freed += cost_of
            if freed >= need:
                r.retry = <int64_t>wait_for(quota, seen.tag - 1, now)
                break
    elif (
        cost and r.seen.tag and (r.seen.word & LOW32)
        and r.seen.tag - 1 + quota.period_ns > r.at and oldest + quota.places <= r.head
    ):
        # Room in units, none in records: refunds left empty ones behind.
        r.allowed = False
        r.retry = <int64_t>wait_for(quota, r.seen.tag - 1, now)
    return r


cdef inline bint log_append(const Quota *quota, Block *block, Reading r, uint64_t cost) noexcept nogil:
    """Write record `r.head`; False if another worker wrote it first."""
    cdef uint64_t sequence = (block.base + r.head) & LOW32
    cdef uint64_t head
    if not cas_pair(record(quota, block, r.head), r.seen.tag, r.seen.word, r.at + 1, (sequence << 32) | cost):
        return False
    # To the maximum, also past what a worker that died here left behind. A hint that lagged
    # by a whole round of the ring would point at a record of the next.
    while True:
        head = load(&block.head)
        if head > r.head or cas(&block.head, head, r.head + 1):
            return True


cdef inline Reading log_restart(const Quota *quota, Block *block, Reading r, uint64_t now, uint64_t cost) noexcept nogil:
    """After a clock step, write down that all that was in use is in use as of now; return a new reading."""
    log_append(quota, block, r, r.used)  # lost to another worker: it restarted the log, or time caught up
    return log_read(quota, block, now, cost)


cdef inline bint log_counts(const Quota *quota, Block *block, uint64_t index, uint64_t at) noexcept nogil:
    """Return whether record `index` is there and still counts at the log's time `at`."""
    cdef Pair seen = load_pair(record(quota, block, index))
    return is_record(block, seen, index) and seen.tag - 1 + quota.period_ns > at


cdef inline uint64_t log_reduce(
    const Quota *quota, Block *block, uint64_t index, uint64_t cost, uint64_t at
) noexcept nogil:
    """Take up to `cost` off record `index`; return what was taken, 0 if it no longer counts."""
    cdef Pair *place = record(quota, block, index)
    cdef Pair seen
    cdef uint64_t taken
    while log_counts(quota, block, index, at):
        seen = load_pair(place)
        taken = seen.word & LOW32
        if taken > cost:
            taken = cost
        if is_record(block, seen, index) and cas_pair(place, seen.tag, seen.word, seen.tag, seen.word - taken):
            return taken
    return 0


cdef inline bint log_grow(const Quota *quota, Block *block, uint64_t index, uint64_t cost, uint64_t at) noexcept nogil:
    """Add `cost` to record `index`; False if it no longer counts, or another worker changed it meanwhile."""
    cdef Pair *place = record(quota, block, index)
    cdef Pair seen = load_pair(place)
    if not is_record(block, seen, index) or seen.tag - 1 + quota.period_ns <= at:
        return False
    return cas_pair(place, seen.tag, seen.word, seen.tag, seen.word + cost)


cdef inline bint log_is_full(const Quota *quota, Block *block, Reading r) noexcept nogil:
    """Return whether a new record would take the place of one that counts."""
    return r.head >= quota.places and (r.seen.word & LOW32) and log_counts(quota, block, r.head - quota.places, r.at)
