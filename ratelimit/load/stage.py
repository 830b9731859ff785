"""The limits that follow the load as a feature of a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Protocol

from ratelimit.core.memory.table import Table
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.matched import ClassFacts, Matched
from ratelimit.deciding.part import Host, Part
from ratelimit.deciding.stage import Decided, Deciding, Feature, Pending, Rest, Stage
from ratelimit.deciding.visit import Visit
from ratelimit.decision import Reason
from ratelimit.load.compile import AdaptiveSpec, loads_of
from ratelimit.load.limit import LoadLimit
from ratelimit.load.memory import flight_path
from ratelimit.load.model.shedding import ShedPriority
from ratelimit.load.shed_priority import lottery_key
from ratelimit.load.target import settings_of
from ratelimit.load.values import LoadValues, numbered
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.stores.contract import Store
from ratelimit.stores.factory import open_flight
from ratelimit.waiting.compile import held_of
from ratelimit.waiting.loop_lines import Result
from ratelimit.waiting.metrics import count_hold


class LoadLimits(Feature):
    """The limits of one bound policy that follow the load, one for each back end.

    Args:
        bound: the policy.
        loads: returns one for each `[adaptive]`, in the order of the file; called with the first request.
        table: where shed requests are counted.
    """

    is_outer = True
    is_first = True

    def __init__(self, bound: BoundPolicy, loads: Callable[[], Sequence[LoadLimit]], table: Table) -> None:
        self._find = loads
        self._loads: Sequence[LoadLimit] = ()
        self.holds = held_of(bound.compiled) is not None
        self.stage = LoadStage(bound, self, table)
        specs, hashes = loads_of(bound.compiled), bound.extractor.value_hashes
        self._per = [spec.per for spec in specs]
        names = [spec.name for spec in bound.compiled.identities]
        self.classes = ClassFacts(
            [
                [
                    (at, frozenset(chain.from_iterable(hashes(names[at], value) for value in values)))
                    for at, values in one.when
                ]
                for one in spec.classes
            ]
            for spec in specs
        )
        """The classes of requests, by the identities that they name."""

    def load_of(self, matched: Matched, row: Sequence[int], now_ns: int) -> LoadLimit | None:
        """Return the limit that a row's request falls under; None for none."""
        if matched.group < 0:
            return None
        if not self._loads:
            self._loads = self._find()
        load, at = self._loads[matched.group], self._per[matched.group]
        return load if at < 0 or load.values is None else load.values.of(row[at], now_ns)


class ByValue:
    """A limit for each value of an identity, as the gate sees it: values are looked up in Python.

    Args:
        load: the limit.
    """

    shares: Sequence[tuple[float, float]] = ()
    """No class has room by its own."""

    def __init__(self, load: LoadLimit) -> None:
        self.flight, self.heaviest, self.instants = load.flight, load.heaviest, load.instants
        self.spec = load.spec


def gated(loads: Mapping[str, LoadLimit]) -> tuple[LoadLimit | ByValue, ...]:
    """Return limits as the gate asks them."""
    return tuple(load if load.spec.per < 0 else ByValue(load) for load in loads.values())


class LoadStage(Stage):
    """Lets a request go on when its back end has room; sheds it, or holds it until then.

    Args:
        bound: the policy.
        limits: its limits that follow the load.
        table: where shed requests are counted.
    """

    name = "load"
    is_compiled = True

    def __init__(self, bound: BoundPolicy, limits: LoadLimits, table: Table) -> None:
        self._bound = bound
        self._limits = limits
        self._table = table

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request if the back end has room for it."""
        load = None
        if pending.visit.enters and pending.charges:
            load = self._limits.load_of(pending.matched, pending.row, pending.now_ns)
        if load is None:
            return (yield from rest(pending))
        pending.visit.load = load
        if self._bound.recognition is not None:
            self._bound.recognition.fill(pending.row)
        pending.visit.units = load.units_of(pending.visit.request)
        now_ns, lacking = pending.now_ns, self._lacking(load, pending)
        if pending.can_wait:
            rank = self._limits.classes.of(pending.matched, pending.row)
            priority = load.to_hold(rank, self._bound, pending.row, lacking, now_ns, pending.visit.units)
            if priority is not None:
                return (yield from self._in_turn(load, priority, pending, rest))
        if lacking is not None:
            wait_ns = load.turn_away(lacking, now_ns, self._table, pending.visit.units)
            if wait_ns is not None:
                return self._shed(pending, wait_ns)
        return (yield from rest(pending))

    def _in_turn(self, load: LoadLimit, priority: ShedPriority, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request when it is its turn; what its limits would refuse now is refused now."""
        visit, may_wait = pending.visit, self._bound.may_hold and pending.matched.may_wait
        looked = yield from rest(pending.peek())
        if not looked[0]:
            if may_wait and self._lacking(load, pending) is not None:
                # It would wait for its limits, and go on then whether the back end has room or not.
                wait_ns = load.turn_away(priority, pending.now_ns, self._table, visit.units)
                if wait_ns is not None:
                    return self._shed(pending, wait_ns)
            return (yield from rest(pending))
        held = yield from load.hold(self._bound, priority, pending)
        if not held.has_turn:
            if held.result == "closed":  # counted when that was done
                return self._shed(pending, load.retry_ns(priority, pending.now_ns), counts=False)
            if held.result == "left":
                return self._shed(pending, None, counts=False)
            wait_ns = load.turn_away(priority, pending.now_ns, self._table, visit.units)
            if wait_ns is not None:
                return self._shed(pending, wait_ns)
            # A reload put it in shadow meanwhile.
        visit.on_wait = lambda: held.give_back(load.now_ns())
        try:
            decided: Decided = yield from rest(pending)
        except BaseException:
            held.give_back(load.now_ns())
            raise
        finally:
            visit.on_wait = None
        if decided[0]:
            visit.ticket = held.ticket
        else:
            held.give_back(load.now_ns())
        return decided

    def _lacking(self, load: LoadLimit, pending: Pending) -> ShedPriority | None:
        rank = self._limits.classes.of(pending.matched, pending.row)
        return load.without_room(rank, pending.now_ns, self._bound, pending.row, pending.visit.units)

    def _shed(self, pending: Pending, wait_ns: int | None, *, counts: bool = True) -> Decided:
        pending.visit.retry_ns = wait_ns
        pending.is_counted = not counts
        return False, Reason.CAPACITY, None, None


class InFlightOf(Protocol):
    """What a door keeps of a request until it ends: it counts it in, and out when it is released."""

    def enter(
        self, load: LoadLimit, payer: int, now_ns: int, ticket: int = -1, rank: int = 0, units: int = 1, /
    ) -> None:
        """Count the request as in flight."""


def enter_load(
    exchange: InFlightOf, bound: BoundPolicy, matched: Matched, row: Sequence[int], visit: Visit
) -> None:
    """Count a request that goes on as in flight before its back end, if a limit follows the load there."""
    limits = bound.find(LoadLimits)
    if limits is None:
        return
    # One that an allow list lets through asked for no room.
    load: LoadLimit | None = visit.load or limits.load_of(matched, row, visit.now_ns)
    if load is not None:
        rank = limits.classes.of(matched, row)
        exchange.enter(load, bound.payer(row), visit.now_ns, visit.ticket, rank, visit.units)


class LoadPart(Part):
    """The limits of one limiter that follow the load, those of earlier policies among them.

    Args:
        host: the limiter.
    """

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._opened: list[tuple[Store, dict[str, LoadLimit]]] = []
        self._policy: Policy | None = None

    @property
    def _here(self) -> dict[str, LoadLimit]:
        for home, loads in self._opened:
            if home is self.host.home:
                return loads
        self._opened.append((self.host.home, {}))
        return self._opened[-1][1]

    def enter(self, policy: Policy) -> None:
        """Have the limits of a policy."""
        # One that this policy lacks stays: a reload may bring it back, and what is in flight is known then.
        here, held = self._here, held_of(policy.compiled)
        self._policy = policy
        for spec in loads_of(policy.compiled):
            load = here.get(spec.name)
            if load is None:
                load = here[spec.name] = self._new_load(policy, spec)
            else:
                load.adapt(spec)
            if spec.per >= 0 and load.values is None:
                load.values = self._new_values(load)
            for each in (load, *load.each_value):
                if held is not None:
                    each.queue.bound_by(held.per_principal, held.total)

    def features(self, bound: BoundPolicy) -> Iterator[LoadLimits]:
        """Yield the limits of a policy."""
        if self.host.is_enabled and loads_of(bound.compiled):
            yield LoadLimits(bound, lambda: tuple(self.of(bound.compiled).values()), self.host.table)

    def of(self, compiled: CompiledPolicy) -> Mapping[str, LoadLimit]:
        """Return those of a policy by name, in force or not any more; none while limits are off."""
        specs = loads_of(compiled) if self.host.is_enabled else ()
        return {spec.name: self._here[spec.name] for spec in specs}

    def every(self, compiled: CompiledPolicy, now_ns: int) -> Mapping[str, LoadLimit]:
        """Return those of a policy, and of values that this host's workers have: by name, and number."""
        found = {}
        for name, load in self.of(compiled).items():
            found[name] = load
            if load.values is not None and load.spec.per >= 0:
                values = load.values.every(now_ns)
                found |= {numbered(name, cell): each for cell, each in values.items()}
        return found

    @property
    def looks(self) -> Sequence[Callable[[], str | None]]:
        """What says that this worker lives, and renews what is known of requests in flight."""
        return [partial(self._look_at, load) for load in self._here.values()]

    def _look_at(self, load: LoadLimit) -> str | None:
        load.count_entered(self.host.table)
        return load.heartbeat()

    def refuse_waiting(self) -> None:
        """Refuse what is held, and count it here: soon there may be nothing to count in."""
        for _ in range(
            sum(each.queue.close() for load in self._here.values() for each in (load, *load.each_value))
        ):
            self._count("closed", 0)
            self.host.counters.decided(False, Reason.CAPACITY)

    def close(self) -> None:
        """Let go of what is known of requests in flight."""
        for _, loads in self._opened:
            for load in loads.values():
                load.leave()

    def _count(self, result: Result, held_ns: int) -> None:
        count_hold(self.host.counters, result, held_ns)

    def _new_values(self, load: LoadLimit) -> LoadValues[LoadLimit]:
        """Return the limits of an identity's values."""
        store = self.host.store

        def new(name: str, cell: int) -> LoadLimit:
            assert self._policy is not None
            made, held = self._new_load(self._policy, load.spec, name, cell), held_of(self._policy.compiled)
            if held is not None:
                made.queue.bound_by(held.per_principal, held.total)
            return made

        def forget(name: str) -> None:
            if store.place is not None:
                flight_path(store.place, store.hasher.key, name).unlink(missing_ok=True)

        return LoadValues(load, store, new, forget)

    def _new_load(
        self, policy: Policy, spec: AdaptiveSpec, name: str | None = None, cell: int = -1
    ) -> LoadLimit:
        settings, store = settings_of(spec), self.host.store
        shared = open_flight(policy, store, name or spec.name, settings.floor, settings.step_ns)
        return LoadLimit(spec, shared, self.host.clock, lottery_key(store.hasher.key), self._count, cell)


PART = LoadPart
