"""A decision as an application sees it: the one place where every door makes it of what was decided."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.clock import Clock
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.charge import Charge, DecidedRow, in_flight
from ratelimit.deciding.decider import actor_in
from ratelimit.deciding.stage import Decided
from ratelimit.deciding.visit import Visit
from ratelimit.decision import Decision
from ratelimit.verdict import Flight


def decision_of(
    bound: BoundPolicy,
    decided: Decided,
    row: Sequence[int],
    now_ns: int,
    clock: Clock,
    visit: Visit | None = None,
    *,
    is_charged: bool = True,
    flight: Flight | None = None,
) -> Decision:
    """Return the decision of a request.

    Args:
        bound: the policy that decided.
        decided: what it decided.
        row: the request's identities, with its actor.
        now_ns: when.
        clock: says when its costs are settled.
        visit: the request as its door knows it; None where it could not wait.
        is_charged: whether what limits allowed was charged.
        flight: its place before a back end, where the decision is to give it back.
    """
    allowed, reason, plan, outcome = decided
    ledger = None
    if plan is not None and outcome is not None:
        units = in_flight(plan, outcome, clock) if is_charged else None
        ledger = Charge(plan, outcome, clock, DecidedRow(bound.watch, list(row), now_ns), flight=units)
    retry_ns, waited_ns = (None, 0) if visit is None else (visit.retry_ns, visit.waited_ns)
    return Decision(
        allowed,
        reason,
        ledger,
        *actor_in(bound, row),
        None if ledger is not None else retry_ns,
        waited_ns=waited_ns,
        flight=flight,
    )
