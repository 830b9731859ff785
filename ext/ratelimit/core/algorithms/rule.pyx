"""One limit's numbers, checked and compiled. See the stub for the contract."""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport SECOND
from ratelimit.core.memory.blocks cimport block_bits
from ratelimit.core.memory.entries cimport (
    BLOCKS, CARRIED, COUNT_BITS, COUNTS, HOLDINGS, LIFETIME, LIFETIME_BASE, LIFETIME_BITS, PAIRS, wide_bits, window_bits,
)
from ratelimit.core.memory.layout cimport BLOCK_HEAD_BYTES
from ratelimit.core.algorithms.block_algorithms cimport SKETCH, body_bytes, knows_block
from ratelimit.core.algorithms.distinct cimport sketch_bits
from ratelimit.core.algorithms.word_algorithms cimport FIXED, GCRA, knows_word
from ratelimit.core.memory.quota cimport Quota
from ratelimit.core.memory.siphash cimport mix

from operator import index as whole

from ratelimit.algorithms import ALGORITHMS as _ALGORITHMS
from ratelimit.errors import UsageError


cdef bint is_as_recorded(record) except -1:
    """Return whether the operations on words or blocks have an algorithm, and read its number as the record does."""
    cdef uint64_t kind = record.kind
    if record.counts == "units" and kind >= HOLDINGS:
        return False
    return knows_word(kind) and kind < BLOCKS if record.state == "word" else knows_block(kind) and kind >= BLOCKS


KNOWN = frozenset([name for name, record in _ALGORITHMS.items() if is_as_recorded(record)])
_YEAR_NS = 366 * 86400 * SECOND


cdef int refuse_range(str message) except -1:
    raise UsageError(message, code="rule-range")


@cython.final
cdef class Rule:
    """One limit's numbers, compiled: see the stub."""

    def __cinit__(self):
        self.starts = NULL

    def __init__(
        self, str name not None, str algorithm not None, *, quota, period_ns, burst=None, salt,
        shadow=False, enforced_ppm=1_000_000, calendar=None, lease_ns=60 * SECOND, debt=None, mark=0,
    ):
        cdef Quota *q = &self.quota_c
        quota, period_ns, lease_ns = whole(quota), whole(period_ns), whole(lease_ns)
        burst = quota if burst is None else whole(burst)
        debt = burst if debt is None else whole(debt)
        if self.starts != NULL:
            raise ValueError("a Rule is immutable")
        if algorithm not in KNOWN:
            refuse_range(f"{name}: no algorithm {algorithm!r}; one of {', '.join(sorted(KNOWN))}")
        record = _ALGORITHMS[algorithm]
        largest = record.largest_quota(period_ns)
        if not (0 if record.kind == LIFETIME else 1) <= quota <= largest:
            refuse_range(f"{name}: a {algorithm} quota is 1 to {largest} for this period, not {quota}")
        if record.counts == "slots":
            if not SECOND <= lease_ns <= _YEAR_NS:
                refuse_range(f"{name}: a lease is one second to a year")
            period_ns = lease_ns
        elif record.kind == LIFETIME:
            period_ns = 0
        elif period_ns % SECOND or not SECOND <= period_ns <= _YEAR_NS:
            refuse_range(f"{name}: a period is whole seconds, at most 366 days, not {period_ns} ns")
        if not 0 <= enforced_ppm <= 1_000_000:
            refuse_range(f"{name}: the enforced share is 0 to 1000000 millionths, not {enforced_ppm}")
        if record.kind == GCRA:
            interval = -(-16 * period_ns // quota)
            if not 1 <= burst <= (1 << 61) // interval:
                refuse_range(f"{name}: a burst is 1 to {(1 << 61) // interval} at this rate, not {burst}")
            q.interval = interval
            q.depth = burst * interval
            if 0 <= debt <= (1 << 62) // interval - burst:
                q.furthest = (burst + debt) * interval
                q.believed = max(2 * q.depth, q.furthest)
        elif record.kind == CARRIED:
            if not quota <= burst <= min(2 * quota, largest):
                refuse_range(f"{name}: a burst is {quota} to {min(2 * quota, largest)} here, not {burst}")
        elif burst != quota:
            refuse_range(f"{name}: a {algorithm} has no burst apart from its quota")
        largest = record.largest_debt(period_ns, quota, burst)
        if not 0 <= debt <= largest:
            refuse_range(f"{name}: a debt is 0 to {largest} here, not {debt}")
        self.name = name
        self.algorithm = algorithm
        self.quota = quota
        self.period_ns = period_ns
        self.burst = burst
        self.debt = debt
        self.salt = salt
        self.shadow = shadow
        self.enforced_ppm = whole(enforced_ppm)
        self.calendar = None if calendar is None else tuple(calendar)
        self.mark = mark
        q.kind = record.kind
        q.units = quota
        q.room = quota
        q.burst = burst
        q.ceiling = burst + debt
        q.period_ns = period_ns
        q.lease_ns = lease_ns
        q.salt = salt
        q.enforced = enforced_ppm * (1 << 32) // 1_000_000
        q.shadow = shadow
        if q.kind == LIFETIME:
            q.bits, q.base = LIFETIME_BITS, LIFETIME_BASE
            q.ceiling += q.base
        elif COUNTS <= q.kind < PAIRS:
            q.bits = window_bits(q.period_ns // SECOND)
        elif PAIRS <= q.kind < BLOCKS:
            q.bits = wide_bits(q.period_ns // SECOND)
        elif q.kind >= BLOCKS:
            q.bits = sketch_bits(quota) if q.kind == SKETCH else 0
            q.block_bits = block_bits(body_bytes(q))
            q.places = ((<uint64_t>1 << q.block_bits) - BLOCK_HEAD_BYTES) // 16
            q.salt = mix(q.salt + q.block_bits)
        if calendar is not None:
            self.keep_calendar(calendar)

    def scaled(self, millionths, salt, /):
        cdef Rule share = Rule.__new__(Rule)
        cdef Quota *q = &share.quota_c
        if not 1 <= millionths <= 1_000_000:
            refuse_range(f"{self.name}: a share is 1 to 1000000 millionths, not {millionths}")
        share.whole = self
        share.name, share.algorithm, share.shadow = self.name, self.algorithm, self.shadow
        share.period_ns = self.period_ns
        # Whole units, rounded up: of a small limit a part of a unit is often all there is.
        share.quota = -(-self.quota * millionths // 1_000_000)
        share.burst = -(-self.burst * millionths // 1_000_000)
        # Where it was one more bucket or quota it is so of the share, too.
        share.debt = share.burst if self.debt == self.burst else self.debt * millionths // 1_000_000
        share.salt = self.salt
        share.enforced_ppm, share.calendar, share.mark = self.enforced_ppm, self.calendar, self.mark
        q[0] = self.quota_c
        q.units = share.quota
        q.burst = share.burst
        q.ceiling = q.base + share.burst + share.debt
        q.share = mix(self.quota_c.share + mix(<uint64_t>salt)) | 1
        if q.kind < COUNTS:
            whole_interval = self.quota_c.interval  # of Python's, which do not wrap
            q.interval = min(-(-whole_interval * 1_000_000 // millionths), (1 << 61) // share.burst)
            q.depth = q.burst * q.interval
            # Of a share that hardly refills, no more than its word can say.
            q.ceiling = min(q.ceiling, (1 << 62) // q.interval)
            q.furthest = q.ceiling * q.interval
            q.believed = max(2 * q.depth, q.furthest)
        return share

    cdef int keep_calendar(self, calendar) except -1:
        cdef uint64_t i
        cdef uint64_t size = len(calendar)
        if self.quota_c.kind != FIXED and self.quota_c.kind != CARRIED:
            refuse_range(f"{self.name}: only a fixed window follows the calendar")
        if size == 0 or any(b <= a for a, b in zip(calendar, calendar[1:])) or calendar[0] < 0:
            refuse_range(f"{self.name}: calendar starts ascend and are not empty")
        if any(start % SECOND for start in calendar):
            refuse_range(f"{self.name}: calendar starts are whole seconds")
        if any(b - a < SECOND << (self.quota_c.bits - COUNT_BITS) for a, b in zip(calendar, calendar[1:])):
            refuse_range(f"{self.name}: calendar starts lie closer than a quarter of the period")
        self.starts = <uint64_t *>PyMem_Malloc(size * sizeof(uint64_t))
        if self.starts == NULL:
            raise MemoryError
        for i in range(size):
            self.starts[i] = calendar[i]
        self.quota_c.calendar = self.starts
        self.quota_c.calendar_size = size
        return 0

    def __dealloc__(self):
        PyMem_Free(self.starts)

    def __repr__(self):
        return f"<Rule {self.name!r} {self.algorithm} {self.quota} per {self.period_ns // SECOND} s>"

    def __reduce__(self):
        raise TypeError("a Rule carries a secret salt and is not pickled; compile the policy again")
