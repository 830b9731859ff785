"""Plans, outcomes and meters: what Python sees of a decision. See the stub for the contract.

The decision itself is in `decide.pxd`; here arguments are checked and unpacked, and
what was found is handed out.

In one file, since a plan writes an outcome's fields without a call between.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from ratelimit.core.memory.arguments cimport MOST_COST, checked_cost, identity_number
from ratelimit.core.memory.atomic cimport SECOND
from ratelimit.core.memory.blocks cimport reserve_page
from ratelimit.core.decision.decide cimport correct, decide
from ratelimit.core.memory.entries cimport BLOCKS, COUNTS, HOLDINGS, LIFETIME, SLOTS
from ratelimit.core.decision.field cimport write_remaining, write_reset
from ratelimit.core.algorithms.block_algorithms cimport SKETCH
from ratelimit.core.algorithms.rule cimport Rule, refuse_range
from ratelimit.core.memory.quota cimport NEVER, Quota
from ratelimit.core.memory.siphash cimport unmix
from ratelimit.core.algorithms.setup cimport (
    ALLOWED, MOST_KEYS, MOST_RULES, REFUSED, SHADOWED, SKIPPED, Charge, rule_key,
)
from ratelimit.core.decision.free_list cimport give_charges, take_charges
from ratelimit.core.memory.table cimport Table, relative
from ratelimit.core.memory.takings cimport note_corrected
from ratelimit.core.algorithms.word_algorithms cimport carry_word, charge_word, remaining_word, reset_word

from ratelimit.errors import UsageError

cdef extern from "Python.h":
    PyObject **PySequence_Fast_ITEMS(object sequence)
    object PySequence_Fast(object sequence, const char *message)
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence)

cdef enum:
    FIELD_BYTES = 4096
    MOST_IDENTITIES = 64

MAX_RULES = MOST_RULES
MAX_COST = MOST_COST
ABSENT = -1


@cython.final
cdef class Plan:
    """The rules of one kind of request: see the stub."""

    def __init__(self, Table table not None, rules, keys, members=None, cost_positions=None):
        cdef int i, j
        cdef Rule rule
        cdef Quota *q
        table.check_open()
        if self.table is not None:
            raise ValueError("a Plan is immutable")
        self.rules = tuple(rules)
        if len(self.rules) > MOST_RULES:
            refuse_range(f"one decision carries at most {MOST_RULES} rules, not {len(self.rules)}")
        members = [-1] * len(self.rules) if members is None else list(members)
        costs = [-1] * len(self.rules) if cost_positions is None else list(cost_positions)
        if not len(self.rules) == len(keys) == len(members) == len(costs):
            raise UsageError("a plan has one key, member and cost position a rule", code="plan-shape")
        self.setup.count = len(self.rules)
        self.highest = self.highest_cost = -1
        self.setup.k0, self.setup.k1 = table.key[0], table.key[1]
        for i in range(self.setup.count):
            rule = self.rules[i]
            self.setup.quotas[i] = rule.quota_c
            q = &self.setup.quotas[i]
            q.epoch_ns = table.arena.epoch_ns
            self.setup.shapes[i] = 0
            if COUNTS <= q.kind < BLOCKS and q.kind != LIFETIME:
                self.setup.shapes[i] = table.shape_of(q.period_ns // SECOND)
                q.first_window = q.epoch_ns // q.period_ns
            self.setup.has_slots = self.setup.has_slots or q.kind == SLOTS
            self.setup.has_blocks = self.setup.has_blocks or q.kind >= BLOCKS
            if q.kind >= BLOCKS and not reserve_page(&table.arena, q) and not table.wrong():
                raise UsageError(
                    f"{rule.name}: the table has no blocks left for a {rule.algorithm} of this size; "
                    "raise the store's block_bytes and restart",
                    code="plan-blocks",
                )
            self.setup.counters[i] = table.counter(rule.name)
            self.setup.noted_as[i] = self.setup.counters[i] | <uint64_t>rule.mark << 32
            if len(keys[i]) > MOST_KEYS:
                refuse_range(f"{rule.name}: a key has at most {MOST_KEYS} identities")
            self.setup.key_sizes[i] = len(keys[i])
            self.setup.is_plain[i] = len(keys[i]) == 1 and not q.share
            for j in range(self.setup.key_sizes[i]):
                self.setup.key_at[i][j] = keys[i][j]
                if self.setup.key_at[i][j] < 0:
                    raise UsageError("identity positions are not negative", code="plan-shape")
                self.highest = max(self.highest, self.setup.key_at[i][j])
            self.setup.member_at[i] = members[i]
            if (q.kind == SKETCH) != (members[i] >= 0):
                raise UsageError(f"{rule.name}: exactly the distinct rules count a member", code="plan-shape")
            self.highest = max(self.highest, self.setup.member_at[i])
            self.setup.cost_at[i] = costs[i]
            self.highest_cost = max(self.highest_cost, self.setup.cost_at[i])
        if self.setup.has_slots and table.seat_number < 0:
            raise UsageError("concurrency slots need a seat: call Table.join first", code="plan-seat")
        self.setup.arena = &table.arena
        self.table = table

    def __len__(self):
        return self.setup.count

    @property
    def decides_here(self):
        return True

    @property
    def accelerated(self):
        return self

    def like(self, rules, absent=(), absent_at=0, /):
        cdef int i, j
        cdef list keys = []
        for i in range(self.setup.count):
            keys.append([self.setup.key_at[i][j] for j in range(self.setup.key_sizes[i])])
        for i in absent:
            keys[i] = [absent_at]
        return Plan(
            self.table, rules, keys,
            [self.setup.member_at[i] for i in range(self.setup.count)],
            [self.setup.cost_at[i] for i in range(self.setup.count)],
        )

    def key(self, int index, identities, /):
        cdef uint64_t ids[MOST_IDENTITIES]
        check_ready(self)
        if not 0 <= index < self.setup.count:
            raise IndexError(f"the plan has {self.setup.count} rules")
        self.read_identities(identities, ids)
        return rule_key(&self.setup, index, ids)

    def identity_of(self, int index, uint64_t key, /):
        check_ready(self)
        if not 0 <= index < self.setup.count:
            raise IndexError(f"the plan has {self.setup.count} rules")
        if self.setup.key_sizes[index] != 1:
            raise ValueError("only of a rule with one identity can a key be made")
        return unmix(key) ^ self.setup.quotas[index].salt  # see `whole_key`

    def decide(self, identities, now_ns, costs=None, /):
        return self.run(identities, now_ns, costs, True)

    def peek(self, identities, now_ns, costs=None, /):
        return self.run(identities, now_ns, costs, False)

    cdef Outcome run(self, object identities, object now_ns, object costs, bint commit):
        cdef uint64_t ids[MOST_IDENTITIES]
        cdef uint64_t amounts[MOST_RULES]
        check_ready(self)
        self.read_identities(identities, ids)
        self.read_costs(costs, amounts)
        return self.decided(ids, amounts, now_ns, commit)

    def carry(self, source, target, now_ns, /):
        cdef uint64_t ids[MOST_IDENTITIES]
        cdef uint64_t others[MOST_IDENTITIES]
        cdef uint64_t now
        cdef int i
        check_ready(self)
        self.read_identities(source, ids)
        self.read_identities(target, others)
        now = relative(self.table, now_ns)
        for i in range(self.setup.count):
            if self.setup.quotas[i].kind < BLOCKS:
                self.forgive(i, carry_word(&self.setup, i, ids, others, now))

    def charge(self, identities, costs, times, now_ns, /):
        cdef uint64_t ids[MOST_IDENTITIES]
        cdef uint64_t amounts[MOST_RULES]
        cdef uint64_t now, amount, requests = checked_cost(times)
        cdef int i
        check_ready(self)
        self.read_identities(identities, ids)
        if len(costs) != self.setup.count:
            raise UsageError("a plan is charged one cost a rule", code="plan-shape")
        for i in range(self.setup.count):
            amounts[i] = checked_cost(costs[i])
        now = relative(self.table, now_ns)
        for i in range(self.setup.count):
            if self.setup.quotas[i].kind < BLOCKS and amounts[i]:
                amount = min(MOST_COST, amounts[i] * requests)
                self.forgive(i, charge_word(&self.setup, i, ids, amount, amounts[i] - 1, now))

    cpdef int forgive(self, int index, uint64_t units) except -1:
        if not 0 <= index < self.setup.count:  # of a plan that was never initialised, there are none
            raise IndexError(f"the plan has {self.setup.count} rules")
        if units:
            bump(self.table, self.setup.counters[index], COUNT_FORGIVEN, units)
        return 0

    cdef Outcome decided(self, uint64_t *ids, uint64_t *amounts, object now_ns, bint commit):
        """Decide for what was read; of a plan that is ready, with every position in the arrays."""
        cdef Outcome outcome = self.tried(ids, amounts, now_ns, commit)
        if commit:
            count_verdicts(outcome, ids)
        return outcome

    cdef Outcome tried(self, uint64_t *ids, uint64_t *amounts, object now_ns, bint commit):
        """Do the same, and count nothing of what was said: a refusal may not be the last word."""
        cdef Outcome outcome = Outcome.__new__(Outcome)
        outcome.now = relative(self.table, now_ns)
        outcome.charges = take_charges(self.setup.count)
        outcome.plan = self
        if self.setup.has_slots and commit:
            self.table.beat(outcome.now)
            self.setup.seat = self.table.seat_number
        decide(&self.setup, outcome.charges, ids, amounts, outcome.now, commit)
        outcome.conclude()
        return outcome

    cdef bint looks_at(self, int position) noexcept:
        """Return whether a rule counts by the identity at a position, whatever else it counts by."""
        cdef int i, j
        for i in range(self.setup.count):
            for j in range(self.setup.key_sizes[i]):
                if self.setup.key_at[i][j] == position:
                    return True
        return False

    cdef int read_identities(self, object identities, uint64_t *ids) except -1:
        cdef object fast = PySequence_Fast(identities, "identities are a sequence of integers")
        cdef Py_ssize_t size = PySequence_Fast_GET_SIZE(fast)
        cdef int i
        cdef PyObject **items = PySequence_Fast_ITEMS(fast)
        if size <= self.highest or size > MOST_IDENTITIES:
            raise UsageError(
                f"the plan looks at identity {self.highest} (of at most {MOST_IDENTITIES}), {size} were given",
                code="plan-identities",
            )
        for i in range(self.highest + 1):
            ids[i] = identity_number(<object>items[i])
        return 0

    cdef int read_costs(self, object costs, uint64_t *amounts) except -1:
        cdef object fast
        cdef PyObject **items
        cdef int i, at
        for i in range(self.setup.count):
            amounts[i] = 1
        if self.highest_cost < 0:
            return 0
        if costs is None:
            raise UsageError("this plan has limits with costs of their own: pass them", code="plan-costs")
        fast = PySequence_Fast(costs, "costs are a sequence of integers")
        if PySequence_Fast_GET_SIZE(fast) <= self.highest_cost:
            raise UsageError(
                f"the plan looks at cost {self.highest_cost}, {PySequence_Fast_GET_SIZE(fast)} were given",
                code="plan-costs",
            )
        items = PySequence_Fast_ITEMS(fast)
        for i in range(self.setup.count):
            at = self.setup.cost_at[i]
            if at >= 0:
                amounts[i] = checked_cost(<object>items[at])
        return 0

    def __reduce__(self):
        raise TypeError("a Plan is bound to memory of this host and is not pickled")


@cython.final
@cython.no_gc  # refers only to its plan, which refers to nothing that could come back here
@cython.freelist(32)
cdef class Outcome:
    """The result of one decision: see the stub."""

    def __init__(self):
        raise TypeError("outcomes come from Plan.decide")

    def __dealloc__(self):
        if self.charges != NULL:
            give_charges(self.charges, self.plan.setup.count)

    cdef void conclude(self) noexcept:
        cdef int i
        cdef int64_t longest = 0
        self.allowed = True
        self.binding = -1
        for i in range(self.plan.setup.count):
            if self.charges[i].state == REFUSED:
                self.allowed = False
                if self.binding < 0 or (longest != NEVER and (
                    self.charges[i].retry == NEVER or self.charges[i].retry > longest
                )):
                    self.binding = i
                    longest = self.charges[i].retry

    cdef bint would_refuse_by(self, int position) noexcept:
        """Return whether a rule that counts by the identity at a position had no room, and is not enforced."""
        cdef int i, j
        for i in range(self.plan.setup.count):
            if self.charges[i].state == SHADOWED:
                for j in range(self.plan.setup.key_sizes[i]):
                    if self.plan.setup.key_at[i][j] == position:
                        return True
        return False

    cdef int check_made(self) except -1:
        if self.plan is None:
            raise ValueError("outcomes come from Plan.decide")
        return 0

    def __len__(self):
        self.check_made()
        return self.plan.setup.count

    def __repr__(self):
        self.check_made()
        return f"<Outcome {'allowed' if self.allowed else 'refused'} by {self.plan.setup.count} rules, binding {self.binding}>"

    cdef Charge *at(self, int index) except NULL:
        self.check_made()
        if not 0 <= index < self.plan.setup.count:
            raise IndexError(f"the decision has {self.plan.setup.count} rules")
        return self.charges + index

    cdef uint64_t remaining_of(self, int i) noexcept:
        cdef Charge *charge = self.charges + i
        cdef const Quota *q = &self.plan.setup.quotas[i]
        if charge.state == SKIPPED:
            return q.units
        return remaining_word(q, charge.key, charge.word, charge.past, self.now) if q.kind < BLOCKS else charge.remaining

    cdef uint64_t reset_of(self, int i) noexcept:
        cdef Charge *charge = self.charges + i
        cdef const Quota *q = &self.plan.setup.quotas[i]
        if charge.state == SKIPPED:
            return 0
        return reset_word(q, charge.key, charge.word, charge.past, self.now) if q.kind < BLOCKS else charge.reset

    def state(self, int index, /):
        return self.at(index).state

    def remaining(self, int index, /):
        self.at(index)
        return self.remaining_of(index)

    def retry_after_ns(self, int index, /):
        cdef Charge *charge = self.at(index)
        return charge.retry if charge.state >= REFUSED else 0

    def hold_off(self, int index, int64_t wait_ns, /):
        cdef Charge *charge = self.at(index)
        if charge.state == REFUSED and 0 <= charge.retry < wait_ns:
            charge.retry = wait_ns
            self.conclude()

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
        if self.plan.setup.has_slots:
            for i in range(self.plan.setup.count):
                if self.plan.setup.quotas[i].kind == SLOTS and self.charges[i].charged:
                    return True
        return False

    @property
    def share_quotas(self):
        cdef int i
        self.check_made()
        if not is_by_share(self):
            return None
        return tuple([self.plan.setup.quotas[i].units for i in range(self.plan.setup.count)])

    def ratelimit_field(self, labels, /):
        return self.field(labels if type(labels) is tuple else tuple(labels))

    cdef bytes field(self, tuple labels):
        """Return the RateLimit field value; written by hand, since formatting costs more than deciding."""
        cdef char buffer[FIELD_BYTES]
        cdef Py_ssize_t size = 0, label_size
        cdef int i
        cdef bytes label
        self.check_made()
        if len(labels) != self.plan.setup.count:
            raise ValueError("one label a rule")
        for i in range(self.plan.setup.count):
            if self.charges[i].state == SKIPPED:
                continue
            label = labels[i]
            label_size = PyBytes_GET_SIZE(label)
            if label_size == 0:
                continue
            if size + label_size + 64 > FIELD_BYTES:
                raise ValueError(f"labels are at most {FIELD_BYTES} bytes in all")
            if size:
                memcpy(buffer + size, b", ", 2)
                size += 2
            memcpy(buffer + size, PyBytes_AS_STRING(label), label_size)
            size += label_size
            size += write_remaining(buffer + size, self.remaining_of(i))
            if self.plan.setup.quotas[i].kind != SLOTS and self.plan.setup.quotas[i].kind != LIFETIME:
                # When a slot is free again follows from no clock, and of a lifetime nothing comes back.
                size += write_reset(buffer + size, (self.reset_of(i) + SECOND - 1) // SECOND)
        return PyBytes_FromStringAndSize(buffer, size)

    def settle_rule(self, int index, actual, now_ns, /):
        cdef Charge *charge = self.at(index)
        cdef uint64_t amount = checked_cost(actual)
        cdef uint64_t now, before
        if not self.plan.table.open:
            raise ValueError("the table is closed")
        if not self.allowed or charge.state != ALLOWED:
            return 0
        if not charge.charged and self.plan.setup.quotas[index].kind >= HOLDINGS:
            return 0  # a slot or a member that was not taken cannot be corrected
        if self.ledger is not None:
            return self.correct_elsewhere(index, charge, amount)
        now = relative(self.plan.table, now_ns)
        before = forgiven(charge, charge.cost)
        moved = correct(&self.plan.setup, index, charge, amount, now)
        if self.plan.setup.quotas[index].kind < HOLDINGS and forgiven(charge, charge.cost) > before:
            self.plan.forgive(index, forgiven(charge, charge.cost) - before)
        if moved:
            self.note_moved(index, charge, moved)
            if self.witness is not None:
                self.witness(index, moved)
        return moved

    cdef object correct_elsewhere(self, int index, Charge *charge, uint64_t amount):
        cdef int64_t delta = <int64_t>amount - <int64_t>charge.cost
        if delta == 0 or amount and self.plan.setup.quotas[index].kind >= HOLDINGS:
            return 0
        charge.cost = charge.aim = amount
        charge.charged = amount > 0
        self.note_moved(index, charge, delta)
        self.ledger.correct(self, index, delta)
        return delta

    cdef void note_moved(self, int index, Charge *charge, int64_t moved) noexcept:
        """Note what a settlement changed of what a caller took; noexcept: it reads and writes memory alone."""
        cdef Plan plan = self.plan
        if plan.setup.quotas[index].kind < HOLDINGS and plan.table.names_callers:
            note_corrected(
                &plan.table.arena, charge.who, plan.setup.counters[index], moved,
                plan.setup.quotas[index].units, self.now,
            )

    def undo(self, now_ns, /):
        cdef int i
        self.check_made()
        for i in range(self.plan.setup.count):
            self.settle_rule(i, 0, now_ns)

    def take_back(self):
        cdef int i
        self.check_made()
        if self.ledger is None:
            raise ValueError("what this host's table decided is charged whole or not at all")
        for i in range(self.plan.setup.count):
            if self.charges[i].charged:
                self.charges[i].aim = 0
                self.ledger.correct(self, i, -<int64_t>self.charges[i].cost)
                self.charges[i].charged = False

    def release(self, now_ns, /):
        cdef int i
        cdef uint64_t now
        self.check_made()
        if not self.plan.setup.has_slots or not self.plan.table.open:
            return
        now = relative(self.plan.table, now_ns)
        for i in range(self.plan.setup.count):
            if self.plan.setup.quotas[i].kind == SLOTS and self.charges[i].charged:
                if self.ledger is not None:
                    self.ledger.correct(self, i, -<int64_t>self.charges[i].cost)
                else:
                    correct(&self.plan.setup, i, self.charges + i, 0, now)
                self.charges[i].charged = False

    def __reduce__(self):
        raise TypeError("an Outcome refers to memory of this host; keep its numbers instead")
