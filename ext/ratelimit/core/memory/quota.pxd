"""One limit's numbers as the arithmetic wants them, and what a check says."""

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    NEVER = -1
    HINT_NS = 1000000000  # what to tell a client that waits for a concurrency slot

cdef extern from *:
    # Past what may legitimately lie ahead plus this, state is from before a clock step. A
    # worker that was not scheduled between reading the clock and deciding is late by less.
    const uint64_t STEP_NS "((uint64_t)60000000000u)"

cdef struct Quota:
    uint64_t kind          # the algorithm: see `entries`
    uint64_t units         # a period, in flight, or members
    uint64_t room          # units that a block has to have room for: those of the whole of which this is a share
    uint64_t block_bits    # binary logarithm of the size of a block; 0 where there is none
    uint64_t places        # 16-byte units in the body of a block
    uint64_t burst
    uint64_t period_ns
    uint64_t interval      # token bucket: ticks a unit; a tick is 1/16 ns
    uint64_t depth         # token bucket: burst * interval
    uint64_t ceiling       # most that a correction may count: the burst or units, and the debt beyond
    uint64_t furthest      # token bucket: ceiling * interval
    uint64_t believed      # token bucket: how far ahead an arrival time may be; further is from before a clock step
    uint64_t base          # windows: the count of a key that was never charged, and what it may be paid in advance
    uint64_t bits          # windows: bits of a count, half of them are each of two counts'; distinct: of the bitmap
    uint64_t first_window  # sliding window: number of the window the table's epoch is in
    uint64_t epoch_ns
    uint64_t lease_ns
    uint64_t salt
    uint64_t share         # what tells this share's counters from those of the whole, and of others; 0: the whole
    uint64_t enforced      # enforced are keys with a scrambled hash, cut to 32 bits, below this
    const uint64_t *calendar
    uint64_t calendar_size
    bint shadow

cdef struct Check:
    bint allowed
    uint64_t next          # the word to write when charged
    uint64_t mark          # what settlement needs: arrival time, window end or window number
