"""Use that was counted elsewhere and has to be charged to counters of the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratelimit.algorithms import IN_WORDS
from ratelimit.core.decision.engine import MAX_COST
from ratelimit.core.redis.remote import used

if TYPE_CHECKING:
    from ratelimit.stores.redis.protocols import Planned, ServerLink


@dataclass(frozen=True, slots=True)
class Transfer:
    """One charge of a plan's rules, waiting for the server."""

    plan: Planned
    target: list[int]
    """The identities of the counters that are charged."""
    source: list[int]
    """Identities under which it was used; the target's where costs are given."""
    costs: Sequence[int] | None = None
    """What one request takes, by rule; None for what is in use under the source's counters."""
    times: int = 1
    """The number of requests; charged where there is no room for one more."""

    @property
    def weight(self) -> int:
        """The number of counters that are charged at most."""
        return len(self.plan.counting) if self.costs is None else sum(map(bool, self.costs))

    async def amounts_of(self, batch_client: ServerLink, now_ns: int) -> Sequence[int]:
        """Return how much to charge each rule.

        Raises:
            StoreError: the server cannot be asked.
        """
        outcome = await batch_client.ask(self.plan, self.source, None, now_ns, commit=False)
        if self.costs is None:
            return [used(outcome, index) for index in range(len(outcome))]
        return [
            cost * self.times if rule.algorithm in IN_WORDS and outcome.remaining(index) < cost else 0
            for index, (cost, rule) in enumerate(zip(self.costs, self.plan.core.rules, strict=True))
        ]

    def charges(self, amounts: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        """Yield rule, counter and amount of each charge there is to make."""
        for index, amount in enumerate(amounts):
            if amount:
                yield index, self.plan.core.key(index, self.target), min(MAX_COST, amount)
