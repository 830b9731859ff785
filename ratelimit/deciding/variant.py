"""Variants of a plan: other numbers over the same counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ratelimit.features.steps import MildStep
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.policy.compile.quota import burst_beside, largest_debt


@dataclass(frozen=True, slots=True)
class Pick:
    """What of a plan's limits is asked of one request; positions stay as they are.

    Args:
        quotas: by position, the units of a period in place of the policy's; 0: the policy's.
        left_out: positions of limits that do not apply.
    """

    quotas: tuple[int, ...] = ()
    left_out: frozenset[int] = frozenset()

    def rules(self, own: Sequence[LimitRule]) -> list[LimitRule]:
        """Return the rules with their numbers."""
        quotas = self.quotas or (0,) * len(own)
        return [raised(rule, quota) for rule, quota in zip(own, quotas, strict=True)]


@dataclass(frozen=True, slots=True)
class OwnNumbers:
    """A customer's own numbers in place of a policy's; by position the units of a period, 0: the policy's."""

    quotas: tuple[int, ...]

    def rules(self, rules: Sequence[LimitRule]) -> list[LimitRule]:
        """Return the rules with their numbers. What may be in flight of a limit goes by the number, too."""
        found: list[LimitRule] = []
        before: tuple[int, int] = (0, 0)
        for rule, quota in zip(rules, self.quotas, strict=False):
            if rule.is_exposure and before[0]:
                found.append(with_number(rule, max(1, rule.quota * before[0] // max(1, before[1]))))
                continue
            before = quota, rule.quota
            found.append(with_number(rule, quota))
        return [*found, *rules[len(found) :]]


def with_number(rule: LimitRule, quota: int) -> LimitRule:
    """Return a rule with a customer's own number of units, and a burst that goes with it; 0: as it is.

    A debt stays as deep as it is, as far as the number has room for it: an answer is as long as before.
    """
    if quota in (0, rule.quota):
        return rule
    burst = burst_beside(rule.algorithm, rule.quota, rule.burst, quota)
    debt = rule.debt
    if debt is not None:
        debt = max(0, min(debt, largest_debt(rule.algorithm, rule.period_ns, quota, burst)))
    return replace(rule, quota=quota, burst=burst, debt=debt)


def raised(rule: LimitRule, quota: int) -> LimitRule:
    """Return a rule with other units of a period, and a burst in proportion; 0: as it is."""
    if quota in (0, rule.quota):
        return rule
    return replace(rule, quota=quota, burst=rule.burst * quota // rule.quota)


@dataclass(frozen=True, slots=True)
class Variant:
    """The difference of a plan from the policy; as it is here, in the refusals of some limits.

    Args:
        waived: positions of limits that refuse nothing.
        pick: what of its limits is asked; None: all of them.
        own: a customer's own numbers; None: they were not looked at.
    """

    waived: tuple[int, ...] = ()
    pick: Pick | None = None
    own: OwnNumbers | None = None

    @property
    def factors(self) -> tuple[float, ...]:
        """The factor on each limit that this lowers, from 0 to 1, by position; empty: it lowers none."""
        return ()

    def rules(self, own: Sequence[LimitRule]) -> tuple[list[LimitRule], dict[int, int]]:
        """Return the rules to ask, and by position of a limit the rule that is asked beside it.

        Such a rule is reported in the place of its limit.
        """
        return self.picked(own), {}

    def picked(self, own: Sequence[LimitRule]) -> list[LimitRule]:
        """Return the rules with the numbers that were picked."""
        rules = list(own) if self.pick is None else self.pick.rules(own)
        return rules if self.own is None else self.own.rules(rules)

    @property
    def left_out(self) -> frozenset[int]:
        """Positions of limits that do not apply."""
        return frozenset() if self.pick is None else self.pick.left_out

    def steps(self, own: Sequence[LimitRule]) -> Mapping[int, MildStep]:
        """Return by position the steps that limits took, so that they are asked whole."""
        return {}


AS_WRITTEN = Variant()
