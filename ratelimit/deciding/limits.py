"""The stages of every policy: which limits apply, of which actor the account is, what must be there."""

from __future__ import annotations

from ratelimit.deciding.compiled import ROUTE
from ratelimit.deciding.stage import Decided, Deciding, Pending, Rest, Stage
from ratelimit.decision import Reason
from ratelimit.errors import StoreError
from ratelimit.identity.fact import ABSENT, REFUSED


class Picking(Stage):
    """Picks the limits of a request. Without one it is allowed, with too many refused."""

    name = "limits"
    is_early = True
    is_compiled = True

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request by the limits that apply."""
        plan = pending.matched.plan_for(pending.row)
        if plan is None:
            is_crowded = pending.matched.is_crowded
            return not is_crowded, Reason.LIMITS if is_crowded else Reason.UNLIMITED, None, None
        pending.plan = plan
        return (yield from rest(pending))


class Recognising(Stage):
    """Puts the actor into the row, and shows the correlator what limits decided."""

    name = "actor"
    is_early = True
    is_compiled = True

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request with its actor."""
        recognition = pending.bound.recognition
        if recognition is None:
            return (yield from rest(pending))
        recognition.fill(pending.row)
        decided = yield from rest(pending)
        allowed, _, plan, outcome = decided
        # The correlator has seen a request of a route if a limit of the middleware decided it.
        if pending.charges and pending.asker != ROUTE and plan is not None and outcome is not None:
            recognition.observe(pending.row, not allowed, pending.now_ns, plan.counted_at)
        return decided


class Requiring(Stage):
    """Refuses a request that lacks an identity which a limit insists on."""

    name = "required identities"
    is_early = True
    is_compiled = True

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request with all that its limits count by."""
        row = pending.row
        if REFUSED in row:
            if any(row[position] == REFUSED for position in pending.plan.required):
                return False, Reason.IDENTITY, None, None
            # No limit of this request asks for it.
            pending.row = [ABSENT if identity == REFUSED else identity for identity in row]
        return (yield from rest(pending))


class Compiled(Stage):
    """Asks the compiled decider, where a stage has to decide before it: a request is held or shed first."""

    name = "compiled"
    is_compiled = True

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request in one call, or pass it on."""
        decider = pending.bound.decider
        if decider is not None and pending.charges:
            decided = decider.decide_row(
                pending.matched, pending.row, pending.now_ns, pending.costs, pending.asker
            )
            if decided is not None:
                pending.is_counted = True
                return decided
        return (yield from rest(pending))


def by_plan(pending: Pending, chain: Rest | None = None) -> Deciding:
    """Decide a request by the stages of its plan; what the store does not answer, by each limit's stance.

    Args:
        pending: the request.
        chain: in place of the plan's own.
    """
    try:
        decided: Decided = yield from (pending.plan.chain if chain is None else chain)(pending)
    except StoreError as error:
        pending.fault = error
        return not pending.plan.closes_on_error, Reason.STORE, None, None
    return decided
