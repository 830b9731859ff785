"""Plans with limits that conduct lowered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from ratelimit.algorithms import CARRIED, REFILLED
from ratelimit.conduct.compile import ConductSpec
from ratelimit.deciding.variant import Variant
from ratelimit.features.steps import BY_NAME, FirstStep, MildStep, Step
from ratelimit.policy.compile.compiled import LimitRule

WHOLE = 16
"""Limits are scaled in sixteenths."""


@dataclass(frozen=True, slots=True)
class Lowered(Variant):
    """A plan with its adaptive limits lowered.

    Args:
        sixteenths: what is left of each limit, by position.
        strikes: so many count for its steps; 0: these are left out.
        stepped: positions of limits that took their step, so that the request goes by whole limits.
    """

    sixteenths: tuple[int, ...] = ()
    strikes: tuple[int, ...] = ()
    stepped: tuple[int, ...] = ()

    @property
    def factors(self) -> tuple[float, ...]:
        """The rest of each limit, by position."""
        return tuple(left / WHOLE for left in self.sixteenths)

    def rules(self, own: Sequence[LimitRule]) -> tuple[list[LimitRule], dict[int, int]]:
        """Return the rules, and by position where the lowered copy of a limit is.

        A rule with a mild step stays whole. Beside it stands what conduct leaves of it, which counts by
        itself. So what goes by the whole one is charged as the policy says.
        """
        own = self.picked(own)
        rules = [rule if self.mild_step(rule, at) else self._scaled(rule, at) for at, rule in enumerate(own)]
        lowered: dict[int, int] = {}
        if not self.stepped:
            for at, rule in enumerate(own):
                step = None if at in self.left_out else self.mild_step(rule, at)
                if step is not None:
                    lowered[at] = len(rules)
                    rules.append(_lowered(scaled_rule(rule, self.sixteenths[at]), step))
        return rules, lowered

    def steps(self, own: Sequence[LimitRule]) -> Mapping[int, MildStep]:
        """Return the steps that limits took."""
        return {at: step for at in self.stepped if (step := self.mild_step(own[at], at)) is not None}

    def mild_step(self, rule: LimitRule, at: int) -> MildStep | None:
        """Return the step by which a request goes on that only conduct refuses; None: it has none."""
        step = self._step(rule, at)
        return None if step == "refuse" else step

    def _step(self, rule: LimitRule, at: int) -> Step | None:
        return (
            step_at(rule, self.strikes[at]) if self.strikes[at] and falls(rule) and not rule.shadow else None
        )

    def _scaled(self, rule: LimitRule, at: int) -> LimitRule:
        scaled = scaled_rule(rule, self.sixteenths[at])
        if self._step(rule, at) == "refuse" and rule.first != "refuse":
            # So conduct refuses where the whole limit would degrade or challenge.
            return replace(scaled, on_refusal=("refuse",))
        return scaled


def falls(rule: LimitRule) -> bool:
    """Return whether a rule falls with bad conduct."""
    spec = rule.spec(ConductSpec)
    return spec is not None and spec.falls


def step_at(rule: LimitRule, strikes: int) -> Step | None:
    """Return the step after so many strikes, from 1; None without steps: it does as the whole limit."""
    steps = rule.on_refusal[1:]
    return steps[min(strikes, len(steps)) - 1] if steps else None


def scaled_rule(rule: LimitRule, sixteenths: int) -> LimitRule:
    """Return a rule with so many sixteenths of its numbers, if it is adaptive.

    What one request takes on arrival always fits, so that no request is refused for ever.
    """
    if not falls(rule) or sixteenths >= WHOLE:
        return rule
    least = max(1, rule.estimate)
    quota = min(rule.quota, max(1, rule.quota * sixteenths // WHOLE))
    burst = min(rule.burst, max(least, rule.burst * sixteenths // WHOLE))
    if rule.algorithm in CARRIED:
        quota = max(quota, -(-burst // 2))
        burst = min(max(burst, quota), 2 * quota)
    elif rule.algorithm not in REFILLED:
        quota = burst
    return replace(rule, quota=quota, burst=burst)


def _lowered(rule: LimitRule, step: MildStep) -> LimitRule:
    spec = rule.spec(ConductSpec)
    return replace(
        rule,
        salt_parts=(b"lowered", *rule.salt_parts),
        on_refusal=(cast(FirstStep, step) if BY_NAME[step].asks else "refuse",),
        metering=None,
        is_lowered=True,
        specs=() if spec is None else (spec,),  # no other feature has a part in it
    )
