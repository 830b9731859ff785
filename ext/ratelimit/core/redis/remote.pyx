"""Questions to a store that lives elsewhere, and its answers as outcomes. See the stub for the contract.

What is asked and what an answer means is written down in `stores/redis/decision/script.py`. Where
state is a word, the answer brings the word as the store keeps it. What remains and when to retry
is worked out here, by the functions that read the table's own words.

In one file, since questions and answers are two sides of one format.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from ratelimit.core.memory.atomic cimport LOW32, SECOND, u128
from ratelimit.core.redis.balance cimport BALANCE_NUMBERS, Balance, recall_balance, remember_balance
from ratelimit.core.decision.engine cimport (
    COUNT_FORGIVEN, Outcome, Plan, check_ready, count_verdicts, forgiven,
)
from ratelimit.core.memory.entries cimport BLOCKS, CARRIED, COUNTS, HOLDINGS, KIND_BITS, LIFETIME, NO_END, PAIRS, SLOTS
from ratelimit.core.algorithms.block_algorithms cimport LOG, SKETCH, records_of
from ratelimit.core.algorithms.gcra cimport gcra_arrival
from ratelimit.core.memory.quota cimport Quota
from ratelimit.core.algorithms.settlement cimport corrected_by, doubt, open_receipt, owed
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.algorithms.setup cimport (
    ALLOWED, MOST_RULES, SHADOWED, SKIPPED, Charge, caller_of, rule_key,
)
from ratelimit.core.memory.siphash cimport mix
from ratelimit.core.decision.free_list cimport take_charges
from ratelimit.core.memory.table cimport bump, relative
from ratelimit.core.algorithms.windows cimport (
    LAST_NS, Slide, count_pack, low_bits, sliding_pack, wide_word,
)
from ratelimit.core.algorithms.word_algorithms cimport (
    most_of, phase_of, retry_word, settle_word, used_word, window_end,
)

cdef enum:
    MICROSECOND = 1000
    TICKS = 16000        # a microsecond, in sixteenths of a nanosecond
    DIGITS = 11          # of 6 bits, for a key of 64
    TAG_DIGITS = 2       # of them, in braces: what a cluster's slot follows from
    MOST_IDENTITIES = 64

cdef object LATEST_US = (1 << 53) - 1
cdef uint64_t MOST_COUNT = <uint64_t>1 << 53    # numbers that a server is exact to
cdef uint64_t LONGEST_US = <uint64_t>1 << 53  # 285 years: longer than any limit's

cdef const char *ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

ASK_NUMBERS = 5
PEEK = 0
DECIDE = 1
CORRECT = 2

cdef uint64_t _tokens = 0  # names what this process holds; together with the worker's number unique


@cython.final
@cython.auto_pickle(False)
cdef class RemoteRules:
    """A plan's rules as a store elsewhere is asked for them: see the stub."""

    def __cinit__(self, Plan plan not None, bytes prefix not None, bint tagged):
        cdef int i
        check_ready(plan)
        self.plan = plan
        self.prefix = prefix
        self.is_tagged = tagged
        for i in range(plan.setup.count):
            # As an entry's tag: another algorithm, or a sliding window of another period, counts afresh.
            self.kinds[i] = plan.setup.quotas[i].kind
            if PAIRS <= plan.setup.quotas[i].kind < BLOCKS:
                self.kinds[i] |= (plan.setup.quotas[i].period_ns // SECOND) << KIND_BITS

    def __len__(self):
        return self.plan.setup.count

    def describe(self, now_ns, /):
        cdef int i
        return [described(&self.plan.setup.quotas[i], now_ns) for i in range(self.plan.setup.count)]

    def ask(self, identities, costs, bint commit, int base, dict keys not None, list items not None, ledger, /):
        cdef uint64_t ids[MOST_IDENTITIES]
        cdef uint64_t amounts[MOST_RULES]
        check_ready(self.plan)
        self.plan.read_identities(identities, ids)
        self.plan.read_costs(costs, amounts)
        return self.asked(ids, amounts, commit, base, keys, items, ledger)

    cdef Outcome asked(
        self, uint64_t *ids, uint64_t *amounts, bint commit, int base, dict keys, list items, object ledger
    ):
        """Ask for what was read: of a plan that is ready, with every position in the arrays."""
        cdef int i, asked = 0
        cdef Charge *charge
        cdef const Quota *q
        cdef Plan plan = self.plan
        cdef Outcome outcome
        cdef list asks = []
        cdef object told
        outcome = Outcome.__new__(Outcome)
        outcome.now = 0
        outcome.charges = take_charges(plan.setup.count)
        outcome.plan = plan
        outcome.ledger = ledger
        outcome.binding = -1
        for i in range(plan.setup.count):
            charge = outcome.charges + i
            q = &plan.setup.quotas[i]
            charge.charged = False
            charge.cost = amounts[i]
            charge.key = rule_key(&plan.setup, i, ids)
            charge.who = caller_of(&plan.setup, i, ids)
            charge.state = SKIPPED
            charge.word = charge.past = charge.mark = charge.remaining = charge.reset = 0
            open_receipt(charge)
            charge.retry = 0
            if charge.key == ABSENT_HASH:
                continue
            told = None
            if q.kind == LIFETIME:
                told = self.recalled(i, charge.key)
            elif COUNTS <= q.kind < PAIRS:
                charge.mark = phase_of(q, charge.key)
            elif q.kind == SKETCH:
                if ids[plan.setup.member_at[i]] == ABSENT_HASH:
                    continue
                charge.mark = mix(ids[plan.setup.member_at[i]]) & (q.bits - 1)
            elif q.kind == SLOTS:
                charge.mark = next_token()
            charge.state = ALLOWED
            asked += 1
            asks += (
                base + i, number_of(keys, self.key_of(i, charge.key)), charge.cost,
                1 if not q.shadow and (mix(charge.key) & LOW32) < q.enforced else 0,
                charge.mark if told is None else told,
            )
        items.append(DECIDE if commit else PEEK)
        items.append(asked)
        items += asks
        return outcome

    def answer(self, Outcome outcome not None, list said not None, Py_ssize_t at, now_us, bint commit, bint apart=False, /):
        return self.read(outcome, said, at, now_us, commit, apart)

    cdef Py_ssize_t read(
        self, Outcome outcome, list said, Py_ssize_t at, object now_us, bint commit, bint apart
    ) except -1:
        cdef int i
        cdef uint64_t state
        cdef Charge *charge
        cdef const Quota *q
        cdef Plan plan = self.plan
        if outcome.plan is not plan:
            raise ValueError("the outcome is another plan's")
        outcome.now = relative(plan.table, now_us * MICROSECOND)
        for i in range(plan.setup.count):
            charge = outcome.charges + i
            if charge.state == SKIPPED:
                continue
            q = &plan.setup.quotas[i]
            state = said[at]
            if not ALLOWED <= state <= SHADOWED:
                raise ValueError(f"no state {state}")
            charge.state = <int>state
            at += 1
            if q.kind < BLOCKS:
                if q.kind == LIFETIME:
                    at = self.read_balance(i, charge, said, at, outcome.now)
                    charge.mark = LAST_NS
                else:
                    at = read_word(charge, q, said, at)
                if q.kind >= COUNTS and q.kind != LIFETIME:
                    charge.mark = read_mark(q, said[at])
                    at += 1
                if charge.state != ALLOWED:
                    charge.retry = retry_word(q, charge.key, charge.word, charge.past, outcome.now, charge.cost)
            else:
                charge.remaining = said[at]
                if charge.remaining > q.units:
                    raise ValueError("more is left than the limit allows")
                charge.reset = read_span(said[at + 1])
                charge.retry = <int64_t>said[at + 2]
                if charge.retry > 0:
                    charge.retry = <int64_t>read_span(said[at + 2])
                charge.mark = said[at + 3]
                charge.charged = said[at + 4] != 0
                charge.word = relative_end(q, said[at + 5]) if q.kind == SKETCH else 0
                if charge.charged:
                    charge.held = charge.live = charge.cost
                at += 6
        outcome.conclude()
        for i in range(plan.setup.count):
            charge = outcome.charges + i
            q = &plan.setup.quotas[i]
            if charge.state == ALLOWED and q.kind < BLOCKS:
                charge.charged = commit and (outcome.allowed or apart) and charge.cost > 0
                if charge.charged:
                    charge.held = charge.live = charge.cost
                if q.kind < COUNTS:
                    charge.mark = charge.word if charge.charged else gcra_arrival(q, charge.word, outcome.now)
        if commit and not apart:
            self.count(outcome)
        return at

    def count(self, Outcome outcome not None, /):
        if outcome.plan is not self.plan:
            raise ValueError("the outcome is another plan's")
        count_verdicts(outcome, NULL)

    def owes(self, Outcome outcome not None, int index, /):
        cdef Charge *charge = outcome.at(index)
        if self.plan.setup.quotas[index].kind >= HOLDINGS or charge.is_underway or charge.settled == charge.aim:
            return False
        if owed(charge, charge.aim):
            return True
        charge.settled = charge.aim
        return False

    def correct(self, Outcome outcome not None, int index, delta, int base, dict keys not None, list items not None, /):
        cdef Charge *charge = outcome.at(index)
        cdef const Quota *q = &self.plan.setup.quotas[index]
        cdef object mark, other
        if outcome.plan is not self.plan:
            raise ValueError("the outcome is another plan's")
        if q.kind < HOLDINGS:
            if charge.aim != charge.settled:
                delta = owed(charge, charge.aim)
            charge.asked = delta
            charge.target = charge.aim
            charge.is_underway = True
        if q.kind == LIFETIME:
            mark, other = 0, self.recalled(index, charge.key)
        else:
            mark, other = marks_of(q, charge)
        items += (CORRECT, 1, base + index, number_of(keys, self.key_of(index, charge.key)), delta, mark, other)

    def amend(self, Outcome outcome not None, int index, /):
        cdef Charge *charge = outcome.at(index)
        if charge.is_underway and charge.aim != charge.target:
            charge.asked = owed(charge, charge.aim)
            charge.target = charge.aim
        return charge.asked

    def corrected(self, Outcome outcome not None, int index, list said not None, Py_ssize_t at, now_us, /):
        cdef Charge *charge = outcome.at(index)
        cdef uint64_t before = forgiven(charge, charge.settled), after
        cdef const Quota *q = &self.plan.setup.quotas[index]
        cdef int64_t moved = said[at]
        cdef uint64_t now = relative(self.plan.table, now_us * MICROSECOND)
        cdef uint64_t ticks, added = said[at + 1]
        cdef int64_t asked
        if outcome.plan is not self.plan:
            raise ValueError("the outcome is another plan's")
        at += 1
        if q.kind >= HOLDINGS:
            return moved, at + 1
        asked = charge.asked
        if q.kind >= BLOCKS:
            at += 1
            if moved > 0 and added == 0:
                doubt(charge, moved)  # it counts with another charge's record, and stays
            else:
                corrected_by(charge, asked, moved)
                charge.word = added
        else:
            if q.kind == LIFETIME:
                at = self.read_balance(index, charge, said, at, now)
            else:
                at = read_word(charge, q, said, at)
            ticks = 0
            if q.kind < COUNTS:
                ticks = <uint64_t>said[at] * TICKS + <uint64_t>said[at + 1]
                at += 2
            settle_word(
                q, charge, charge.word - ticks if moved > 0 else charge.word + ticks, charge.word, now, asked, moved
            )
        charge.is_underway = False
        charge.settled = charge.target
        after = forgiven(charge, charge.settled)
        if after > before:
            bump(self.plan.table, self.plan.setup.counters[index], COUNT_FORGIVEN, after - before)
        return moved, at

    def unanswered(self, Outcome outcome not None, int index, /):
        cdef Charge *charge = outcome.at(index)
        if charge.is_underway:
            doubt(charge, charge.asked)
            charge.is_underway = False
            charge.settled = charge.target

    def carried(
        self, int index, uint64_t key, used, now_ns, int base, dict keys not None, list items not None, token=0, /
    ):
        # The window that a charge of now would belong to. A bucket's mark is only for refunds: of any charge.
        cdef const Quota *q = &self.plan.setup.quotas[index]
        cdef object mark = LATEST_US if q.kind < COUNTS and used < 0 else 0
        cdef object other = 0
        if q.kind >= HOLDINGS:
            raise ValueError("only what counts units is carried")
        if q.kind == LIFETIME:
            mark, other = token, self.recalled(index, key)
        elif COUNTS <= q.kind < PAIRS:
            mark = told_mark(q, window_end(q, key, relative(self.plan.table, now_ns)))
            other = phase_of(q, key)
        elif PAIRS <= q.kind < BLOCKS:
            mark = now_ns // q.period_ns
        items += (CORRECT, 1, base + index, number_of(keys, self.key_of(index, key)), used, mark, other)

    def ask_size(self, int index, /):
        cdef uint64_t kind = self.plan.setup.quotas[index].kind
        return 3 if kind < COUNTS else 4 if kind < LIFETIME else 5 if kind < BLOCKS else 7

    def answer_size(self, int index, /):
        cdef uint64_t kind = self.plan.setup.quotas[index].kind
        return 5 if kind < COUNTS or kind == LIFETIME else 3 if kind < PAIRS else 4 if kind < BLOCKS else 2

    def key(self, int index, uint64_t key, /):
        if not 0 <= index < self.plan.setup.count:
            raise IndexError(f"the plan has {self.plan.setup.count} rules")
        return self.key_of(index, key)

    def balance(self, int index, uint64_t key, /):
        cdef Balance known
        self.check_lifetime(index)
        if not recall_balance(self.plan.setup.arena, key, self.plan.setup.shapes[index], &known):
            return None
        return known.generation, known.numbers[0], known.numbers[1], known.numbers[2]

    def remember(self, int index, uint64_t key, said, now_ns, /):
        cdef Charge charge
        self.check_lifetime(index)
        charge.key = key
        self.read_balance(index, &charge, list(said), 0, relative(self.plan.table, now_ns))

    cdef int check_lifetime(self, int index) except -1:
        check_ready(self.plan)
        if not 0 <= index < self.plan.setup.count or self.plan.setup.quotas[index].kind != LIFETIME:
            raise ValueError("only a lifetime has a balance")
        return 0

    cdef object recalled(self, int index, uint64_t key):
        """Return what this host remembers of a balance, as a question brings it; 0 for nothing."""
        cdef Balance known
        cdef int i
        if not recall_balance(self.plan.setup.arena, key, self.plan.setup.shapes[index], &known):
            return 0
        return [known.generation, *[known.numbers[i] for i in range(BALANCE_NUMBERS)]]

    cdef Py_ssize_t read_balance(
        self, int index, Charge *charge, list said, Py_ssize_t at, uint64_t now
    ) except -1:
        """Read a balance into a charge's word, and remember it."""
        cdef const Quota *q = &self.plan.setup.quotas[index]
        cdef Balance known
        cdef uint64_t count
        cdef int i
        known.generation = said[at]
        if known.generation > MOST_COUNT:
            raise ValueError("no generation")
        for i in range(BALANCE_NUMBERS):
            known.numbers[i] = said[at + 1 + i]
            if known.numbers[i] > MOST_COUNT:
                raise ValueError("more than a server counts")
        charge.word = 0
        if known.generation:
            count = q.base + known.numbers[0]
            count = count - known.numbers[1] if count > known.numbers[1] else 0
            charge.word = count_pack(q, LAST_NS, min(count, (<uint64_t>1 << q.bits) - 1))
            remember_balance(self.plan.setup.arena, charge.key, self.plan.setup.shapes[index], &known, now)
        return at + 1 + BALANCE_NUMBERS

    cdef uint64_t digest(self, int index, uint64_t key) noexcept:
        """Return what names a counter: as an entry's tag, other algorithms' count apart."""
        return mix(key + self.kinds[index] * <uint64_t>0x9E3779B97F4A7C15)

    cdef bytes key_of(self, int index, uint64_t key):
        return self.name_of(self.digest(index, key))

    cdef bytes name_of(self, uint64_t digest):
        """Return the name of a counter's key: the prefix and 11 digits of its digest."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.prefix)
        cdef bytes name = PyBytes_FromStringAndSize(NULL, size + DIGITS + (2 if self.is_tagged else 0))
        cdef char *to = PyBytes_AS_STRING(name)
        cdef int i
        memcpy(to, PyBytes_AS_STRING(self.prefix), size)
        to += size
        if self.is_tagged:
            to[0] = c"{"
            to += 1
        for i in range(DIGITS):
            if self.is_tagged and i == TAG_DIGITS:
                to[0] = c"}"
                to += 1
            to[0] = ALPHABET[digest & 63]
            digest >>= 6
            to += 1
        return name

    def __reduce__(self):
        raise TypeError("a plan's rules carry a secret and are not pickled")


cdef object number_of(dict keys, bytes name):
    """Return a key's number in a call, from one; a key that several ask for has one number."""
    return keys.setdefault(name, len(keys) + 1)


cdef inline uint64_t next_token() noexcept:
    global _tokens
    _tokens += 1
    return _tokens


cdef object starts_around(const Quota *q, now_ns):
    """Return the calendar's starts around an instant, in seconds; False without a calendar.

    The store's clock decides which of them is next: there are enough for it to differ by periods.
    """
    cdef uint64_t i = 0, low, high
    if q.calendar_size == 0:
        return False
    while i < q.calendar_size and q.calendar[i] <= now_ns:
        i += 1
    low = i - 3 if i > 3 else 0
    high = i + 6 if i + 6 < q.calendar_size else q.calendar_size
    return [q.calendar[i] // SECOND for i in range(low, high)]


cdef list described(const Quota *q, now_ns):
    """Return a rule's kind and numbers, as the script reads them."""
    if q.kind < COUNTS:
        return [
            q.kind, q.burst, q.interval // TICKS, q.interval % TICKS,
            q.depth // TICKS, q.depth % TICKS, q.believed // TICKS, q.believed % TICKS,
            q.ceiling, q.furthest // TICKS, q.furthest % TICKS,
        ]
    if q.kind == SLOTS:
        return [q.kind, q.units, q.lease_ns // MICROSECOND]
    if q.kind == LIFETIME:
        return [q.kind, q.units, q.base, q.ceiling - q.base]
    if q.kind == CARRIED:
        return [q.kind, q.burst, q.period_ns // MICROSECOND, starts_around(q, now_ns), q.ceiling, q.units]
    # Of a log the places that its records have, of others the starts of windows.
    own = records_of(q) if q.kind == LOG else starts_around(q, now_ns)
    return [q.kind, q.units, q.period_ns // MICROSECOND, own, q.ceiling]


cdef tuple marks_of(const Quota *q, const Charge *charge):
    """Return the two numbers that say what was charged."""
    cdef u128 ticks
    if q.kind < COUNTS:
        ticks = <u128>charge.mark + (<u128>q.epoch_ns << 4)
        return <uint64_t>(ticks // TICKS), <uint64_t>(ticks % TICKS)
    if q.kind < PAIRS:
        return told_mark(q, charge.mark), phase_of(q, charge.key)
    if q.kind < BLOCKS:
        return told_mark(q, charge.mark), 0
    if q.kind < HOLDINGS:
        return charge.mark, charge.word
    return charge.mark, (charge.word + q.epoch_ns) // SECOND if q.kind == SKETCH else 0


cdef object told_mark(const Quota *q, uint64_t mark):
    """Return a window's mark as the store counts: its end in seconds, or its number."""
    if COUNTS <= q.kind < PAIRS:
        return (mark + q.epoch_ns) // SECOND
    return mark + q.first_window if PAIRS <= q.kind < BLOCKS else mark


cdef uint64_t read_mark(const Quota *q, object said) except? 0xFFFFFFFFFFFFFFFF:
    """Return what the store says of a window's mark as this host counts."""
    cdef uint64_t mark
    if COUNTS <= q.kind < PAIRS:
        return relative_end(q, said)
    mark = said
    return mark - q.first_window if PAIRS <= q.kind < BLOCKS else mark


cdef inline uint64_t relative_end(const Quota *q, object seconds) except? 0xFFFFFFFFFFFFFFFF:
    cdef uint64_t at = seconds
    return at * SECOND - q.epoch_ns if at * SECOND > q.epoch_ns else 0


cdef uint64_t read_grant(const Quota *q, said) except? 1:
    """Return the units that a lease has; more than the limit holds would be admitted over it."""
    cdef uint64_t units = said
    if units > most_of(q):
        raise ValueError("more was granted than the limit allows")
    return units


cdef uint64_t read_span(said) except? 1:
    """Return microseconds as nanoseconds, which keep to 63 bits."""
    cdef uint64_t span_us = said
    if span_us > LONGEST_US:
        raise ValueError("a time longer than that of any limit")
    return span_us * MICROSECOND


cdef Py_ssize_t read_word(Charge *charge, const Quota *q, list said, Py_ssize_t at) except -1:
    """Read a word as the store keeps it into a charge; 0 if it has none, or one from before our epoch."""
    cdef u128 ticks
    cdef uint64_t first, second, third
    cdef Slide slide
    first = said[at]
    second = said[at + 1]
    charge.word = charge.past = 0
    if q.kind < COUNTS:
        ticks = <u128>first * TICKS + second
        if ticks > <u128>q.epoch_ns << 4:
            charge.word = <uint64_t>(ticks - (<u128>q.epoch_ns << 4))
        return at + 2
    if q.kind < PAIRS:
        second = min(second, (<uint64_t>1 << q.bits) - 1)
        if first * SECOND > q.epoch_ns:
            charge.word = count_pack(q, first * SECOND - q.epoch_ns, second)
        return at + 2
    third = said[at + 2]
    slide.window, slide.is_wide = first - q.first_window, False
    slide.before, slide.current = min(second, low_bits(NO_END, q.bits)), min(third, low_bits(NO_END, q.bits))
    if first >= q.first_window and (second or third):
        charge.word = sliding_pack(q, &slide)
        charge.past = wide_word(q, slide.window - 1, slide.before)
    return at + 3


def used(Outcome outcome not None, int index, /):
    """Return how many units of rule `index` are in use as an outcome read them."""
    cdef Charge *charge = outcome.at(index)
    cdef const Quota *q = &outcome.plan.setup.quotas[index]
    if charge.state == SKIPPED or q.kind >= HOLDINGS:
        return 0
    if q.kind >= BLOCKS:
        return q.units - charge.remaining if q.units > charge.remaining else 0
    return used_word(q, charge.key, charge.word, charge.past, outcome.now)
