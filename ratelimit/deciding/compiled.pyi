"""The compiled decider: most requests of a bound policy in one call, whichever door they came through."""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from ratelimit.clock import Clock
from ratelimit.core.clusters.recogniser import Recogniser
from ratelimit.core.decision import engine
from ratelimit.core.decision.schedule import Pace
from ratelimit.core.memory.table import Table
from ratelimit.core.request.identities import IdentityReader
from ratelimit.deciding.charge import DecidedRow
from ratelimit.deciding.denials import Denials
from ratelimit.deciding.guard import Guard
from ratelimit.deciding.matched import Matched
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.decision import Reason, Verdict
from ratelimit.identity.extract import Extractor
from ratelimit.identity.fact import Context
from ratelimit.stores.contract import Outcome
from ratelimit.tiers.pick import TierPick

REFUSED: int
"""What stands for an identity that the policy insists on and a request lacks."""
ROW: int
DOOR: int
ROUTE: int
ROUTE_FIRST: int
"""Who asks: Python with identities of its own, the middleware, or a route, of a request that limits decided before
or not."""
DECIDED: tuple[Reason | None, ...]
"""The reason why a request was decided as it was, by the number that compiled code has for it."""

@final
class CompiledDecision:
    """The decision about one request: its ledger, as `charge.Charge` is one.

    It makes such a charge when it is asked for more than it holds. Most callers never ask.
    """

    @property
    def plan(self) -> RoutePlan:
        """The outcome of the limits. None where they did not decide: such a one is no ledger."""
    @property
    def outcome(self) -> Outcome: ...
    @property
    def allowed(self) -> bool: ...
    @property
    def why(self) -> Reason: ...
    @property
    def actor(self) -> int | None:
        """The identity that limits count the principal's cluster by; None without one."""
    @property
    def verdict(self) -> int:
        """The certainty that it belongs there: 0, 1 for likely, 2 for certain."""
    @property
    def principal(self) -> int:
        """The request's account, 0 where nothing asks for it."""
    @property
    def asked(self) -> DecidedRow: ...
    @property
    def binding(self) -> int: ...
    def verdicts(self) -> tuple[Verdict, ...]: ...
    def settle_units(self, units: Mapping[str, int]) -> None: ...
    def release(self, status: int | None = None, *, produced: bool = False) -> None: ...

@final
class PlanParts:
    """A route plan, taken apart for compiled code."""

    def __init__(self, plan: RoutePlan, positions: int) -> None: ...

@final
class TierParts:
    """The choice of a route plan by the customer's plan, taken apart for compiled code."""

    def __init__(self, pick: TierPick[RoutePlan]) -> None: ...

@final
class Asking:
    """A request whose limits a server is asked for: see `stores.contract.RemotePlan`."""

    @property
    def plan(self) -> RoutePlan: ...
    @property
    def now_ns(self) -> int: ...
    @property
    def reply(self) -> Future[None]:
        """The call for when the request is decided, or fails with a `StoreError`."""
    @property
    def outcome(self) -> engine.Outcome:
        """The decision, once the reply is here."""
    def ask(self, base: int, keys: dict[bytes, int], items: list[Any], /) -> engine.Outcome:
        """Add the question to a call that is not sent yet: `base`, `keys` and `items` as `RemoteRules.ask` has them."""
    def row(self) -> list[int]:
        """Return its identities as Python lists them."""
    def give_up(self) -> None:
        """Take back what was charged if the reply came as its task was cancelled."""

@final
class CompiledDecider:
    """Decides requests under one bound policy: lists, plans, actors, required identities, limits.

    Compiled callers give it an array of hashed identities. It leaves to Python what has to ask, to wait,
    or to scale limits by conduct; nothing was charged or counted then. A refusal that is
    not the last word, since the request may wait or pass a challenge, is Python's as well.

    Args:
        extractor: reads identities that compiled code does not know; has the reader of the others.
        has_lists: whether the policy has an allow or a deny list.
        denials: notes the callers that the latter refuses.
        table: counts decisions, in the counter and column that `cells` has for each.
        watch: knows actors, and is told what was decided; None when nothing is correlated.
        payer_at: the position of the identity that use of the back end is counted by, -1 for none.
        guards: the parts of stages that may leave a request to Python.
        pace, keep_up: says when upkeep is due with a decision, and does it.
        clock: says when a decision's costs are settled.
        context_of: what else is known of a request, by its path's parameters and its state.

    Raises:
        IndexError, ValueError: positions that the policy does not have.
    """

    def __new__(
        cls,
        *,
        extractor: Extractor,
        has_lists: bool,
        denials: Denials,
        table: Table,
        cells: Mapping[tuple[bool, Reason], tuple[int, int]],
        watch: Recogniser | None = None,
        payer_at: int = -1,
        guards: Sequence[Guard] = (),
        pace: Pace,
        keep_up: Callable[[int], None],
        clock: Clock,
        context_of: Callable[[Mapping[str, str], object], Context],
    ) -> CompiledDecider: ...
    @property
    def reader(self) -> IdentityReader: ...
    @property
    def size(self) -> int: ...
    @property
    def origin_at(self) -> int: ...
    @property
    def payer_at(self) -> int: ...
    @property
    def has_lists(self) -> bool: ...
    @property
    def watch(self) -> Recogniser | None: ...
    counts_late: bool
    """True if routes ask for limits: what the middleware lets through is counted when the request ends."""
    def decide_request(
        self,
        matched: Matched,
        headers: Sequence[tuple[bytes, bytes]],
        peer: str | None,
        state: object,
        now_ns: int,
        costs: Mapping[str, int] | None = None,
        asker: int = ...,
        /,
    ) -> CompiledDecision | None:
        """Decide what a route asks for, and charge it; None where it takes Python. The middleware counts requests.

        `asker` is `ROUTE` or `ROUTE_FIRST`.

        Raises:
            UsageError: a cost is no integer from 0 to 2**31 - 1 (code `cost-range`).
        """
    def decide_row(
        self,
        matched: Matched,
        row: list[int],
        now_ns: int,
        costs: Mapping[str, int] | tuple[int, ...] | None = None,
        asker: int = ...,
        /,
    ) -> tuple[bool, Reason, RoutePlan | None, Outcome | None] | None:
        """Decide for identities that Python found, as `decider.Decider.decide` does; the actor is put into the row.

        `asker` is `ROW`, or `DOOR` or one of the routes': what is let through for these is counted elsewhere.

        Raises:
            UsageError: a cost is no integer from 0 to 2**31 - 1 (code `cost-range`).
        """
