"""The compiled decider: the stages of `deciding/decider.py` over an array of hashes. See the stub for the contract.

One object for each bound policy. Every door asks it first: the middleware's gate, `Limiter.decide`, the services that
proxies ask. It returns None for what takes more (a resolver, a request that has to wait), and then nothing was
charged or counted.
"""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.algorithms.setup cimport ABSENT_HASH, REFUSED as REFUSED_CHARGE, SHADOWED
from ratelimit.core.clusters.recogniser cimport Recogniser
from ratelimit.core.clusters.records cimport CERTAIN, LIKELY, NO_VERDICT
from ratelimit.core.decision.engine cimport Outcome, Plan, check_ready, count_verdicts
from ratelimit.core.decision.refused cimport name_refused
from ratelimit.core.decision.schedule cimport Pace
from ratelimit.core.memory.number cimport NEGATIVE, WHOLE, read_number
from ratelimit.core.memory.table cimport Table, bump
from ratelimit.core.request.identities cimport ON_ALLOW_LIST, ON_DENY_LIST
from ratelimit.core.request.scanner cimport MOST_POSITIONS, listed
from ratelimit.deciding.guard cimport Guard
from ratelimit.deciding.matched cimport Matched

from ratelimit.deciding.charge import DecidedRow, Charge, InFlight
from ratelimit.decision import Reason
from ratelimit.errors import StoreError

cdef enum:
    MOST_PARTS = 4096           # as many plans as a bound policy keeps
    MOST_TIER_IDENTITIES = 4
    REFUSED_IDENTITY = 2        # -2, see identity/fact.py; tests/asgi/test_gate.py holds them equal

REFUSED = -REFUSED_IDENTITY
ROW, DOOR, ROUTE, ROUTE_FIRST = BY_ROW, BY_DOOR, BY_ROUTE, BY_ROUTE_FIRST
DECIDED = (None, Reason.LIMITS, Reason.UNLIMITED, Reason.ALLOW_LIST, Reason.DENY_LIST, Reason.IDENTITY)


@cython.final
@cython.auto_pickle(False)
cdef class PlanParts:
    """A route plan's fields, copied to C attributes for speed."""

    def __init__(self, plan, int positions):
        cdef Plan core
        cdef int at
        self.plan = plan
        self.costs = plan.costs
        self.labels = plan.labels
        self.policy_pair = plan.policy_pair
        self.conceals = plan.conceals
        self.counted_at = plan.counted_at
        self.holds_slots = plan.holds_slots
        self.exposes = bool(plan.exposed)
        self.reserves = bool(plan.estimated.positions) or bool(plan.charging)
        self.metered = plan.metered
        self.stages = plan.stages
        self.tells_shadows = any(stage.counts_shadows for stage in plan.stages)
        for at, rule in enumerate(plan.rules):
            self.unit_at[at] = rule.unit_index
            self.highest_unit = max(self.highest_unit, self.unit_at[at])
        for stage in plan.stages:
            self.looks_first = self.looks_first or not stage.is_compiled
            if stage.picker is not None and self.picker is None:  # the plan that it picks may have another one
                self.picker = stage.picker
            if stage.instead is not None:
                self.other = stage.instead.plan
                for position in stage.instead.of:
                    self.yields |= <uint64_t>1 << position
        self.notes = tuple([stage.notes for stage in plan.stages if stage.notes is not None])
        for note in self.notes:
            if not isinstance(note, Picker):
                raise TypeError("notes are of ratelimit.deciding.picker")
        for position in plan.required:
            self.required |= <uint64_t>1 << position
        if plan.here is not None:
            self.here = plan.here
        self.leased = plan.leased
        self.away = getattr(plan.away, "remote", None)
        if self.away is not None and not self.looks_first and self.other is None and self.metered is None:
            self.remote = self.away.rules
            if self.remote.plan.highest < positions:
                self.remote.plan.read_costs(self.costs, self.amounts)
            else:
                self.remote = None
        core = plan.accelerated if self.leased is None else self.leased.rules.plan
        if core is not None and core.highest < positions:
            self.core = core
            core.read_costs(self.costs, self.amounts)
            core.read_costs(plan.early_costs, self.least)


@cython.final
@cython.auto_pickle(False)
cdef class TierParts:
    """The plans that a customer's plan picks from, by the identities that name it."""

    def __init__(self, pick):
        cdef int at, size = 1
        self.pick = pick
        self.count = len(pick.known)
        self.known = []
        for at, (position, known) in enumerate(pick.known.items()):
            self.at[at] = position
            self.known.append({value: number for number, value in enumerate(known, 1)})
            size *= len(known) + 1
        self.parts = [None] * size


@cython.final
@cython.auto_pickle(False)
@cython.freelist(16)
cdef class CompiledDecision:
    cdef object charge(self):
        if self.made is None:
            self.made = Charge(self.plan, self.outcome, self.clock, self.asked, None, self.flight)
        return self.made

    @property
    def why(self):
        return DECIDED[self.reason]

    @property
    def asked(self):
        return DecidedRow(self.watch if self.row else None, self.row, self.now_ns)

    @property
    def binding(self):
        return self.charge().binding

    def verdicts(self):
        return self.charge().verdicts()

    def settle_units(self, units):
        self.charge().settle_units(units)

    def release(self, status=None, *, produced=False):
        self.charge().release(status, produced=produced)

    def __reduce__(self):
        raise TypeError("a charge is bound to memory of this host and is not pickled")


@cython.final
@cython.auto_pickle(False)
@cython.freelist(16)
cdef class Asking:
    def ask(self, int base, dict keys not None, list items not None, /):
        cdef PlanParts part
        self.check_made()
        part = self.decided.part
        check_ready(part.remote.plan)
        self.outcome = part.remote.asked(self.ids, part.amounts, True, base, keys, items, part.away)
        return self.outcome

    cdef int check_made(self) except -1:
        if self.decided is None:
            raise ValueError("a gate asks, and no one else")
        return 0

    @property
    def plan(self):
        self.check_made()
        return self.decided.plan

    def row(self):
        self.check_made()
        return listed(self.ids, 0, self.size)

    def give_up(self):
        reply = self.reply
        if self.outcome is None or not reply.done() or reply.cancelled() or reply.exception() is not None:
            return
        if self.outcome.allowed:
            self.outcome.undo(0)  # the answer came, and its task went in the same moment

    def __reduce__(self):
        raise TypeError("a question under way is not pickled")


@cython.final
@cython.auto_pickle(False)
cdef class CompiledDecider:
    def __cinit__(
        self, *, extractor, has_lists, denials, Table table not None, cells, Recogniser watch=None, int payer_at=-1, guards=(),
        Pace pace not None, keep_up, clock, context_of,
    ):
        cdef int reason
        cdef bint allowed
        self.reader = extractor.reader
        self.size = extractor.listed_at + 1
        if self.size > MOST_POSITIONS:
            raise ValueError(f"there are at most {MOST_POSITIONS} identities")
        if watch is not None and watch.highest >= self.size:
            raise ValueError("the correlation looks at identities the policy does not have")
        self.extract, self.context_of = extractor.extract, context_of
        self.has_lists, self.denials = has_lists, denials
        self.listed_at, self.origin_at = extractor.listed_at, extractor.origin_at
        self.table = table
        for reason in range(1, REASONS):
            for allowed in range(2):
                if (allowed, DECIDED[reason]) in cells:
                    self.cells[reason][allowed][0], self.cells[reason][allowed][1] = cells[allowed, DECIDED[reason]]
        self.watch = watch
        if not -1 <= payer_at < self.size:
            raise IndexError(f"there are {self.size} positions")
        self.payer_at = payer_at
        self.guards = tuple(guards)
        for guard in self.guards:
            if not isinstance(guard, Guard):
                raise TypeError("guards are of ratelimit.deciding.guard")
        self.pace, self.keep_up, self.clock = pace, keep_up, clock
        self.parts, self.tiers = {}, {}

    cdef bint read(
        self, object headers, object peer, object state, Matched matched, uint64_t *ids, uint64_t *refused
    ) except -1:
        """Fill an array with a request's identities; False where the application has to be asked for one."""
        if self.reader.read(headers, peer, state, matched.params, True, ids, refused):
            return True
        if matched.resolvers:
            return False
        self.read_row(self.extract(headers, peer, self.context_of(matched.params, state)), ids, refused)
        return True

    cdef int read_row(self, object row, uint64_t *ids, uint64_t *refused) except -1:
        """Fill an array with identities as Python lists them."""
        cdef list identities = row
        cdef uint64_t number
        cdef int at, kind
        if PyList_GET_SIZE(identities) != self.size:
            raise ValueError(f"an identity list has {self.size} positions")
        refused[0] = 0
        for at in range(self.size):
            kind = read_number(<object>PyList_GET_ITEM(identities, at), &number)
            ids[at] = number if kind == WHOLE else ABSENT_HASH
            if kind == NEGATIVE and number == REFUSED_IDENTITY:
                refused[0] |= <uint64_t>1 << at
        return 0

    cdef CompiledDecision decide(
        self, Matched matched, uint64_t *ids, uint64_t refused, object now_ns, object costs, int asker,
        const uint64_t *found=NULL, const uint64_t *by_unit=NULL, int units=0,
    ):
        """Decide, charge and count; None where Python has to, and then nothing was charged or counted.

        Args:
            matched: what applies.
            ids, refused: as `read` leaves them; the actor is put in.
            now_ns: when.
            costs: by rule, or some by unit; None for the plan's own.
            found: costs by rule that compiled code has found, in place of these.
            by_unit, units: costs by unit of the policy, all ones for what is not known, in place of these.
            asker: see the declaration.
        """
        cdef object plan, outcome
        cdef PlanParts part, other
        cdef CompiledDecision decided
        cdef uint64_t amounts[MOST_RULES]
        cdef uint64_t *taken
        cdef uint64_t principal = 0, payer = 0
        cdef uint8_t verdict = NO_VERDICT
        cdef bint allowed, is_unlimited = False
        cdef int at
        if self.has_lists and ids[self.listed_at]:
            if ids[self.listed_at] == ON_ALLOW_LIST:
                return self.without_limits(BY_ALLOW_LIST, ids, now_ns, asker)
            if ids[self.listed_at] == ON_DENY_LIST:
                self.denials.note(listed(ids, 0, self.listed_at), now_ns)
                return self.without_limits(BY_DENY_LIST, ids, now_ns, asker)
        if matched.plan is None and not matched.is_limited:
            return self.without_limits(UNLIMITED, ids, now_ns, asker)
        part = self.picked(matched, ids, now_ns, &is_unlimited)
        if part is None:
            return self.without_limits(UNLIMITED, ids, now_ns, asker) if is_unlimited else None
        plan = part.plan
        if part.here is None and part.leased is None and (part.remote is None or asker != FROM_GATE):
            return None
        actor = None
        if self.watch is not None:
            principal = self.watch.stamp(ids) if refused & part.required else self.watch.enter(ids, now_ns)
            if ids[self.watch.at - 2] != ABSENT_HASH:
                actor = ids[self.watch.at - 2]
                verdict = CERTAIN if ids[self.watch.at - 1] == ABSENT_HASH else LIKELY
        if refused & part.required:
            decided = self.without_limits(BY_IDENTITY, ids, now_ns, asker)
            decided.actor, decided.verdict = actor, verdict
            return decided
        if self.payer_at >= 0 and ids[self.payer_at] != ABSENT_HASH:
            payer = ids[self.payer_at]
        if PyTuple_GET_SIZE(self.guards) and self.is_stopped(ids, payer, verdict, now_ns):
            return None
        decided = CompiledDecision.__new__(CompiledDecision)
        decided.plan, decided.part, decided.reason = plan, part, BY_LIMITS
        decided.actor, decided.verdict = actor, verdict
        decided.principal, decided.payer = principal, payer
        if part.remote is not None:
            return decided  # without an outcome: the gate asks for it
        taken = <uint64_t *>found
        if taken == NULL:
            taken = part.amounts
        if part.core is not None and part.highest_unit < units:
            for at in range(part.core.setup.count):
                amounts[at] = part.amounts[at]
                if by_unit[part.unit_at[at]] != ABSENT_HASH:
                    amounts[at] = by_unit[part.unit_at[at]]
            taken = amounts
        if costs:
            costs = plan.costs_of(costs)
        try:
            if part.core is not None:
                check_ready(part.core)
                if costs:
                    part.core.read_costs(costs, amounts)
                    taken = amounts
                if part.leased is not None:
                    if part.looks_first or part.other is not None or asker != FROM_GATE:
                        return None  # leases count what is asked of them, and Python asks again
                    outcome = part.leased.taken(ids, taken, now_ns, True)
                    if outcome is None:
                        return None
                else:
                    if part.looks_first and not self.has_room(part, ids, taken, now_ns):
                        return None
                    if part.other is None:
                        outcome = part.core.decided(ids, taken, now_ns, True)
                    else:
                        outcome = part.core.tried(ids, taken, now_ns, True)
                        other = None if (<Outcome>outcome).allowed else self.other_way(part, <Outcome>outcome)
                        if other is None:
                            count_verdicts(<Outcome>outcome, ids)
                        else:
                            if other.core is None or other.looks_first:
                                return None
                            if refused & other.required:
                                decided = self.without_limits(BY_IDENTITY, ids, now_ns, asker)
                                decided.actor, decided.verdict = actor, verdict
                                return decided
                            part = other
                            decided.plan, decided.part, first = part.plan, part, <Outcome>outcome
                            outcome = part.core.decided(ids, taken, now_ns, True)
                            if not (<Outcome>outcome).allowed:
                                name_refused(first, ids)
                    if part.looks_first and not (<Outcome>outcome).allowed:
                        return None  # another worker was faster: the request waits, or is challenged
                allowed = (<Outcome>outcome).allowed
            else:
                if part.looks_first or part.other is not None or part.leased is not None and asker != FROM_GATE:
                    return None
                row = listed(ids, 0, self.size)
                own = costs if costs else part.costs
                outcome = (
                    part.here.decide(row, now_ns, own) if part.leased is None else part.leased.take(row, now_ns, own)
                )
                if outcome is None:
                    return None
                allowed = outcome.allowed
        except StoreError:
            return None  # asked again in Python, which knows each limit's stance
        decided.allowed = allowed
        self.conclude(decided, outcome, ids, now_ns, asker)
        if asker == BY_NAME:
            decided.clock, decided.now_ns = self.clock, now_ns
            decided.row = ()
            if allowed and part.exposes:
                decided.flight = InFlight(plan, outcome, self.clock)
            if self.watch is not None and not allowed:
                decided.watch = self.watch
                decided.row = listed(ids, 0, self.size)
        return decided

    cdef int conclude(self, CompiledDecision decided, object outcome, uint64_t *ids, object now_ns, int asker) except -1:
        """Take what limits said: it is counted, and who looks on is told."""
        cdef int at
        decided.outcome = outcome
        if self.watch is not None and asker != BY_ROUTE:
            self.watch.note(ids, not decided.allowed, now_ns, decided.part.counted_at)
        for at in range(PyTuple_GET_SIZE(self.guards)):
            (<Guard>PyTuple_GET_ITEM(self.guards, at)).decided(
                ids, decided.payer, decided.allowed, decided.plan, outcome, now_ns
            )
        for at in range(PyTuple_GET_SIZE(decided.part.notes)):
            if decided.allowed:
                (<Picker>PyTuple_GET_ITEM(decided.part.notes, at)).charged(ids, decided.plan, outcome, now_ns)
            else:
                (<Picker>PyTuple_GET_ITEM(decided.part.notes, at)).refused(ids, decided.plan, outcome, now_ns)
        return self.ended(BY_LIMITS, decided.allowed, now_ns, asker)

    def decide_request(
        self, Matched matched not None, headers, peer, state, now_ns, costs=None, int asker=BY_ROUTE, /
    ):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused = 0
        if not self.read(headers, peer, {} if state is None else state, matched, ids, &refused):
            return None
        return self.decide(matched, ids, refused, now_ns, costs, asker)

    def decide_row(self, Matched matched not None, list row not None, now_ns, costs=None, int asker=BY_ROW, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused
        cdef CompiledDecision decided
        self.read_row(row, ids, &refused)
        decided = self.decide(matched, ids, refused, now_ns, costs, asker)
        if decided is None:
            return None
        if self.watch is not None and matched.is_limited:
            self.write_actor(row, ids)
        return decided.allowed, DECIDED[decided.reason], decided.plan, decided.outcome

    cdef int write_actor(self, list row, uint64_t *ids) except -1:
        """Put the actor into identities as Python lists them."""
        cdef int at
        for at in range(self.watch.at - 2, self.watch.at + 1):
            row[at] = -1 if ids[at] == ABSENT_HASH else ids[at]
        return 0

    cdef CompiledDecision without_limits(self, int reason, uint64_t *ids, object now_ns, int asker):
        """Count and return what was decided without a limit."""
        cdef CompiledDecision decided = CompiledDecision.__new__(CompiledDecision)
        decided.reason, decided.allowed = reason, reason == UNLIMITED or reason == BY_ALLOW_LIST
        if self.payer_at >= 0 and ids[self.payer_at] != ABSENT_HASH:
            decided.payer = ids[self.payer_at]
        self.ended(reason, decided.allowed, now_ns, asker)
        return decided

    cdef int ended(self, int reason, bint allowed, object now_ns, int asker) except -1:
        """Count a decision, unless that is done with the request's end, and do what is due with it."""
        self.table.check_open()
        if not (asker >= BY_ROUTE or allowed and self.counts_late and (asker == FROM_GATE or asker == BY_DOOR)):
            bump(self.table, self.cells[reason][allowed][0], self.cells[reason][allowed][1], 1)
        if self.pace.due(now_ns):
            self.keep_up(now_ns)
        return 0

    cdef PlanParts picked(self, Matched matched, uint64_t *ids, object now_ns, bint *is_unlimited):
        """Return the limits that apply to identities; None where none does, or more than a decision can carry."""
        cdef PlanParts part = self.matched_part(matched, ids, is_unlimited)
        while part is not None and part.picker is not None:
            part = self.part_of(part.picker.picked(ids, now_ns))
        return part

    cdef PlanParts other_way(self, PlanParts part, Outcome outcome):
        """Return what a refused request is asked in place of the limits that refuse it; None: it is refused."""
        cdef int i
        for i in range(outcome.plan.setup.count):
            if outcome.charges[i].state == REFUSED_CHARGE and not part.yields >> i & 1:
                return None
        if part.instead is None:
            part.instead = self.part_of(part.other())
        return part.instead

    cdef PlanParts matched_part(self, Matched matched, uint64_t *ids, bint *is_unlimited):
        """Return the limits that apply by method, path and the customer's plan."""
        cdef PyObject *found
        cdef TierParts tiers
        cdef int at, number = 0
        if matched.plan is not None:
            if matched.part is None:
                matched.part = self.part_of(matched.plan)
            return <PlanParts>matched.part
        if matched.pick is None:
            return None
        found = PyDict_GetItemWithError(self.tiers, matched.pick)
        tiers = <TierParts>found if found != NULL else self.new_tiers(matched.pick)
        if tiers is None:
            return None
        for at in range(tiers.count):
            number *= len(tiers.known[at]) + 1
            if ids[tiers.at[at]] != ABSENT_HASH:
                found = PyDict_GetItemWithError(tiers.known[at], ids[tiers.at[at]])
                if found != NULL:
                    number += <object>found
        entry = <object>PyList_GET_ITEM(tiers.parts, number)
        if entry is None:
            plan = tiers.pick([-1 if ids[at] == ABSENT_HASH else ids[at] for at in range(self.size)])
            entry = tiers.parts[number] = self.part_of(plan) if plan is not None else False
        if entry is False:
            is_unlimited[0] = True
            return None
        return <PlanParts?>entry

    cdef bint passes_early(self, Matched matched, uint64_t *ids, uint64_t refused, object now_ns) except -1:
        """Return whether limits that can be asked early let a request go on; False where Python has to say.

        Nothing is charged or counted. The actor is put into the identities.
        """
        cdef bint is_unlimited = False
        cdef PlanParts part = self.picked(matched, ids, now_ns, &is_unlimited)
        cdef uint8_t verdict = NO_VERDICT
        cdef uint64_t payer = 0
        if part is None:
            return is_unlimited
        if part.core is None or part.leased is not None or part.looks_first:
            return False
        if self.watch is not None:
            self.watch.stamp(ids)
            if ids[self.watch.at - 2] != ABSENT_HASH:
                verdict = CERTAIN if ids[self.watch.at - 1] == ABSENT_HASH else LIKELY
        if self.payer_at >= 0 and ids[self.payer_at] != ABSENT_HASH:
            payer = ids[self.payer_at]
        if refused & part.required or PyTuple_GET_SIZE(self.guards) and self.is_stopped(ids, payer, verdict, now_ns):
            return False
        check_ready(part.core)
        return part.core.decided(ids, part.least, now_ns, False).allowed

    cdef bint is_stopped(self, const uint64_t *ids, uint64_t payer, uint8_t verdict, uint64_t now_ns) noexcept:
        """Return whether a stage leaves the request to Python; noexcept, as what guards do is."""
        cdef int at
        for at in range(PyTuple_GET_SIZE(self.guards)):
            if (<Guard>PyTuple_GET_ITEM(self.guards, at)).stops(ids, payer, verdict == CERTAIN, now_ns):
                return True
        return False

    cdef bint has_room(self, PlanParts part, uint64_t *ids, uint64_t *taken, object now_ns) except -1:
        """Return whether a request that may wait need not, and no limit in shadow would have it wait."""
        cdef Outcome seen
        cdef int i
        for stage in part.stages:
            if not stage.is_idle:
                return False
        seen = part.core.decided(ids, taken, now_ns, False)
        if part.tells_shadows:
            for i in range(seen.plan.setup.count):
                if seen.charges[i].state == SHADOWED:
                    return False
        return seen.allowed

    cdef PlanParts part_of(self, object plan):
        cdef PyObject *found = PyDict_GetItemWithError(self.parts, plan)
        return <PlanParts>found if found != NULL else self.new_part(plan)

    cdef PlanParts new_part(self, object plan):
        if len(self.parts) >= MOST_PARTS:
            self.parts.clear()
        part = self.parts[plan] = PlanParts(plan, self.size)
        return part

    cdef TierParts new_tiers(self, object pick):
        """Return what a plan picks from; None where there are too many ways to."""
        ways = 1
        for known in pick.known.values():
            ways *= len(known) + 1
        if len(self.tiers) >= MOST_PARTS:
            self.tiers.clear()
        tiers = None if len(pick.known) > MOST_TIER_IDENTITIES or ways > MOST_PARTS else TierParts(pick)
        self.tiers[pick] = tiers
        return tiers

    def __reduce__(self):
        raise TypeError("a decider is bound to memory of this host and is not pickled")
