"""Variants of a plan: other numbers over the same counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ratelimit.decision import MildStep
from ratelimit.policy.compile.compiled import LimitRule


@dataclass(frozen=True, slots=True)
class Variant:
    """The difference of a plan from the policy; as it is here, in the refusals of some limits.

    Args:
        waived: positions of limits that refuse nothing.
    """

    waived: tuple[int, ...] = ()

    @property
    def factor(self) -> float:
        """The factor on the limits that this lowers, from 0 to 1."""
        return 1.0

    def rules(self, own: Sequence[LimitRule]) -> tuple[list[LimitRule], dict[int, int]]:
        """Return the rules to ask, and by position of a limit the rule that is asked beside it.

        Such a rule is reported in the place of its limit.
        """
        return list(own), {}

    def steps(self, own: Sequence[LimitRule]) -> Mapping[int, MildStep]:
        """Return by position the steps that limits took, so that they are asked whole."""
        return {}


AS_WRITTEN = Variant()
