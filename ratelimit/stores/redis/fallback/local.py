"""Enforcement while the server is away: each host lets its share through.

Theory of operation. A share of a limit is a limit of its own, with quota and burst scaled down and rounded
up to whole units. Its counters lie in the host's table, and all workers of the host decide by them. These
counters outlive an absence of the server: a client that makes it come and go gets no new share each time.

Beside each of them lies another one, of the units that the server has not been told of. When a worker
reaches the server again, it takes out of it, in one step, what is in use, and charges the server with that.
So of several workers that come back one hands over each unit, whichever of them it was used at. A worker
that ends without a word leaves what only it knew of: its seat says how many counters, and they count as
forgotten.

Bound over any interval, however often the server comes and goes. A host admits here at most its share of what
the limit does, and less than a unit more a key. The server admits at most what the limit does. What was used
here counts there from the hand-over on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ratelimit.algorithms import IN_WORDS, LONGEST_REFILL_TICKS, OF_UNITS, REFILLED, interval_ticks
from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.decision.engine import MAX_COST, Outcome, Plan
from ratelimit.core.decision.use import add_use, take_use
from ratelimit.core.memory.host import owe
from ratelimit.stores.redis.fallback.fair_share import MILLIONTHS, part_of
from ratelimit.stores.redis.transport.errors import NothingCharged

if TYPE_CHECKING:
    from ratelimit.core.memory.hashing import Hasher
    from ratelimit.stores.redis.protocols import ServerLink, Standing, Worker

MOST_REMEMBERED = 50_000
"""Counters of which the use is handed over; what further ones used is not, and counted as forgotten."""
_HAND_OVER = 256
"""Counters in one go: a call's worth."""
_ROUNDS = 4
_ALLOWED, _REFUSED = 1, 2


class Used:
    """A counter that was charged here since the server went.

    Args:
        owed: counts what the server was not told of, by the share in force when it was charged.
    """

    __slots__ = ("index", "owed", "plan", "row")

    def __init__(self, plan: Standing, index: int, row: list[int], owed: Plan) -> None:
        self.plan = plan
        self.index = index
        self.row = row
        self.owed = owed


class Share:
    """A plan's rules as this host enforces them, and as it counts what the server was not told of.

    Args:
        millionths: the share.
        plan: enforces it.
        owed: counts what the server was not told of.
        missed: counts what the share refused and the whole limits had room for.
    """

    __slots__ = ("millionths", "missed", "owed", "plan")

    def __init__(self, millionths: int, plan: Plan, owed: Plan, missed: Plan) -> None:
        self.millionths = millionths
        self.plan = plan
        self.owed = owed
        self.missed = missed


def plan_of_share(core: Plan, stances: Sequence[str], millionths: int, hasher: Hasher, width: int) -> Plan:
    """Return a plan of the same rules as a host enforces them that has a share of them.

    Args:
        core: the plan, in the host's table.
        stances: what each rule does meanwhile; those that are open are left out.
        millionths: the share.
        hasher: of the host's table.
        width: where identities have -1, behind those of a request.
    """
    salt = hasher.tuple(b"standby")
    open_ones = [index for index, stance in enumerate(stances) if stance == "open"]
    return core.like([rule.scaled(millionths, salt) for rule in core.rules], open_ones, width)


class Absence:
    """One absence of the server: what was used in it, and of which counters that has changed."""

    __slots__ = ("changed", "is_over", "used")

    def __init__(self) -> None:
        self.used: dict[tuple[Plan, int, int], Used] = {}
        self.changed: set[Used] = set()
        self.is_over = False


class Witness:
    """Receives the settlement of a request that was decided here, then or later."""

    __slots__ = ("_absence", "_charged", "_local_fallback")

    def __init__(self, local_fallback: LocalFallback, absence: Absence, charged: dict[int, Used]) -> None:
        self._local_fallback = local_fallback
        self._absence = absence
        self._charged = charged

    def __call__(self, index: int, moved: int) -> None:
        known = self._charged.get(index)
        if known is None:
            return
        if not self._absence.is_over:
            self._local_fallback.owe(known, moved)
        elif moved > 0:
            self._local_fallback.charge_later(known, moved)


class LocalFallback:
    """The host's share of every limit as one worker enforces it, for one absence after another.

    Args:
        store: its rules, and its table.
    """

    def __init__(self, store: Worker) -> None:
        self._store = store
        self._shares: dict[Standing, Share] = {}
        self._absence = Absence()

    def decide(
        self,
        plan: Standing,
        identities: Sequence[int],
        now_ns: int,
        costs: Sequence[int] | None,
        *,
        commit: bool,
    ) -> Outcome:
        """Decide from this host's share. Rules that are open meanwhile are left out."""
        local = self._share(plan, len(identities)).plan
        row = [*identities, -1]
        if not commit:
            return local.peek(row, now_ns, costs)
        outcome = local.decide(row, now_ns, costs)
        self._store.tally.stood_in(allowed=outcome.allowed)
        if outcome.allowed:
            self._remember(plan, outcome, row)
        else:
            self._look_at_whole(plan, outcome, row, costs)
        return outcome

    def _look_at_whole(
        self, plan: Standing, outcome: Outcome, row: list[int], costs: Sequence[int] | None
    ) -> None:
        """Count a request that was refused if the whole limits had room for it, as far as this host knows.

        What the share admitted and what was refused and counted here are in use of the whole limit. Each
        drains as a part of it does, so together they are at least what the whole limit would have in use.
        Not known are what the server counted before it went, and what other hosts let through.
        """
        share, now_ns = self._share(plan, len(row) - 1), self._store.clock.now_ns()
        if share.millionths >= MILLIONTHS:
            return
        binding = [at for at in range(len(outcome)) if outcome.state(at) in (_ALLOWED, _REFUSED)]
        missed = share.missed.peek(row, now_ns, costs)
        for at in binding:
            whole, part = plan.core.rules[at], share.plan.rules[at]
            used = _in_use(part, outcome, at) + _in_use(share.missed.rules[at], missed, at)
            if outcome.cost(at) + used > whole.burst:
                return
        for at in binding:
            if at in plan.counting and outcome.cost(at):
                add_use(share.missed, at, row, outcome.cost(at), now_ns)
        self._store.tally.refused_by_share(
            [
                (_caller(plan.core, at, row), plan.core.rules[at].name)
                for at in binding
                if outcome.state(at) == _REFUSED
            ],
            now_ns,
        )

    @property
    def is_used(self) -> bool:
        """True if there is something to hand over."""
        return bool(self._absence.changed)

    @property
    def waiting(self) -> int:
        """The number of counters whose use is to be handed over."""
        return len(self._absence.changed)

    def _share(self, plan: Standing, width: int) -> Share:
        millionths = round(self._store.share * MILLIONTHS)
        known = self._shares.get(plan)
        if known is None or known.millionths != millionths:
            tuple_of = self._store.hasher.tuple
            # A bucket's word means other units with another share.
            salt = tuple_of(b"standby-owed", millionths.to_bytes(8, "big"))
            apart = tuple_of(b"standby-missed", millionths.to_bytes(8, "big"))
            missed = [_missed(rule, millionths, apart) for rule in plan.core.rules]
            owed = [_owed(rule).scaled(millionths, salt) for rule in plan.core.rules]
            open_ones = [index for index, stance in enumerate(plan.stances) if stance == "open"]
            known = self._shares[plan] = Share(
                millionths,
                plan_of_share(plan.core, plan.stances, millionths, self._store.hasher, width),
                plan.core.like(owed, open_ones, width),
                plan.core.like(missed, open_ones, width),
            )
        return known

    def _remember(self, plan: Standing, outcome: Outcome, row: list[int]) -> None:
        charged = {}
        for index in plan.counting:
            if outcome.state(index) != _ALLOWED:
                continue
            known = self._known(plan, index, outcome.key(index), row)
            if known is not None:
                charged[index] = known
                self.owe(known, outcome.cost(index))
        outcome.witness = Witness(self, self._absence, charged)

    def _known(self, plan: Standing, index: int, key: int, row: list[int]) -> Used | None:
        """Return what is known of a counter; None if that is too much to know."""
        used = self._absence.used
        owed = self._share(plan, len(row) - 1).owed
        known = used.get((owed, index, key))
        if known is None:
            if len(used) >= MOST_REMEMBERED:
                self._store.tally.forgot(1)
                return None
            known = used[owed, index, key] = Used(plan, index, row, owed)
        return known

    def owe(self, known: Used, moved: int) -> None:
        """Note that a counter was charged so many units more here, or less."""
        now_ns = self._store.clock.now_ns()
        if moved > 0:
            add_use(known.owed, known.index, known.row, min(moved, MAX_COST), now_ns)
        elif moved < 0:
            take_use(known.owed, known.index, known.row, min(-moved, MAX_COST), now_ns)
        self._absence.changed.add(known)
        owe(self._store.table, len(self._absence.changed))

    def charge_later(self, known: Used, moved: int) -> None:
        """Charge what a request turned out to cost after what it was admitted with was handed over.

        What it cost less stays charged: how much of that has drained is not known any more.
        """
        batch_client = self._store.any_client
        if batch_client is None:
            self._store.tally.forgot(1)
        elif batch_client.breaker.is_open:
            again = self._known(
                known.plan, known.index, known.plan.core.key(known.index, known.row), known.row
            )
            if again is not None:
                self.owe(again, moved)
        else:
            batch_client.soon(
                lambda batch_client: self._charge(batch_client, known, moved).add_done_callback(
                    self._count_lost
                )
            )

    async def hand_over(self, batch_client: ServerLink) -> None:
        """Charge the server with what is in use of the shares.

        Decisions go on meanwhile, so it is done over until nothing is left. What is left after some
        rounds is sent ahead of the first question to the server.

        Raises:
            StoreError: the server is gone again; what was not handed over is kept.
        """
        absence = self._absence
        for _ in range(_ROUNDS):
            waiting = list(absence.changed)
            if not waiting:
                break
            for start in range(0, len(waiting), _HAND_OVER):
                await self._tell(batch_client, absence, waiting[start : start + _HAND_OVER])
        for each in absence.changed:
            amount = self._take(each)
            if amount:
                self._charge(batch_client, each, amount).add_done_callback(self._count_lost)
        absence.is_over = True
        self._absence = Absence()
        self._shares.clear()
        owe(self._store.table, 0)
        batch_client.start(_forget(absence))

    async def _tell(self, batch_client: ServerLink, absence: Absence, part: list[Used]) -> None:
        """Charge the server with some counters' use, each unit once."""
        telling = []
        for each in part:
            absence.changed.discard(each)
            amount = self._take(each)
            if amount:
                telling.append((each, amount, self._charge(batch_client, each, amount)))
        owe(self._store.table, len(absence.changed))
        answers = await asyncio.gather(*(charged for _, _, charged in telling), return_exceptions=True)
        fault: BaseException | None = None
        for (each, amount, _), answer in zip(telling, answers, strict=True):
            if not isinstance(answer, BaseException):
                salt = each.plan.core.rules[each.index].salt
                self._store.tally.charged_back(amount, self._store.units.get(salt, "requests"))
                continue
            fault = answer
            if isinstance(answer, NothingCharged):
                self.owe(each, amount)
            else:  # it may have been charged: once more could be twice
                self._store.tally.forgot(1)
        if fault is not None:
            raise fault

    def _take(self, known: Used) -> int:
        """Return what is in use of a counter that no worker of this host has told the server, once."""
        return take_use(known.owed, known.index, known.row, MAX_COST, self._store.clock.now_ns())

    def _charge(self, batch_client: ServerLink, known: Used, amount: int) -> asyncio.Future[list[int]]:
        plan, index = known.plan, known.index
        return batch_client.carry(
            plan, index, plan.core.key(index, known.row), amount, self._store.clock.now_ns()
        )

    def _count_lost(self, charged: asyncio.Future[list[int]]) -> None:
        if charged.cancelled() or charged.exception() is not None:
            self._store.tally.forgot(1)


def _owed(rule: Rule) -> Rule:
    """Return a rule that counts what a rule counts, in a word."""
    if rule.algorithm in IN_WORDS or rule.algorithm not in OF_UNITS:
        return rule
    # In a log the units of other workers cannot be told from one's own, to be taken out.
    return Rule(rule.name, "sliding-window", quota=rule.quota, period_ns=rule.period_ns, salt=rule.salt)


def _missed(rule: Rule, millionths: int, salt: int) -> Rule:
    """Return a rule that counts what a share refused: it holds all, and drains as what the share lacks."""
    own = _owed(rule)
    if rule.algorithm in REFILLED:
        rest = rule.quota - part_of(rule.quota, millionths) or rule.quota
        # A bucket that refills slowly holds less than one that does fast.
        most = LONGEST_REFILL_TICKS // interval_ticks(rule.period_ns, rest)
        own = Rule(
            rule.name,
            rule.algorithm,
            quota=rest,
            burst=min(rule.burst, most),
            period_ns=rule.period_ns,
            salt=rule.salt,
            debt=0,
        )
    return own.scaled(MILLIONTHS, salt)


def _in_use(rule: Rule, outcome: Outcome, at: int) -> int:
    """Return the units of a rule that are in use, with those beyond its burst where time says them."""
    used = max(0, rule.burst - outcome.remaining(at))
    if rule.algorithm in REFILLED:
        used = max(used, outcome.reset_after_ns(at) * rule.quota // rule.period_ns)
    return used


def _caller(core: Plan, at: int, row: Sequence[int]) -> int:
    """Return what a rule counts a caller by: its one identity, or the key of several."""
    key = core.key(at, row)
    try:
        return core.identity_of(at, key)
    except ValueError:
        return key


async def _forget(absence: Absence) -> None:
    """Let go of what was used, a little at a time: so many objects at once would stop the event loop."""
    absence.changed.clear()
    while absence.used:
        for _ in range(min(_HAND_OVER, len(absence.used))):
            absence.used.popitem()
        await asyncio.sleep(0)
