"""The rules of limits with numbers that depend on a plan the identities name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.policy.compile.compiled import LimitSpec


class TierPick:
    """Picks them, given a row of identities."""

    __slots__ = ("_limits", "_names", "_plan", "known")

    def __init__(
        self,
        limits: Sequence[LimitSpec],
        names: Mapping[tuple[int, int], str],
        plan: Callable[[tuple[int, ...]], RoutePlan | None],
    ) -> None:
        self._limits = tuple(limits)
        self._names = names
        self._plan = plan
        self.known: dict[int, list[int]] = {}
        """By position of an identity that names a plan: the hashes of the plans that a limit has there."""
        positions = {limit.tier_identity for limit in limits if limit.tier_identity >= 0}
        for position, value in names:
            if position in positions:
                self.known.setdefault(position, []).append(value)

    def __call__(self, identities: Sequence[int]) -> RoutePlan | None:
        indices: list[int] = []
        for limit in self._limits:
            rules = limit.rules
            if limit.tier_identity >= 0:
                tier = self._names.get((limit.tier_identity, identities[limit.tier_identity]))
                if tier is not None:
                    rules = limit.tiers.get(tier, rules)
            indices += rules
        return self._plan(tuple(indices))
