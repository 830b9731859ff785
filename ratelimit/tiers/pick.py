"""The rules of limits with numbers that depend on a plan the identities name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from ratelimit.policy.compile.compiled import LimitSpec

P = TypeVar("P")
"""A plan of limits."""
MOST_PICKED = 4096
"""Combinations of plans that are remembered."""


class TierPick(Generic[P]):
    """Picks them, given a row of identities."""

    __slots__ = ("_limits", "_names", "_picked", "_plan", "_positions", "known")

    def __init__(
        self,
        limits: Sequence[LimitSpec],
        names: Mapping[tuple[int, int], str],
        plan: Callable[[tuple[int, ...]], P | None],
    ) -> None:
        self._limits = tuple(limits)
        self._positions = tuple(limit.tier_identity for limit in limits)
        self._picked: dict[tuple[str | None, ...], P | None] = {}
        self._names = names
        self._plan = plan
        self.known: dict[int, list[int]] = {}
        """By position of an identity that names a plan: the hashes of the plans that a limit has there."""
        positions = {limit.tier_identity for limit in limits if limit.tier_identity >= 0}
        for position, value in names:
            if position in positions:
                self.known.setdefault(position, []).append(value)

    def __call__(self, identities: Sequence[int]) -> P | None:
        named = tuple([self._names.get((at, identities[at])) if at >= 0 else None for at in self._positions])
        if named not in self._picked:
            if len(self._picked) >= MOST_PICKED:
                self._picked.clear()
            self._picked[named] = self._pick(named)
        return self._picked[named]

    def _pick(self, named: Sequence[str | None]) -> P | None:
        indices: list[int] = []
        is_covered = False
        for limit, tier in zip(self._limits, named, strict=True):
            rules = limit.rules if tier is None else limit.tiers.get(tier, limit.rules)
            is_covered |= limit.covers and not rules
            indices += rules
        if is_covered:
            # A plan without a limit covers all: nothing is beyond it.
            beyond = {
                index
                for limit in self._limits
                if limit.is_left_over
                for rules in (limit.rules, *limit.tiers.values())
                for index in rules
            }
            indices = [index for index in indices if index not in beyond]
        return self._plan(tuple(indices))
