"""The limit that follows the load, as a limiter has it: what is in flight, and what goes first.

Theory of operation. Every worker of a host counts into one memory (`core.sharing.inflight`), and steps
one controller. A request asks for room before its limits are asked, so one that is shed has charged
nothing. It is counted in after they allowed it, so what they refuse is never in flight. The exchange
tells its first byte and its end, however it ends.

Most requests find room where the last of their class would: that is one compiled comparison, and
nothing more is looked at. The account matters only where the last of its class would have no room.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from ratelimit.clock import Clock
from ratelimit.core.memory.table import Table
from ratelimit.core.sharing.heaviest import Heaviest
from ratelimit.core.sharing.shares import Shares
from ratelimit.core.sharing.shed import ShedAccounts
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.instants import Instants
from ratelimit.deciding.stage import Effects, Pending
from ratelimit.load.called import Signs
from ratelimit.load.compile import AdaptiveSpec, class_names
from ratelimit.load.memory import SharedInFlight
from ratelimit.load.metrics import (
    WatchedLoad,
    entered_counter,
    kept_free,
    load_numbers,
    shed_column,
    shed_counter,
    value_counter,
)
from ratelimit.load.model.admission import Admission
from ratelimit.load.model.controller import Allowance
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.promises import Promises
from ratelimit.load.model.saturation import Report
from ratelimit.load.model.shedding import LAST_OF_A_CLASS, WORSE, ShedPriority
from ratelimit.load.model.weights import Weights
from ratelimit.load.queue import HeldRequest, LoadQueue
from ratelimit.load.shed_priority import shed_priority_of
from ratelimit.load.target import has_target, settings_of
from ratelimit.load.values import LoadValues
from ratelimit.waiting.compile import held_of
from ratelimit.waiting.loop_lines import Count

MOST_DIGITS = 15
"""A body that is said to be longer than so many digits is of no known length."""
Request = Mapping[str, Any]
"""A request as its door gives it to hooks."""


@dataclass(frozen=True, slots=True)
class LoadState:
    """The limit at this instant, for the whole host, and the requests that this worker shed.

    Args:
        allowance: what may be in flight, and what of it may wait for its first byte.
        in_flight: requests that are.
        unanswered: of these, those without a first byte.
        pressure: how late first bytes are; 1 is the target.
        target_ns: the target; 0 until one is learned, and nothing is enforced before.
        shed: requests that this worker turned away, or in shadow would have, by class.
        stale_reports: reports of the engine that no other followed in time.
        still_ns: for how long no first byte came while requests wait for one.
        waiting_bound: how many may wait now: fewer than `allowance` says, the longer the queue stands still.
            Of several classes that of the last.
        held: requests that wait in the gateway for room, and are not in flight.
        kept_free: share of the back end's places that the last of several classes leaves free.
    """

    allowance: Allowance
    in_flight: int
    unanswered: int
    pressure: float
    target_ns: int
    shed: dict[str, int]
    stale_reports: int
    still_ns: int = 0
    waiting_bound: int = 0
    held: int = 0
    kept_free: float = 0.0


class LoadLimit:
    """One limiter's part in the limit of its host.

    Args:
        spec: what the policy says.
        shared: what is in flight; closed with this.
        clock: says when.
        lottery_key: a secret of 64 bits that all workers know.
        count_held: told what became of requests that the back end had no room for.
        cell: of a value that has this limit of its own, see `LoadValues`; -1: it is that of all requests.
    """

    def __init__(
        self,
        spec: AdaptiveSpec,
        shared: SharedInFlight,
        clock: Clock,
        lottery_key: int,
        count_held: Count = lambda result, held_ns: None,
        cell: int = -1,
    ) -> None:
        self._cell = cell
        self.shared = shared
        self.flight = shared.flight
        self.heaviest = Heaviest(self.flight)
        self.shares_had = Shares(self.flight)
        self.accounts = ShedAccounts(self.flight)
        self._lottery_key = lottery_key
        # Workers that share a key must not draw alike.
        self._promises = Promises(Random().random)
        self.instants = Instants(clock)
        self.now_ns = clock.now_ns
        self._admission = Admission(FirstByte(settings_of(spec)), self.flight)
        self.step_now = self._admission.step_now
        self.step = self._admission.step
        self.values: LoadValues[LoadLimit] | None = None
        """Limits of an identity's values, if each has its own; this one is for requests without a value."""
        self.signs = Signs()
        """Requests in flight whose door tells their end by a call, and may forget to."""
        self.reserve = self._admission.reserve
        self._weights = Weights(())
        self.queue = LoadQueue(self.flight, self.now_ns, count_held, self._weights)
        """Requests of this worker that are held until the back end has room."""
        self.freed = self.queue.freed
        self._enter(spec)

    def adapt(self, spec: AdaptiveSpec) -> None:
        """Go by a changed policy; what was learned is kept."""
        if spec == self.spec:
            return
        settings = settings_of(spec)
        self.flight.adjust(settings.floor, settings.step_ns)
        self._admission.adapt(FirstByte(settings))
        self._enter(spec)
        for each in self.each_value:
            each.adapt(spec)

    @property
    def each_value(self) -> Sequence[LoadLimit]:
        """The limits of values that this worker has."""
        return () if self.values is None else self.values.here

    def _enter(self, spec: AdaptiveSpec) -> None:
        self.spec = spec
        self.names = class_names(spec)
        last = [LAST_OF_A_CLASS.of_class(rank, len(self.names)) for rank in range(len(self.names))]
        self.shares = [(priority.share(), priority.kept()) for priority in last]
        """By class: what its last request may fill of the queue, and leaves free of the places."""
        self._weights.adapt([one.weight for one in spec.classes])
        self.shed = [0] * len(self.names)
        self.holds = spec.holds
        """True if what the back end has no room for is held here; in shadow it is only counted."""

    def work_of(self, request: Request) -> int:
        """Return what a request is as work: the length of its body, 0 where it is not told."""
        length = request.get("CONTENT_LENGTH", b"")  # as WSGI has it
        for name, value in request.get("headers", ()):
            if name == b"content-length":
                length = value
                break
        return int(length) if len(length) <= MOST_DIGITS and length.isdigit() else 0

    def units_of(self, request: Any) -> int:
        """Return how many requests in the middle one is as much as; 1 where nothing is known of it."""
        if not self.spec.by_body or not isinstance(request, dict) or self.flight.closed:
            return 1
        work = self.work_of(request)
        units = self.flight.units_of(work)
        self.flight.learn(work)
        return units

    def without_room(
        self, rank: int, now_ns: int, bound: BoundPolicy, row: Sequence[int], units: int = 1
    ) -> ShedPriority | None:
        """Return what is known of a request of this class that has no room; None for one that may go on."""
        share, kept = self.shares[min(rank, len(self.shares) - 1)]  # a reload may have left fewer classes
        is_scarce = self.shares_had.are_scarce and self.shares_had.is_over(bound.payer(row), units)
        if not is_scarce and self.flight.has_room(now_ns, share, kept, rank, units):
            return None
        priority = self.shed_priority(rank, now_ns, bound, row, units)
        if self.flight.has_room(now_ns, priority.share(), priority.kept(), priority.rank, units):
            return None
        # What is held has what its class earned in its turn, so that it comes in order within its class.
        is_here = not (self.holds and self.is_enforced and self.queue.can_hold())
        if is_here and self._weights.is_due(rank, self.flight.entered):
            first = priority.of_class(0, priority.classes)
            if self.flight.has_room(now_ns, first.share(), first.kept(), first.rank, units):
                self._weights.take(rank)
                return None
        return priority

    def to_hold(
        self,
        rank: int,
        bound: BoundPolicy,
        row: Sequence[int],
        lacking: ShedPriority | None,
        now_ns: int,
        units: int = 1,
    ) -> ShedPriority | None:
        """Return what is known of a request that is to be held; None for one that goes on, or is shed.

        It lacks room, or others wait that it may not overtake. In shadow nothing is held.
        """
        if not self.holds or not self.queue.can_hold():
            return None
        if not self.is_enforced:
            if lacking is not None:
                self.queue.count("shadow", 0)
            return None
        if lacking is not None:
            return lacking
        if not self.queue.waiting:
            return None
        priority = self.shed_priority(rank, now_ns, bound, row, units)
        return priority if self.queue.has_before(priority, units) else None

    def hold(self, bound: BoundPolicy, priority: ShedPriority, pending: Pending) -> Effects[HeldRequest]:
        """Hold a request until the back end has room for it: see `LoadQueue.hold`."""
        # The controller has to hear that there is more to do.
        self._admission.turn_away(pending.now_ns, priority)
        return self.queue.hold(principal_of(bound, pending.row), priority, pending, by_work=self.spec.by_body)

    def turn_away(self, priority: ShedPriority, now_ns: int, table: Table, units: int = 1) -> int | None:
        """Count a request that found no room, or none in time; return how long it is told to wait.

        None in shadow.
        """
        self._admission.turn_away(now_ns, priority)
        rank = min(priority.rank, len(self.names) - 1)  # a reload may have left fewer classes
        self.shed[rank] += 1
        in_shadow = not self.is_enforced
        if not in_shadow:
            self.shares_had.shed(priority.account, units, priority.is_over)
        column = shed_column(priority.of, in_shadow=in_shadow)
        counter = table.counter(shed_counter(self.spec.name, self.names[rank]))
        table.count(counter, column)
        if self._cell >= 0:
            of_value, column = value_counter(self.spec.name, self._cell, in_shadow=in_shadow)
            table.count(table.counter(of_value), column)
        if priority.of == "others" and not in_shadow and not priority.is_over:
            # What actors lose, and accounts beyond their share, is no reason to keep more free.
            self.reserve.lost(priority.rank, now_ns)
        first = ShedPriority(priority.rank, priority.classes)
        self.accounts.note(
            priority.account,
            counter,
            now_ns,
            in_shadow,
            self.flight.has_room(now_ns, first.share(), first.kept(), first.rank),
            WORSE[priority.verdict],
            priority.factor,
            priority.lighter,
        )
        return None if in_shadow else self.retry_ns(priority, now_ns)

    def count_entered(self, table: Table) -> None:
        """Count the requests that went on since the last call, by class."""
        for rank, number in self.flight.take_entered():
            name = self.names[min(rank, len(self.names) - 1)]
            table.count(table.counter(entered_counter(self.spec.name, name)), 0, number)

    def retry_ns(self, priority: ShedPriority, now_ns: int) -> int:
        """Return the wait of a request that is shed, a random time about its turn: see `Promises`."""
        flight = self.flight
        # A limiter that closes sheds what it holds.
        entries = (flight.entered, 0, 0, 1.0) if flight.closed else flight.entries(now_ns)
        return self._promises.promise(now_ns, entries, priority.place)

    def shed_priority(
        self, rank: int, now_ns: int, bound: BoundPolicy, row: Sequence[int], units: int = 1
    ) -> ShedPriority:
        """Return what is known of a request that may have to go."""
        names, key = len(self.names), self._lottery_key
        return shed_priority_of(bound, row, rank, names, self.heaviest, self.shares_had, key, now_ns, units)

    @property
    def is_enforced(self) -> bool:
        """True if requests without room are held and shed: not in shadow, and once a target is known."""
        return not self.spec.shadow and has_target(self.spec, self.flight)

    def state(self) -> LoadState:
        """Return what the limit is now."""
        steering, now_ns = self._admission.steering, self.now_ns()
        in_flight, unanswered = self.flight.counts(now_ns)
        waiting_bound, _, still_ns = steering.queue_at(now_ns)
        return LoadState(
            self._admission.allowance(now_ns),
            in_flight,
            unanswered,
            steering.pressure,
            steering.target_ns,
            dict(zip(self.names, self.shed, strict=True)),
            steering.stale,
            still_ns,
            waiting_bound,
            self.flight.held(now_ns),
            kept_free(self.flight, len(self.names) - 1, max(0.0, self.shares[-1][1])),
        )

    def watched(self, group: str | None = None) -> WatchedLoad:
        """Return the limit of the whole host, as metrics tell it; `group`: its name as one value's limit."""
        spec, now_ns = self.spec, self.now_ns()
        numbers = load_numbers(
            self.flight,
            now_ns,
            floor=spec.floor,
            is_shadow=not self.is_enforced,
            last=len(self.names) - 1,
            kept=max(0.0, self.shares[-1][1]),
        )
        if group is None or group == spec.name:
            return WatchedLoad(spec.name, self.names, numbers)
        # By class, what is shed is counted for all values together.
        return WatchedLoad(group, (), numbers, (spec.name, self._cell))

    def report(self, *, running: int, waiting: int, memory_used: float = 0.0) -> None:
        """Take what the engine says of itself, as from a scrape of its metrics: a cap, never more.

        Raises:
            ValueError: a number is negative.
        """
        self._admission.report(Report(self.now_ns(), running, waiting, memory_used))

    def heartbeat(self) -> str | None:
        """Say that this worker lives, and let go of requests whose end was never told: see `memory`."""
        if not self.flight.closed and self.signs.expire(self.flight, self.now_ns()):
            self.freed(self.now_ns())
        damage = None if self.values is None else self.values.keep_up(self.now_ns())
        renewed = self.shared.heartbeat()
        if renewed is not None:
            self.step(self.now_ns())  # fresh memory knows of no limit, and would let the floor in alone
        return renewed or damage

    def leave(self) -> None:
        """Give the worker's lane up; requests that are still in flight are counted no more."""
        if self.values is not None:
            self.values.close()
            self.values = None
        self.shared.close()


def principal_of(bound: BoundPolicy, row: Sequence[int]) -> Hashable:
    """Return the principal that a row's request is of, where requests are held."""
    held = held_of(bound.compiled)
    return None if held is None else held.principal(row, None)
