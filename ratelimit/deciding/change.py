"""How a plan differs from what the policy says, over the same counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ratelimit.deciding.conduct import WHOLE, scaled_rule
from ratelimit.decision import MildStep
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.policy.schema.adaptive import Step


@dataclass(frozen=True, slots=True)
class Change:
    """What is changed of a plan.

    Args:
        sixteenths: what is left of its adaptive limits.
        strikes: so many count for their steps; 0: their steps are left out.
        stepped: positions of limits that took their step, so that the request goes by whole limits.
        passed: positions of limits that refuse nothing, as their challenge was passed.
    """

    sixteenths: int = WHOLE
    strikes: int = 0
    stepped: tuple[int, ...] = ()
    passed: tuple[int, ...] = ()

    def mild_step(self, rule: LimitRule) -> MildStep | None:
        """Return the step by which a request goes on that only conduct refuses; None: it has none."""
        step = self._step(rule)
        return None if step == "refuse" else step

    def _step(self, rule: LimitRule) -> Step | None:
        return rule.step_at(self.strikes) if self.strikes and rule.adaptive and not rule.shadow else None

    def rules(self, own: Sequence[LimitRule]) -> tuple[list[LimitRule], dict[int, int]]:
        """Return the rules after the change, and by position where its lowered copy is.

        A rule with a mild step stays whole. Beside it stands what conduct leaves of it, which counts by
        itself. So what goes by the whole one is charged as the policy says.
        """
        rules = [rule if self.mild_step(rule) else self._scaled(rule) for rule in own]
        lowered: dict[int, int] = {}
        if not self.stepped:
            for at, rule in enumerate(own):
                step = self.mild_step(rule)
                if step is not None:
                    lowered[at] = len(rules)
                    rules.append(_lowered(scaled_rule(rule, self.sixteenths), step))
        return rules, lowered

    def _scaled(self, rule: LimitRule) -> LimitRule:
        scaled = scaled_rule(rule, self.sixteenths)
        if self._step(rule) == "refuse" and rule.first != "refuse":
            # So conduct refuses where the whole limit would degrade or challenge.
            return replace(scaled, on_refusal=("refuse",))
        return scaled


def _lowered(rule: LimitRule, step: MildStep) -> LimitRule:
    return replace(
        rule,
        salt_parts=(b"lowered", *rule.salt_parts),
        on_refusal=("challenge",) if step == "challenge" else ("refuse",),
        wait_ns=0,
        metering=None,
        is_lowered=True,
    )


NO_CHANGE = Change()
