"""An explanation of waiting: whether a request without room would wait, at which limit, how long at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ratelimit.deciding.charge import Charge
from ratelimit.decision import Decision
from ratelimit.inspection import formatting
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.waiting.compile import wait_ns_of
from ratelimit.waiting.stage import rules_of


@dataclass(frozen=True, slots=True)
class Wait:
    """The fate of a request without room; if others wait already, it comes after them.

    Args:
        limit: the limit that it waits for.
        most_ns: how long it may.
        room_in_ns: when there is room if no other request comes; None where others have to end first.
    """

    limit: str
    most_ns: int
    room_in_ns: int | None

    @property
    def is_in_vain(self) -> bool:
        """True if it is refused at once, as room comes too late."""
        return self.room_in_ns is not None and self.room_in_ns > self.most_ns


def wait_of(decision: Decision) -> Wait | None:
    """Return whether a request would wait; None where it has room, or a limit refuses that lets none wait."""
    charge = decision.ledger
    if decision.allowed or not isinstance(charge, Charge):
        return None
    plan, outcome, waits = charge.plan, charge.outcome, rules_of(charge.plan)
    at = None if waits is None else waits.refusing(outcome)
    if waits is None or at is None:
        return None
    room_in_ns = outcome.retry_after_ns(at) if waits.rules[at].period_ns else None
    return Wait(plan.rules[at].name, waits.wait_ns(outcome, at), room_in_ns)


def rule_words(rule: LimitRule) -> list[str]:
    """Return what is to be known of a rule, each in one phrase."""
    wait_ns = wait_ns_of(rule)
    return [f"waits up to {formatting.wait(wait_ns)}"] if wait_ns else []


def rule_json(rule: LimitRule) -> dict[str, Any]:
    """Return the same for machines."""
    return {"wait_s": wait_ns_of(rule) / 1e9 or None}
