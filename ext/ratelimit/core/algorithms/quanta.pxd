"""A moving window of many units, as a ring of quanta: a thousand to a period.

The first pair of the block is the newest quantum's, (time of its last charge, count); the others
keep those before it. All charges swap the first pair, so they are in one order, and the other pairs
are final. A quantum is copied to its place before the first pair goes on to the next, and a copy
only ever grows. A worker that dies in between leaves a copy that is not counted twice.

A quantum counts until its last charge is a period old. So no window ever has more than the limit,
and a unit comes back at most a quantum late.
"""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport Pair, cas_pair, load_pair
from ratelimit.core.memory.layout cimport BLOCK_HEAD_BYTES, Block
from ratelimit.core.memory.quota cimport STEP_NS, Quota

cdef enum:
    QUANTA = 1000


cdef inline Pair *pair_at(Block *block, uint64_t index) noexcept nogil:
    return <Pair *>(<char *>block + BLOCK_HEAD_BYTES) + index


cdef inline uint64_t quantum_of(uint64_t period) noexcept nogil:
    return (period + QUANTA - 1) // QUANTA


cdef struct Tide:
    uint64_t at          # now, or the newest charge's time if another worker's clock was read later
    uint64_t used        # by all quanta but the present one
    uint64_t oldest      # the time of the oldest that counts; `at` where none does
    uint64_t present     # what the present quantum has, where the first pair is its


cdef inline Tide tide_at(const Quota *quota, Block *block, Pair newest, uint64_t now) noexcept nogil:
    """Return what counts of a ring that begins with the pair `newest`."""
    cdef uint64_t length = quantum_of(quota.period_ns), number, time, i
    cdef Pair seen
    cdef Tide t
    t.at = now
    if newest.tag and now < newest.tag - 1 <= now + quota.period_ns + STEP_NS:
        t.at = newest.tag - 1
    number = t.at // length
    t.used = 0
    t.oldest = t.at
    t.present = 0
    for i in range(quota.places):
        seen = newest if i == 0 else load_pair(pair_at(block, i))
        time = seen.tag - 1
        if seen.tag == 0 or seen.word == 0 or time > t.at or time + quota.period_ns <= t.at:
            continue
        if i and newest.tag and time // length == (newest.tag - 1) // length:
            continue  # a copy of the newest
        if i == 0 and time // length == number:
            t.present = seen.word
        else:
            t.used += seen.word
        if time < t.oldest:
            t.oldest = time
    return t


cdef inline void set_aside(const Quota *quota, Block *block, Pair newest) noexcept nogil:
    """Copy the newest quantum to its own place, unless more of it, or a later one, is there."""
    cdef uint64_t number = (newest.tag - 1) // quantum_of(quota.period_ns)
    cdef Pair *at = pair_at(block, 1 + number % (quota.places - 1))
    cdef Pair seen
    while True:
        seen = load_pair(at)
        # What is further ahead than a period no worker wrote: it is overwritten.
        if newest.tag < seen.tag <= newest.tag + quota.period_ns + STEP_NS:
            return
        if seen.tag == newest.tag and seen.word >= newest.word:
            return
        if cas_pair(at, seen.tag, seen.word, newest.tag, newest.word):
            return
