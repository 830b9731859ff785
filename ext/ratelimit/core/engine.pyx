"""Rules, plans and the one call that decides. See the stub for the contract.

Theory of operation. A decision is made in two passes over its rules. The first
reads: it hashes each rule's key, starts fetching every bucket at once, then asks
each rule whether the cost fits the word it finds. Only if every enforced rule
agrees does the second pass write, one compare-and-swap a rule. A swap that fails
means another worker charged the key in between: the rule is asked again with the
new word, and if it now refuses, what this decision has charged is taken back.
Words go first and blocks last, since words are the easier to take back.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.atomic cimport SECOND, LOW32, Pair, cas_pair, fetch_add, load
from ratelimit.core.blocks cimport block_bits, lookup, prolong, reserve_page, secure
from ratelimit.core.entries cimport (
    FIXED, GCRA, LOG, SKETCH, SLIDING, SLOTS, count_bits, find, insert, make_tag, warm,
)
from ratelimit.core.gcra cimport (
    gcra_arrival, gcra_check, gcra_correct, gcra_refundable, gcra_remaining, gcra_reset, gcra_retry,
)
from ratelimit.core.hashing cimport Hasher
from ratelimit.core.layout cimport Arena, Block
from ratelimit.core.log cimport Reading, log_append, log_read, log_reduce, log_restart
from ratelimit.core.rules cimport HINT_NS, NEVER, Check, Quota
from ratelimit.core.siphash cimport Sip, mix, sip_finish, sip_start, sip_word
from ratelimit.core.sketch cimport sketch_add, sketch_bit, sketch_has, sketch_remove
from ratelimit.core.slots cimport slots_acquire, slots_release, slots_used
from ratelimit.core.table cimport Table
from ratelimit.core.windows cimport (
    Slide, fixed_check, fixed_correct, fixed_end, fixed_remaining, fixed_reset, fixed_retry, FIXED_COUNT_BITS,
    sliding_check, sliding_correct, sliding_remaining, sliding_reset, sliding_retry, sliding_roll,
)
from operator import index as whole

from ratelimit.errors import UsageError

cdef extern from "Python.h":
    PyObject **PySequence_Fast_ITEMS(object sequence)
    object PySequence_Fast(object sequence, const char *message)
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence)
    unsigned long long PyLong_AsUnsignedLongLong(object number) except? 0xFFFFFFFFFFFFFFFF
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1

cdef enum:
    MOST_RULES = 16
    MOST_KEYS = 8           # identities in one rule's key
    INLINE_CHARGES = 4      # decisions of up to four rules allocate nothing
    SKIPPED = 0
    ALLOWED = 1
    REFUSED = 2
    SHADOWED = 3
    # Counter columns of a rule's row.
    COUNT_ALLOWED = 0
    COUNT_REFUSED = 1
    COUNT_SHADOWED = 2
    COUNT_SKIPPED = 3
    COUNT_COST_ADMITTED = 4
    COUNT_COST_REFUSED = 5

cdef uint64_t ABSENT_HASH = 0xFFFFFFFFFFFFFFFF
cdef uint64_t MOST_COST = 0x7FFFFFFF

MAX_RULES = MOST_RULES
MAX_COST = MOST_COST
ABSENT = -1
_KINDS = {
    "token-bucket": GCRA,
    "fixed-window": FIXED,
    "sliding-window": SLIDING,
    "sliding-log": LOG,
    "concurrency": SLOTS,
    "distinct": SKETCH,
}
_YEAR_NS = 366 * 86400 * SECOND


cdef struct Charge:
    uint64_t key
    uint64_t tag
    uint64_t word       # as this decision left it, or as it was read if refused
    uint64_t mark       # for settlement: see `Check.mark`; log: record index; slots: token; sketch: bit
    uint64_t cost
    uint64_t remaining  # of blocks; words are asked lazily
    uint64_t reset
    int64_t retry
    int state
    bint charged

cdef struct Look:
    Pair *entry
    uint64_t seen
    uint64_t next


def _refuse_range(str message):
    raise UsageError(message, code="rule-range")


@cython.final
cdef class Rule:
    """One limit's numbers, compiled: see the stub."""

    cdef Quota quota_c
    cdef readonly str name
    cdef readonly str algorithm
    cdef readonly object quota
    cdef readonly object period_ns
    cdef readonly object burst
    cdef readonly object salt
    cdef readonly bint shadow
    cdef uint64_t *starts

    def __cinit__(self):
        self.starts = NULL

    def __init__(
        self, str name not None, str algorithm not None, *, quota, period_ns, burst=None, salt,
        shadow=False, enforced_ppm=1_000_000, calendar=None, lease_ns=60 * SECOND,
    ):
        cdef Quota *q = &self.quota_c
        quota, period_ns, lease_ns = whole(quota), whole(period_ns), whole(lease_ns)
        burst = quota if burst is None else whole(burst)
        if self.starts != NULL:
            raise ValueError("a Rule is immutable")
        if algorithm not in _KINDS:
            _refuse_range(f"{name}: no algorithm {algorithm!r}; one of {', '.join(_KINDS)}")
        largest = Rule.largest_quota(algorithm, period_ns)
        if not 1 <= quota <= largest:
            _refuse_range(f"{name}: a {algorithm} quota is 1 to {largest} for this period, not {quota}")
        if algorithm == "concurrency":
            if not SECOND <= lease_ns <= _YEAR_NS:
                _refuse_range(f"{name}: a lease is one second to a year")
            period_ns = lease_ns
        elif period_ns % SECOND or not SECOND <= period_ns <= _YEAR_NS:
            _refuse_range(f"{name}: a period is whole seconds, at most 366 days, not {period_ns} ns")
        if not 0 <= enforced_ppm <= 1_000_000:
            _refuse_range(f"{name}: the enforced share is 0 to 1000000 millionths, not {enforced_ppm}")
        if algorithm == "token-bucket":
            interval = -(-16 * period_ns // quota)
            if not 1 <= burst <= (1 << 61) // interval:
                _refuse_range(f"{name}: a burst is 1 to {(1 << 61) // interval} at this rate, not {burst}")
            q.interval = interval
            q.depth = burst * interval
        elif burst != quota:
            _refuse_range(f"{name}: only a token bucket has a burst apart from its quota")
        self.name = name
        self.algorithm = algorithm
        self.quota = quota
        self.period_ns = period_ns
        self.burst = burst
        self.salt = salt
        self.shadow = shadow
        q.kind = _KINDS[algorithm]
        q.units = quota
        q.burst = burst
        q.period_ns = period_ns
        q.lease_ns = lease_ns
        q.salt = salt
        q.enforced = enforced_ppm * (1 << 32) // 1_000_000
        q.shadow = shadow
        if q.kind == SLIDING:
            q.bits = count_bits(q.period_ns // SECOND)
        elif q.kind == LOG or q.kind == SLOTS or q.kind == SKETCH:
            q.salt = mix(q.salt + block_bits(q))
        if calendar is not None:
            self.keep_calendar(calendar)

    cdef int keep_calendar(self, calendar) except -1:
        cdef uint64_t i
        cdef uint64_t size = len(calendar)
        if self.quota_c.kind != FIXED:
            _refuse_range(f"{self.name}: only a fixed window follows the calendar")
        if size == 0 or any(b <= a for a, b in zip(calendar, calendar[1:])) or calendar[0] < 0:
            _refuse_range(f"{self.name}: calendar starts ascend and are not empty")
        if any(start % SECOND for start in calendar):
            _refuse_range(f"{self.name}: calendar starts are whole seconds")
        self.starts = <uint64_t *>PyMem_Malloc(size * sizeof(uint64_t))
        if self.starts == NULL:
            raise MemoryError
        for i in range(size):
            self.starts[i] = calendar[i]
        self.quota_c.calendar = self.starts
        self.quota_c.calendar_size = size
        return 0

    @staticmethod
    def largest_quota(str algorithm not None, period_ns):
        if algorithm == "token-bucket":
            return max(0, int(period_ns))  # an emission interval of at least one nanosecond
        if algorithm == "fixed-window":
            return (1 << 34) - 1  # a debt doubles it
        if algorithm == "sliding-window":
            return (1 << (count_bits(max(1, int(period_ns) // SECOND)) - 1)) - 1
        return 4096

    def __dealloc__(self):
        PyMem_Free(self.starts)

    def __repr__(self):
        return f"<Rule {self.name!r} {self.algorithm} {self.quota} per {self.period_ns // SECOND} s>"

    def __reduce__(self):
        raise TypeError("a Rule carries a secret salt and is not pickled; compile the policy again")


@cython.final
cdef class Plan:
    """The rules of one kind of request: see the stub."""

    cdef Table table
    cdef readonly tuple rules
    cdef Quota quotas[MOST_RULES]
    cdef uint64_t shapes[MOST_RULES]
    cdef uint64_t rows[MOST_RULES]
    cdef int key_sizes[MOST_RULES]
    cdef int key_at[MOST_RULES][MOST_KEYS]
    cdef int member_at[MOST_RULES]
    cdef int cost_at[MOST_RULES]
    cdef int count
    cdef int highest       # of any identity position used
    cdef int highest_cost
    cdef bint has_slots
    cdef bint has_blocks
    cdef uint64_t k0
    cdef uint64_t k1

    def __init__(self, Table table not None, rules, keys, members=None, cost_positions=None):
        cdef int i, j
        cdef Rule rule
        cdef Quota *q
        table.check_open()
        if self.table is not None:
            raise ValueError("a Plan is immutable")
        self.rules = tuple(rules)
        if len(self.rules) > MOST_RULES:
            _refuse_range(f"one decision carries at most {MOST_RULES} rules, not {len(self.rules)}")
        members = [-1] * len(self.rules) if members is None else list(members)
        costs = [-1] * len(self.rules) if cost_positions is None else list(cost_positions)
        if not len(self.rules) == len(keys) == len(members) == len(costs):
            raise UsageError("a plan has one key, member and cost position a rule", code="plan-shape")
        self.count = len(self.rules)
        self.highest = -1
        self.highest_cost = -1
        self.k0 = table.arena.header.key0
        self.k1 = table.arena.header.key1
        for i in range(self.count):
            rule = self.rules[i]
            self.quotas[i] = rule.quota_c
            q = &self.quotas[i]
            q.epoch_ns = table.arena.header.epoch_ns
            self.shapes[i] = 0
            if q.kind == SLIDING:
                self.shapes[i] = table.shape_of(q.period_ns // SECOND)
                q.first_window = q.epoch_ns // q.period_ns
            self.has_slots = self.has_slots or q.kind == SLOTS
            self.has_blocks = self.has_blocks or q.kind > SLIDING
            if q.kind > SLIDING and not reserve_page(&table.arena, q):
                raise UsageError(
                    f"{rule.name}: the table has no blocks left for a {rule.algorithm} of this size; "
                    "raise the store's block_bytes and restart",
                    code="plan-blocks",
                )
            self.rows[i] = table.counter(rule.name)
            if len(keys[i]) > MOST_KEYS:
                _refuse_range(f"{rule.name}: a key has at most {MOST_KEYS} identities")
            self.key_sizes[i] = len(keys[i])
            for j in range(self.key_sizes[i]):
                self.key_at[i][j] = keys[i][j]
                if self.key_at[i][j] < 0:
                    raise UsageError("identity positions are not negative", code="plan-shape")
                self.highest = max(self.highest, self.key_at[i][j])
            self.member_at[i] = members[i]
            if (q.kind == SKETCH) != (members[i] >= 0):
                raise UsageError(f"{rule.name}: exactly the distinct rules count a member", code="plan-shape")
            self.highest = max(self.highest, self.member_at[i])
            self.cost_at[i] = costs[i]
            self.highest_cost = max(self.highest_cost, self.cost_at[i])
        if self.has_slots and table.seat_number < 0:
            raise UsageError("concurrency slots need a seat: call Table.join first", code="plan-seat")
        self.table = table

    def __len__(self):
        return self.count

    def decide(self, identities, now_ns, costs=None, /):
        return self.run(identities, now_ns, costs, True)

    def peek(self, identities, now_ns, costs=None, /):
        return self.run(identities, now_ns, costs, False)

    cdef Outcome run(self, object identities, object now_ns, object costs, bint commit):
        cdef uint64_t ids[64]
        cdef uint64_t amounts[MOST_RULES]
        cdef int i
        cdef uint64_t now
        cdef Outcome outcome
        if self.table is None:
            raise ValueError("this plan was never initialised")
        if not self.table.open:
            raise ValueError("the table is closed")
        self.read_identities(identities, ids)
        self.read_costs(costs, amounts)
        now = self.table.relative(now_ns)
        outcome = Outcome.__new__(Outcome)
        outcome.begin(self)
        if self.has_slots and commit:
            self.table.heartbeat(now_ns)
        decide(self, outcome, ids, amounts, now, commit)
        return outcome

    cdef int read_identities(self, object identities, uint64_t *ids) except -1:
        cdef object fast = PySequence_Fast(identities, "identities are a sequence of integers")
        cdef Py_ssize_t size = PySequence_Fast_GET_SIZE(fast), i
        cdef PyObject **items = PySequence_Fast_ITEMS(fast)
        if size <= self.highest or size > 64:
            raise UsageError(
                f"the plan looks at identity {self.highest} (of at most 64), {size} were given", code="plan-identities"
            )
        for i in range(size):
            ids[i] = identity_number(<object>items[i])
        return 0

    cdef int read_costs(self, object costs, uint64_t *amounts) except -1:
        cdef int i
        cdef int64_t cost
        for i in range(self.count):
            amounts[i] = 1
        if costs is None:
            if self.highest_cost >= 0:
                raise UsageError("this plan has limits with costs of their own: pass them", code="plan-costs")
            return 0
        if len(costs) <= self.highest_cost:
            raise UsageError(f"the plan looks at cost {self.highest_cost}, {len(costs)} were given", code="plan-costs")
        for i in range(self.count):
            if self.cost_at[i] >= 0:
                amounts[i] = checked_cost(costs[self.cost_at[i]])
        return 0

    def __reduce__(self):
        raise TypeError("a Plan is bound to memory of this host and is not pickled")


cdef inline uint64_t identity_number(object item) except? 0xFFFFFFFFFFFFFFFF:
    """Return an identity's hash; ABSENT as all ones, which no hash is."""
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(item, &overflow)
    cdef uint64_t high
    if overflow > 0:
        high = PyLong_AsUnsignedLongLong(item)  # raises OverflowError past 64 bits
        return high if high != ABSENT_HASH else ABSENT_HASH - 1
    if number >= 0 or number == -1 and overflow == 0:
        return <uint64_t>number
    raise OverflowError("an identity is a 64-bit hash, or ABSENT")


cdef uint64_t checked_cost(object cost) except? 0xFFFFFFFFFFFFFFFF:
    """Return a cost as a C integer; floats, NaN among them, never get this far."""
    if not isinstance(cost, int):
        raise UsageError(f"a cost is an integer, not {cost!r}", code="cost-type")
    if not 0 <= cost <= MOST_COST:
        raise UsageError(f"a cost is 0 to {MOST_COST}, not {cost}", code="cost-range")
    return cost


cdef inline uint64_t rule_key(Plan plan, int i, uint64_t *ids) noexcept:
    """Return the key of rule `i`, or ABSENT_HASH if one of its identities is absent."""
    cdef Sip sip
    cdef int j
    cdef uint64_t one
    cdef int size = plan.key_sizes[i]
    if size == 1:
        one = ids[plan.key_at[i][0]]
        if one == ABSENT_HASH:
            return ABSENT_HASH
        # Both are outputs of a keyed hash: the scramble only has to keep rules apart.
        return mix(one ^ plan.quotas[i].salt)
    sip_start(&sip, plan.k0, plan.k1)
    sip_word(&sip, plan.quotas[i].salt)
    for j in range(size):
        one = ids[plan.key_at[i][j]]
        if one == ABSENT_HASH:
            return ABSENT_HASH
        sip_word(&sip, one)
    return sip_finish(&sip)


cdef inline void check_word(const Quota *q, uint64_t word, uint64_t now, uint64_t cost, Check *check) noexcept nogil:
    check.next = word
    check.mark = 0
    if q.kind == GCRA:
        gcra_check(q, word, now, cost, check)
    elif q.kind == FIXED:
        fixed_check(q, word, now, cost, check)
    else:
        sliding_check(q, word, now, cost, check)


cdef inline int64_t retry_word(const Quota *q, uint64_t word, uint64_t now, uint64_t cost) noexcept nogil:
    if q.kind == GCRA:
        return gcra_retry(q, word, now, cost)
    if q.kind == FIXED:
        return fixed_retry(q, word, now, cost)
    return sliding_retry(q, word, now, cost)


cdef inline bint check_block(
    Plan plan, int i, Charge *charge, Look *look, uint64_t *ids, uint64_t now, uint64_t cost, bint commit
) noexcept:
    """Ask a rule whose state is a block; fills `charge` and returns whether the cost fits."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Arena *arena = &plan.table.arena
    cdef Block *block
    cdef Reading reading
    cdef uint64_t used = 0
    if q.kind == SKETCH:
        if ids[plan.member_at[i]] == ABSENT_HASH:
            charge.state = SKIPPED
            return True
        charge.reset = fixed_end(q, now)
        charge.key = mix(charge.key + charge.reset)  # each window has a sketch of its own
        charge.tag = make_tag(charge.key, SKETCH, 0)
        charge.reset -= now
    block = lookup(arena, charge.key, charge.tag, &look.entry)
    charge.retry = 0
    if q.kind == LOG:
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
            used = slots_used(arena, block, now)
        charge.remaining = q.units - used if q.units > used else 0
        charge.reset = q.lease_ns if used else 0
        if used + cost <= q.units:
            return True
        charge.retry = NEVER if cost > q.units else HINT_NS
        return False
    charge.mark = 0
    if block != NULL:
        charge.mark = sketch_bit(block, ids[plan.member_at[i]])
        used = load(&block.head)
    charge.remaining = q.units - used if q.units > used else 0
    if used < q.units or cost == 0 or sketch_has(block, charge.mark):
        return True
    charge.retry = <int64_t>charge.reset
    return False


cdef bint commit_word(Plan plan, int i, Charge *charge, Look *look, uint64_t now) noexcept:
    """Write one word; False if, after a lost race, the cost no longer fits."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Arena *arena = &plan.table.arena
    cdef Check check
    while True:
        if look.next == look.seen:
            return True
        if look.entry != NULL:
            if cas_pair(look.entry, charge.tag, look.seen, charge.tag, look.next):
                break
        elif insert(arena, charge.key, charge.tag, look.next, now):
            break
        look.entry = find(arena, charge.key, charge.tag)
        look.seen = load(&look.entry.word) if look.entry != NULL else 0
        check_word(q, look.seen, now, charge.cost, &check)
        look.next = check.next
        charge.mark = check.mark
        if not check.allowed:
            charge.word = look.seen
            charge.retry = retry_word(q, look.seen, now, charge.cost)
            return False
    charge.word = look.next
    charge.charged = True
    return True


cdef bint commit_block(
    Plan plan, int i, Charge *charge, Look *look, uint64_t *ids, uint64_t now
) noexcept:
    cdef const Quota *q = &plan.quotas[i]
    cdef Table table = plan.table
    cdef Arena *arena = &table.arena
    cdef Block *block
    cdef Reading reading
    cdef uint64_t until_s
    cdef int added
    if charge.cost == 0:
        return True
    until_s = (now + (charge.reset if q.kind == SKETCH else q.period_ns)) // SECOND + 1
    block = secure(arena, q, charge.key, charge.tag, until_s, now, &look.entry)
    if block == NULL:
        return False  # cannot be: the plan reserved a page; refusing is the safe reading if it ever is
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
            if log_append(block, reading, charge.cost):
                break
        charge.mark = reading.head
        charge.remaining = q.units - reading.used - charge.cost
        charge.reset = reading.at + q.period_ns - now
    elif q.kind == SLOTS:
        charge.mark = (
            (<uint64_t>table.seat_number << 56)
            | ((load(&arena.seats[table.seat_number].generation) & 0xFFFFFF) << 32)
            | (fetch_add(&arena.header.nonce, 1) & LOW32)
        )
        if not slots_acquire(arena, block, q.units, charge.cost, charge.mark, now):
            charge.retry = HINT_NS
            charge.remaining = 0
            return False
        charge.remaining -= charge.cost if charge.remaining >= charge.cost else charge.remaining
        charge.reset = q.lease_ns
    else:
        charge.mark = sketch_bit(block, ids[plan.member_at[i]])
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


cdef void decide(Plan plan, Outcome outcome, uint64_t *ids, uint64_t *amounts, uint64_t now, bint commit) noexcept:
    # noexcept: everything that can fail was checked by `run`.
    cdef Look looks[MOST_RULES]
    cdef Check check
    cdef Charge *charge
    cdef const Quota *q
    cdef Arena *arena = &plan.table.arena
    cdef int i, count = plan.count
    cdef bint refused = False, fits
    outcome.now = now
    for i in range(count):
        charge = outcome.charges + i
        q = &plan.quotas[i]
        charge.charged = False
        charge.cost = amounts[i]
        charge.key = rule_key(plan, i, ids)
        if charge.key == ABSENT_HASH:
            charge.state = SKIPPED
            continue
        charge.state = ALLOWED
        charge.tag = make_tag(charge.key, q.kind, plan.shapes[i])
        if count > 1:
            warm(arena, charge.key)
    for i in range(count):
        charge = outcome.charges + i
        if charge.state == SKIPPED:
            continue
        q = &plan.quotas[i]
        charge.retry = 0
        if q.kind <= SLIDING:
            looks[i].entry = find(arena, charge.key, charge.tag)
            looks[i].seen = load(&looks[i].entry.word) if looks[i].entry != NULL else 0
            check_word(q, looks[i].seen, now, charge.cost, &check)
            looks[i].next = check.next
            charge.mark = check.mark
            charge.word = looks[i].seen
            fits = check.allowed
            if not fits:
                charge.retry = retry_word(q, looks[i].seen, now, charge.cost)
                if looks[i].next != looks[i].seen and looks[i].entry != NULL and commit:
                    # Keep how it was read: after a clock step it must not have to be believed again.
                    cas_pair(looks[i].entry, charge.tag, looks[i].seen, charge.tag, looks[i].next)
        else:
            fits = check_block(plan, i, charge, &looks[i], ids, now, charge.cost, commit)
        if not fits and lost(plan, outcome, i):
            refused = True
    if commit and not refused:
        for i in range(count):
            if plan.quotas[i].kind <= SLIDING and outcome.charges[i].state == ALLOWED:
                if not commit_word(plan, i, outcome.charges + i, &looks[i], now) and lost(plan, outcome, i):
                    refused = True
                    break
    if commit and not refused and plan.has_blocks:
        for i in range(count):
            if plan.quotas[i].kind > SLIDING and outcome.charges[i].state == ALLOWED:
                if not commit_block(plan, i, outcome.charges + i, &looks[i], ids, now) and lost(plan, outcome, i):
                    refused = True
                    break
    if commit and refused:
        outcome.take_back(now)
    outcome.conclude()
    if commit:
        outcome.tally()


cdef inline bint lost(Plan plan, Outcome outcome, int i) noexcept:
    """Mark a rule whose cost does not fit; return whether that refuses the request."""
    cdef Charge *charge = outcome.charges + i
    if plan.quotas[i].shadow or (mix(charge.key) & LOW32) >= plan.quotas[i].enforced:
        charge.state = SHADOWED
        return False
    charge.state = REFUSED
    return True


cdef inline int64_t window_use(const Quota *q, uint64_t word, uint64_t now, uint64_t mark) noexcept nogil:
    """Return the count a window's word has for the window `mark`, as a settlement left it."""
    cdef Slide slide
    if q.kind == FIXED:
        return word & ((<uint64_t>1 << FIXED_COUNT_BITS) - 1) if (word >> FIXED_COUNT_BITS) * SECOND == mark else 0
    slide = sliding_roll(q, word, now)
    return slide.current if slide.window == mark else slide.before if slide.window == mark + 1 else 0


cdef int64_t correct(Plan plan, int i, Charge *charge, uint64_t actual, uint64_t now) noexcept:
    """Replace what rule `i` was charged by `actual`; return the signed correction that took effect."""
    cdef const Quota *q = &plan.quotas[i]
    cdef Arena *arena = &plan.table.arena
    cdef int64_t delta = <int64_t>actual - <int64_t>charge.cost
    cdef Pair *entry
    cdef uint64_t word, corrected
    cdef int64_t moved
    if delta == 0:
        return 0
    if q.kind > SLIDING:
        return correct_block(plan, i, charge, actual, now)
    if delta < 0 and q.kind == GCRA:
        delta = -<int64_t>gcra_refundable(q, now, charge.mark, <uint64_t>(-delta))
    while True:
        entry = find(arena, charge.key, charge.tag)
        word = load(&entry.word) if entry != NULL else 0
        if q.kind == GCRA:
            corrected = gcra_correct(q, word, now, charge.mark, delta)
        elif q.kind == FIXED:
            corrected = fixed_correct(q, word, now, charge.mark, delta)
        else:
            corrected = sliding_correct(q, word, now, charge.mark, delta)
        if corrected == word:
            break
        if entry != NULL:
            if cas_pair(entry, charge.tag, word, charge.tag, corrected):
                break
        elif delta < 0 or insert(arena, charge.key, charge.tag, corrected, now):
            break  # a refund to an entry that was evicted: nothing is left to give back to
    charge.cost = actual
    charge.word = corrected
    if q.kind == GCRA:
        moved = <int64_t>(corrected - gcra_arrival(q, word, now)) if delta > 0 else <int64_t>(corrected - word)
        charge.mark = (gcra_arrival(q, word, now) if delta > 0 and charge.mark < (now << 4) else charge.mark) + <uint64_t>moved
        return moved // <int64_t>q.interval
    return window_use(q, corrected, now, charge.mark) - window_use(q, word, now, charge.mark)


cdef int64_t correct_block(Plan plan, int i, Charge *charge, uint64_t actual, uint64_t now) noexcept:
    cdef const Quota *q = &plan.quotas[i]
    cdef Arena *arena = &plan.table.arena
    cdef int64_t delta = <int64_t>actual - <int64_t>charge.cost
    cdef Pair *entry = NULL
    cdef Block *block = lookup(arena, charge.key, charge.tag, &entry)
    cdef Reading reading
    cdef uint64_t extra, room
    if block == NULL and q.kind == LOG and delta > 0:
        # Nothing was charged at first (a cost of zero): the log is only begun now.
        block = secure(arena, q, charge.key, charge.tag, (now + q.period_ns) // SECOND + 1, now, &entry)
    if block == NULL:
        charge.cost = actual
        return 0
    if q.kind == LOG and delta < 0:
        delta = -<int64_t>log_reduce(block, charge.mark, <uint64_t>(-delta))
        charge.remaining += <uint64_t>(-delta)
    elif q.kind == LOG:
        while True:
            reading = log_read(q, block, now, 0)
            if reading.stepped:
                reading = log_restart(q, block, reading, now, 0)
            room = 2 * q.units - reading.used if 2 * q.units > reading.used else 0
            extra = <uint64_t>delta if <uint64_t>delta < room else room
            if extra == 0:
                break
            prolong(arena, entry, charge.tag, block, (now + q.period_ns) // SECOND + 1)
            if log_append(block, reading, extra):
                if charge.cost == 0:
                    charge.mark = reading.head  # what a later correction may reduce
                break
        delta = <int64_t>extra
        charge.remaining -= extra if extra < charge.remaining else charge.remaining
    elif actual != 0:
        return 0  # slots and sketches are taken or not: there is no part to correct
    elif q.kind == SLOTS:
        slots_release(block, charge.mark)
        charge.remaining += charge.cost
    else:
        sketch_remove(block, charge.mark)
        charge.remaining += 1
    charge.cost = actual
    return delta


@cython.final
@cython.no_gc  # refers only to its plan, which refers to nothing that could come back here
@cython.freelist(32)
cdef class Outcome:
    """What one decision found: see the stub."""

    cdef Plan plan
    cdef Charge inline_charges[INLINE_CHARGES]
    cdef Charge *charges
    cdef uint64_t now
    cdef readonly bint allowed
    cdef readonly int binding

    def __init__(self):
        raise TypeError("outcomes come from Plan.decide")

    cdef int begin(self, Plan plan) except -1:
        self.plan = plan
        self.charges = self.inline_charges
        if plan.count > INLINE_CHARGES:
            self.charges = <Charge *>PyMem_Malloc(plan.count * sizeof(Charge))
            if self.charges == NULL:
                self.charges = self.inline_charges
                raise MemoryError
        return 0

    def __dealloc__(self):
        if self.charges != self.inline_charges:
            PyMem_Free(self.charges)

    cdef void conclude(self) noexcept:
        cdef int i
        cdef int64_t longest = 0
        self.allowed = True
        self.binding = -1
        for i in range(self.plan.count):
            if self.charges[i].state == REFUSED:
                self.allowed = False
                if self.binding < 0 or (longest != NEVER and (
                    self.charges[i].retry == NEVER or self.charges[i].retry > longest
                )):
                    self.binding = i
                    longest = self.charges[i].retry

    cdef void take_back(self, uint64_t now) noexcept:
        cdef int i
        cdef uint64_t cost
        for i in range(self.plan.count):
            if self.charges[i].charged:
                cost = self.charges[i].cost
                correct(self.plan, i, self.charges + i, 0, now)
                self.charges[i].cost = cost
                self.charges[i].charged = False

    cdef void tally(self) noexcept:
        cdef int i
        cdef Charge *charge
        cdef Table table = self.plan.table
        cdef uint64_t row
        for i in range(self.plan.count):
            charge = self.charges + i
            row = self.plan.rows[i]
            if charge.state == ALLOWED:
                table.bump(row, COUNT_ALLOWED, 1)
                if self.allowed:
                    table.bump(row, COUNT_COST_ADMITTED, charge.cost)
            elif charge.state == SKIPPED:
                table.bump(row, COUNT_SKIPPED, 1)
            else:
                table.bump(row, COUNT_REFUSED if charge.state == REFUSED else COUNT_SHADOWED, 1)
                table.bump(row, COUNT_COST_REFUSED, charge.cost)

    cdef int check_made(self) except -1:
        if self.plan is None:
            raise ValueError("outcomes come from Plan.decide")
        return 0

    def __len__(self):
        self.check_made()
        return self.plan.count

    def __repr__(self):
        self.check_made()
        return f"<Outcome {'allowed' if self.allowed else 'refused'} by {self.plan.count} rules, binding {self.binding}>"

    cdef inline Charge *at(self, int index) except NULL:
        self.check_made()
        if not 0 <= index < self.plan.count:
            raise IndexError(f"the decision has {self.plan.count} rules")
        return self.charges + index

    cdef uint64_t remaining_of(self, int i) noexcept:
        cdef Charge *charge = self.charges + i
        cdef const Quota *q = &self.plan.quotas[i]
        if charge.state == SKIPPED:
            return q.units
        if q.kind == GCRA:
            return gcra_remaining(q, charge.word, self.now)
        if q.kind == FIXED:
            return fixed_remaining(q, charge.word, self.now)
        if q.kind == SLIDING:
            return sliding_remaining(q, charge.word, self.now)
        return charge.remaining

    cdef uint64_t reset_of(self, int i) noexcept:
        cdef Charge *charge = self.charges + i
        cdef const Quota *q = &self.plan.quotas[i]
        if charge.state == SKIPPED:
            return 0
        if q.kind == GCRA:
            return gcra_reset(q, charge.word, self.now)
        if q.kind == FIXED:
            return fixed_reset(q, charge.word, self.now)
        if q.kind == SLIDING:
            return sliding_reset(q, charge.word, self.now)
        return charge.reset

    def state(self, int index, /):
        return self.at(index).state

    def remaining(self, int index, /):
        self.at(index)
        return self.remaining_of(index)

    def retry_after_ns(self, int index, /):
        cdef Charge *charge = self.at(index)
        return charge.retry if charge.state >= REFUSED else 0

    def reset_after_ns(self, int index, /):
        self.at(index)
        return self.reset_of(index)

    def cost(self, int index, /):
        return self.at(index).cost

    def key(self, int index, /):
        return self.at(index).key

    @property
    def holds_slots(self):
        cdef int i
        self.check_made()
        if self.plan.has_slots:
            for i in range(self.plan.count):
                if self.plan.quotas[i].kind == SLOTS and self.charges[i].charged:
                    return True
        return False

    def ratelimit_field(self, labels, /):
        """Return the RateLimit field value; digits are written by hand, formatting costs more than deciding."""
        cdef char text[MOST_RULES][48]
        cdef int sizes[MOST_RULES]
        cdef int i
        cdef list parts = []
        self.check_made()
        if len(labels) != self.plan.count:
            raise ValueError("one label a rule")
        for i in range(self.plan.count):
            if self.charges[i].state == SKIPPED:
                continue
            sizes[i] = write_item(text[i], self.remaining_of(i), (self.reset_of(i) + SECOND - 1) // SECOND)
            parts.append(<bytes>labels[i] + text[i][:sizes[i]])
        return parts[0] if len(parts) == 1 else b", ".join(parts)

    def settle(self, int index, actual, now_ns, /):
        cdef Charge *charge = self.at(index)
        cdef uint64_t amount = checked_cost(actual)
        cdef uint64_t now
        if not self.plan.table.open:
            raise ValueError("the table is closed")
        if not self.allowed or charge.state != ALLOWED:
            return 0
        if not charge.charged and self.plan.quotas[index].kind > LOG:
            return 0  # a slot or a member that was not taken cannot be corrected
        now = self.plan.table.relative(now_ns)
        return correct(self.plan, index, charge, amount, now)

    def undo(self, now_ns, /):
        self.check_made()
        if not self.plan.table.open:
            raise ValueError("the table is closed")
        self.take_back(self.plan.table.relative(now_ns))

    def release(self, now_ns, /):
        cdef int i
        cdef uint64_t now
        self.check_made()
        if not self.plan.has_slots or not self.plan.table.open:
            return
        now = self.plan.table.relative(now_ns)
        for i in range(self.plan.count):
            if self.plan.quotas[i].kind == SLOTS and self.charges[i].charged:
                correct(self.plan, i, self.charges + i, 0, now)
                self.charges[i].charged = False

    def __reduce__(self):
        raise TypeError("an Outcome refers to memory of this host; keep its numbers instead")


cdef inline int write_item(char *at, uint64_t remaining, uint64_t reset_s) noexcept nogil:
    """Write `;r=N;t=S`; return its length (at most 46)."""
    cdef int size = 3
    at[0] = b";"
    at[1] = b"r"
    at[2] = b"="
    size += write_number(at + size, remaining)
    at[size] = b";"
    at[size + 1] = b"t"
    at[size + 2] = b"="
    size += 3
    return size + write_number(at + size, reset_s)


cdef inline int write_number(char *at, uint64_t value) noexcept nogil:
    cdef char digits[20]
    cdef int size = 0, i
    while True:
        digits[size] = <char>(48 + value % 10)
        size += 1
        value //= 10
        if value == 0:
            break
    for i in range(size):
        at[i] = digits[size - 1 - i]
    return size


@cython.final
cdef class Meter:
    """One rule over one kind of identity, from value to verdict in one call: see the stub."""

    cdef Plan plan
    cdef Hasher hasher
    cdef uint64_t kind

    def __init__(self, Table table not None, Rule rule not None, Hasher hasher not None, kind):
        self.plan = Plan(table, [rule], [[0]])
        self.hasher = hasher
        self.kind = kind

    def check(self, value, now_ns, cost=None, /):
        cdef uint64_t ids[1]
        cdef uint64_t amount = 1 if cost is None else checked_cost(cost)
        cdef Outcome outcome
        cdef Plan plan = self.plan
        if plan is None:
            raise ValueError("this meter was never initialised")
        plan.table.check_open()
        ids[0] = self.hasher.hash_value(self.kind, value)
        outcome = Outcome.__new__(Outcome)
        outcome.begin(plan)
        if plan.has_slots:
            plan.table.heartbeat(now_ns)
        decide(plan, outcome, ids, &amount, plan.table.relative(now_ns), True)
        return outcome

    def __reduce__(self):
        raise TypeError("a Meter is bound to memory of this host and is not pickled")
