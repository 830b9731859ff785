"""What the decider uses of its surroundings: a limiter's, a replay's, an explanation's.

The same decider runs in a worker that serves, over a recorded trace, and for one request that a person
asks about. What differs stands here: what counts, what knows clusters, what asks the limits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.decision import Reason
from ratelimit.errors import StoreError
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.contract import Outcome


class AskedRules(Protocol):
    """What routes ask for in code."""

    @property
    def rules(self) -> Sequence[LimitRule]:
        """The rules of limits that no policy file has."""
        ...


class DecisionCounter(Protocol):
    """Counts decisions."""

    def decided(self, allowed: bool, reason: Reason) -> None:
        """Count one decided request."""
        ...


class Surroundings(Protocol):
    """Where decisions are made."""

    @property
    def counters(self) -> DecisionCounter:
        """What counts decisions; may be another one after the store's memory was renewed."""
        ...

    def store_failed(self, error: StoreError) -> None:
        """Take note that the store could not decide; a limit's `on_store_error` is about to."""
        ...

    def keep_up(self, now_ns: int) -> None:
        """Do what is due between requests, if no thread does it; called after each charged decision."""
        ...


class Recognition(Protocol):
    """Knows clusters, and is told what was decided. `core.sharing.watch.Watch` is one."""

    @property
    def tells_age(self) -> bool:
        """Whether a limit asks for new accounts, so that `mark` is called."""
        ...

    def fill(self, row: list[int], /) -> None:
        """Put the cluster into a row's three places, -1 wherever it has none."""
        ...

    def mark(self, row: list[int], now_ns: int, /) -> bool:
        """Mark a row of a new account; return whether it is one."""
        ...

    def observe(self, row: Sequence[int], refused: bool, now_ns: int, counted_at: int = -1, /) -> bool:
        """Take what limits decided of a row, for the correlator; return whether it was taken."""
        ...


Ask = Callable[[RoutePlan, list[int], int, Sequence[int], bool], Outcome]
"""Asks a plan's limits: given plan, row, time, what each rule takes, and whether to charge."""
AskAway = Callable[[RoutePlan, list[int], int, Sequence[int], bool], Awaitable[Outcome]]
"""The same where the answer is awaited."""
