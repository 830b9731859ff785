"""Stages: what a request passes on the way to its limits. The decider knows no more of a feature.

Theory of operation. A stage is to a decision what a middleware is to a request. It is given the request
(`Pending`) and `rest`, which decides it by the stages behind. It may answer by itself, put another plan in
place, ask `rest` again later, or act on what `rest` decided.

Stages are generators. They yield an effect where they need a store, the application or time: `Ask`, `Look`,
`Call`, `Wait`. A driver answers: `Decider.decide` at once, `Decider.adecide` once the answer is there. So
each stage has one form, and no stage knows an event loop.

A policy's stages are chained once, when it is bound: first those that all its requests pass, then those of
the plan that was picked, last the question to the limits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from ratelimit.deciding.compiled import DOOR, ROUTE, ROUTE_FIRST, ROW, CompiledDecider
from ratelimit.deciding.denials import Denials
from ratelimit.deciding.guard import Guard
from ratelimit.deciding.matched import Matched
from ratelimit.deciding.picker import Picker
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.variant import Variant
from ratelimit.deciding.visit import Visit
from ratelimit.decision import Reason
from ratelimit.errors import StoreError
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.contract import Outcome

Decided = tuple[bool, Reason, RoutePlan | None, Outcome | None]
"""Allowed, why, and what was charged if limits decided."""
Costs = Mapping[str, int] | tuple[int, ...]
"""What is taken on arrival: by unit where some are known, or by rule."""
T = TypeVar("T")


class Closed(Exception):
    """A request waited, and its limiter was closed: it has charged nothing, and is refused."""


class Recognition(Protocol):
    """Knows clusters, and is told what was decided. `core.sharing.observer.Watch` is one."""

    def fill(self, row: list[int], /) -> None:
        """Put the cluster into a row's four places, -1 wherever it has none."""
        ...

    def observe(self, row: Sequence[int], refused: bool, now_ns: int, counted_at: int = -1, /) -> bool:
        """Take what limits decided of a row, for the correlator; return whether it was taken."""
        ...


class Bound(Protocol):
    """The part of the policy in force that stages see."""

    @property
    def recognition(self) -> Recognition | None:
        """Knows actors, and is shown what was decided; None where nothing is correlated."""
        ...

    @property
    def decider(self) -> CompiledDecider | None:
        """Decides most requests in one compiled call."""
        ...

    @property
    def compiled(self) -> CompiledPolicy:
        """The policy, compiled."""
        ...

    @property
    def stages(self) -> Sequence[Stage]:
        """The stages that all requests pass, in this order."""
        ...

    @property
    def behind(self) -> Sequence[Stage]:
        """Those of them that requests pass once their limits are picked."""
        ...

    @property
    def chain(self) -> Rest:
        """Decides a request by these, and by the stages of its plan."""
        ...

    def payer(self, row: Sequence[int]) -> int:
        """Return the account that use of the back end is counted by, 0 for none."""
        ...


class Pending:
    """One request while it is decided.

    Args:
        bound, matched: the policy, and what of it applies.
        row: its identities by position; its actor is put in.
        now_ns: when.
        costs: what it takes, as far as that is known.
        charges: False for a peek.
        visit: the request as its door knows it.
        can_wait: whether the driver awaits, so that stages may yield `Wait`.
    """

    __slots__ = (
        "asker", "bound", "can_wait", "charges", "costs", "denials", "fault", "is_counted", "matched",
        "now_ns", "plan", "row", "visit",
    )  # fmt: skip

    plan: RoutePlan
    """The limits that are asked; it is not there before they are picked."""

    def __init__(
        self,
        bound: Bound,
        matched: Matched,
        row: list[int],
        now_ns: int,
        costs: Costs | None = None,
        *,
        charges: bool = True,
        visit: Visit | None = None,
        can_wait: bool = False,
    ) -> None:
        self.bound = bound
        self.matched = matched
        self.row = row
        self.now_ns = now_ns
        self.costs = costs
        self.charges = charges
        self.visit = Visit() if visit is None else visit
        self.can_wait = can_wait
        self.asker = ROW
        self.is_counted = False
        """True if the decision is counted already, or must not be."""
        self.denials: Denials | None = None
        """Notes the caller when the decision is counted; None for one that the deny list does not refuse."""
        self.fault: StoreError | None = None
        """What the store failed with, so that each limit's stance decided."""

    def is_counted_later(self, allowed: bool) -> bool:
        """Return whether the middleware counts the request: where routes are asked, once they have been."""
        if self.asker in (ROUTE, ROUTE_FIRST):
            return True
        decider = self.bound.decider
        return allowed and self.asker == DOOR and decider is not None and decider.counts_late

    @property
    def account(self) -> int:
        """The account that use of the back end is counted by, 0 for none."""
        return self.bound.payer(self.row)

    def ask(self) -> Ask:
        """Return the question to the limits: charged, unless this is a peek."""
        return Ask(self, self.plan, self._amounts(), self.charges)

    def look(self) -> Ask:
        """Return the question whether there is room; nothing is charged."""
        return Ask(self, self.plan, self._amounts(), False)

    def peek(self) -> Pending:
        """Return the same request as a peek."""
        return Pending(
            self.bound, self.matched, self.row, self.now_ns, self.costs, charges=False, can_wait=self.can_wait
        )

    def by(self, plan: RoutePlan) -> Deciding:
        """Decide by another plan in place of the one that was picked, from its first stage on."""
        self.plan = plan
        return plan.chain(self)

    def _amounts(self) -> Sequence[int]:
        return self.plan.costs_of(self.costs) if self.costs else self.plan.costs


class Ask(NamedTuple):
    """A question to the limits; answered by an `Outcome`."""

    pending: Pending
    plan: RoutePlan
    amounts: Sequence[int]
    charges: bool


class Look(NamedTuple):
    """A question to counters that are no limits of the policy; answered by an `Outcome`."""

    plan: Any
    row: list[int]
    now_ns: int
    charges: bool


class Call(NamedTuple):
    """A call of the application; answered by what it returns, awaited.

    `UNAWAITED` where it would have to be awaited, and cannot be.
    """

    hook: Callable[[], Any]


class Wait(NamedTuple):
    """A wait; answered by what the awaitable returns. Only where `Pending.can_wait`."""

    until: Awaitable[Any]


class Instead(NamedTuple):
    """Another way for requests that only some limits of a plan refuse.

    Args:
        of: positions of these limits.
        plan: returns the plan that is asked in place of theirs, with as many rules.
    """

    of: frozenset[int]
    plan: Callable[[], RoutePlan]


UNAWAITED: Any = object()

Effect = Ask | Look | Call | Wait
Effects = Generator[Effect, Any, T]
Deciding = Effects[Decided]
Rest = Callable[[Pending], Deciding]


class Stage:
    """A part of the way of requests to their limits; as it is here, without effect."""

    name = ""
    """What `explain` calls it."""
    is_early = False
    """True if it takes part where a request is not known in full: see `early`."""
    is_compiled = False
    """True if the compiled decider decides as it does: by `guard`, `picker`, `instead`, or by itself."""
    guard: Guard | None = None
    """Its part in the compiled decider; None: it needs none there, or is not compiled."""
    picker: Picker | None = None
    """Of a plan's stage: what picks another plan in its place, compiled."""
    notes: Picker | None = None
    """Of a plan's stage: what is told of each request that the plan's limits decided."""
    instead: Instead | None = None
    """Of a plan's stage that is compiled: the other way for requests that some of its limits refuse."""
    counts_shadows = False
    """True if it counts requests that a limit in shadow has no room for."""

    @property
    def is_idle(self) -> bool:
        """True if a request that has room may go on without it at this instant."""
        return False

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request, by `rest` as far as this stage has no say."""
        return rest(pending)

    def freed(self, plan: RoutePlan, outcome: Outcome) -> None:
        """Take note that what an outcome took was given back, in part or whole. From any thread."""


class Draft(NamedTuple):
    """A plan that is being made."""

    rules: Sequence[LimitRule]
    stand_ins: Mapping[int, int]
    """By position of a limit, the rule that is asked beside it."""
    variant: Variant
    make: Callable[[Variant], RoutePlan]
    """Makes another variant of the same plan."""


class Feature:
    """A feature of one bound policy: its stages. As it is here, one that the policy does not use."""

    stage: Stage | None = None
    """The stage that all requests pass; None: there is none."""
    is_outer = False
    """True if they pass it before their limits are picked."""
    is_first = False
    """True if it decides before the compiled decider is asked, so that this is asked behind it."""
    holds = False
    """True if requests that count as work of a back end may be held."""

    def stage_of(self, draft: Draft) -> Stage | None:
        """Return the stage that the requests of one plan pass; None: there is none."""
        return None

    def may_hold(self, rule: LimitRule) -> bool:
        """Return whether a request may wait, or the application be asked, because of a rule."""
        return False


def chained(stages: Iterable[Stage], last: Rest) -> Rest:
    """Return what decides by all stages in their order, and then by `last`."""
    rest = last
    for stage in reversed(list(stages)):
        rest = partial(stage.decide, rest=rest)
    return rest


def ask(pending: Pending) -> Deciding:
    """Ask the limits: the last of each plan's chain."""
    return by_limits(pending, (yield pending.ask()))


def by_limits(pending: Pending, outcome: Outcome) -> Decided:
    """Return what limits decided of a request."""
    return outcome.allowed, Reason.LIMITS, pending.plan, outcome
