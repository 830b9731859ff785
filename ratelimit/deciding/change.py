"""How a plan differs from what the policy says, over the same counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ratelimit.deciding.conduct import WHOLE, scaled_rule
from ratelimit.decision import MildStep
from ratelimit.policy.compile.compiled import LimitRule


@dataclass(frozen=True, slots=True)
class Change:
    """What is changed of a plan.

    Args:
        sixteenths: what is left of its adaptive limits.
        rung: of their ladders; 0: none is climbed.
        stepped: positions of limits that took their step, so that the request goes by whole limits.
        passed: positions of limits that refuse nothing, as their challenge was passed.
    """

    sixteenths: int = WHOLE
    rung: int = 0
    stepped: tuple[int, ...] = ()
    passed: tuple[int, ...] = ()

    def mild_step(self, rule: LimitRule) -> MildStep | None:
        """Return what a rule does with a request that only conduct leaves no room for; None: it refuses."""
        return rule.mild_step(self.rung) if self.rung and rule.adaptive and not rule.shadow else None

    def rules(self, own: Sequence[LimitRule]) -> tuple[list[LimitRule], dict[int, int]]:
        """Return the rules after the change, and by position where its lowered copy is.

        A rule with a mild step stays whole. Beside it stands what conduct leaves of it, which counts by
        itself. So what goes by the whole one is charged as the policy says.
        """
        rules = [rule if self.mild_step(rule) else scaled_rule(rule, self.sixteenths) for rule in own]
        lowered: dict[int, int] = {}
        if not self.stepped:
            for at, rule in enumerate(own):
                step = self.mild_step(rule)
                if step is not None:
                    lowered[at] = len(rules)
                    rules.append(_lowered(scaled_rule(rule, self.sixteenths), step))
        return rules, lowered


def _lowered(rule: LimitRule, step: MildStep) -> LimitRule:
    return replace(
        rule,
        salt_parts=(b"lowered", *rule.salt_parts),
        action="challenge" if step == "challenge" else "refuse",
        wait_ns=0,
        metering=None,
        is_lowered=True,
    )


NO_CHANGE = Change()
