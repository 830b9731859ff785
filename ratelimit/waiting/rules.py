"""The rules of one plan that let requests wait: for how long, of which share, and what gives room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ratelimit.algorithms import ALGORITHMS
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.contract import REFUSED, Outcome, refused_by
from ratelimit.waiting.compile import QueueSpec, wait_ns_of


@dataclass(frozen=True, slots=True)
class WaitingRule:
    """The facts about one rule; `period_ns` is 0 for slots, which requests free when they end."""

    wait_ns: int
    quota: int
    period_ns: int
    in_windows: bool
    """True if all units come back at once."""
    counter_name: str
    """The place where those are counted that it let through after a wait."""


class WaitingRules:
    """The part of a plan that a queue needs.

    Args:
        rules: the plan's; some have `wait`.
        spec: how requests wait.
    """

    __slots__ = ("_count", "principal", "rules", "shadows")

    def __init__(self, rules: Sequence[LimitRule], spec: QueueSpec) -> None:
        self.principal = spec.principal
        self._count = len(rules)
        waiting = [(at, rule, wait_ns) for at, rule in enumerate(rules) if (wait_ns := wait_ns_of(rule))]
        self.rules = {
            at: WaitingRule(
                wait_ns,
                rule.quota,
                rule.period_ns,
                ALGORITHMS[rule.algorithm].is_at_once,
                rule.counter_name,
            )
            for at, rule, wait_ns in waiting
            if not rule.shadow
        }
        """By position in the plan."""
        self.shadows = tuple(at for at, rule, _ in waiting if rule.shadow and not rule.is_twin)
        """Those in shadow: requests that would have waited for them are counted."""

    def refusing(self, outcome: Outcome) -> int | None:
        """Return the rule that a refused request waits for; None where one that lets none wait refuses.

        And None where no wait helps, since the request costs more than the limit ever holds.
        """
        if any(at not in self.rules for at in refused_by(outcome, self._count)):
            return None
        at = outcome.binding
        return None if at < 0 or outcome.retry_after_ns(at) < 0 else at

    def wait_ns(self, outcome: Outcome, at: int) -> int:
        """Return how long a request may wait: as the rule it waits for says, and all that refuse it."""
        waits = [rule.wait_ns for other, rule in self.rules.items() if outcome.state(other) == REFUSED]
        return min([self.rules[at].wait_ns, *waits])


def waiting_rules(rules: Sequence[LimitRule], spec: QueueSpec | None) -> WaitingRules | None:
    """Return what is to be known of these rules, None where none lets requests wait."""
    if spec is None or not any(map(wait_ns_of, rules)):
        return None
    return WaitingRules(rules, spec)
