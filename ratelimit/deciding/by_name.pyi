"""The common call of `Limiter.decide`: identities by name, limits in this host's memory."""

from collections.abc import Callable, Mapping
from typing import Protocol, final

from ratelimit.clock import Clock
from ratelimit.core.decision.engine import Outcome
from ratelimit.core.decision.schedule import Pace
from ratelimit.core.memory.table import Table
from ratelimit.core.request.scanner import Scanner
from ratelimit.core.sharing.observer import Watch
from ratelimit.deciding.charge import Asked
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.decision import Decision, Verdict
from ratelimit.policy.routing.target import Target

ADDRESS: int
"""The form of an identity that is the client's address."""
TEXT: int
"""The form of a header's value: blanks around it are no part of it."""
RAW: int
"""The form of a value that is hashed as it is given."""

class _Matched(Protocol):
    """What is needed of what applies to a request."""

    plan: RoutePlan | None

@final
class NamedCharge:
    """A decision's ledger, as `charge.Charge` is one: made when it is asked for more than it holds."""

    @property
    def plan(self) -> RoutePlan: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def asked(self) -> Asked: ...
    @property
    def binding(self) -> int: ...
    def verdicts(self) -> tuple[Verdict, ...]: ...
    def settle_units(self, units: Mapping[str, int]) -> None: ...
    def release(self) -> None: ...

@final
class NamedGate:
    """Decides requests that are given by names, under one policy without lists, tiers or resolvers.

    Args:
        match: says what applies to a method and path; `requests` has what it said before.
        places: each name's position, kind and form. A name that is not there is left to the decider.
        scanner: of identities; says what stands in for those that are missing.
        table: counts a decision in `counter`, in the first of `columns` if it was a refusal.
        watch: knows clusters, and is told what was decided; None when nothing is correlated.
        pace, keep_up: says when upkeep is due with a decision, and does it.
        clock: says when a decision's costs are settled.
    """

    def __new__(
        cls,
        *,
        match: Callable[[str, str | Target], _Matched],
        requests: Mapping[str, object],
        places: Mapping[str, tuple[int, int, int]],
        scanner: Scanner,
        table: Table,
        counter: int,
        columns: tuple[int, int],
        watch: Watch | None = None,
        pace: Pace,
        keep_up: Callable[[int], None],
        clock: Clock,
    ) -> NamedGate: ...
    def decide(
        self,
        method: str,
        path: str | Target,
        names: Mapping[str, str | bytes] | None,
        client: str | None,
        now_ns: int,
        /,
    ) -> Decision | None:
        """Decide, charge and count a request.

        None when it takes more than names: then nothing was charged and nothing counted.
        """
    def identities(self, names: Mapping[str, str | bytes] | None, client: str | None, /) -> list[int] | None:
        """Return a request's identities by position, None when it takes more than names to tell them."""
