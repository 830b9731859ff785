"""The application's hook for limits that challenge, asked about one request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ratelimit.clock import Clock
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.charge import Charge
from ratelimit.deciding.decider import actor_in
from ratelimit.deciding.stage import UNAWAITED, Call, Effects, Pending
from ratelimit.deciding.visit import Visit
from ratelimit.decision import Decision, Reason
from ratelimit.stores.contract import Outcome

Challenge = Callable[[Any, Decision], Any]
"""The application's hook: given the request and the refusal, returns True if a step-up was passed.

In ASGI the request is the scope, in WSGI the environment; of `Limiter` it is a mapping like a scope, with
`identities` by name. It may return an awaitable. In ASGI, an application in place of True is the answer
that asks for the step-up. Anything else is the ordinary refusal.
"""


class ChallengeHook:
    """The application's hook, asked about requests.

    Args:
        challenge: the hook; None: there is none.
        clock: says when a charge is settled.
        diagnose: told of a hook that is missing, fails, or would have to be awaited.
    """

    __slots__ = ("_clock", "_diagnose", "challenge")

    def __init__(self, challenge: Challenge | None, clock: Clock, diagnose: Callable[..., None]) -> None:
        self.challenge = challenge
        self._clock = clock
        self._diagnose = diagnose

    def passes(self, bound: BoundPolicy, pending: Pending, outcome: Outcome) -> Effects[bool]:
        """Return whether the application lets the caller of a refused request pass.

        What it returns in place of True is left in the visit, as the answer to the refusal.
        """
        request, hook = pending.visit.request, self.challenge
        if request is None:
            return False  # the door has nothing to show the hook
        if hook is None:
            self._diagnose("challenge-missing")
            return False
        charge = Charge(pending.plan, outcome, self._clock)
        refusal = Decision(False, Reason.LIMITS, charge, *actor_in(bound, pending.row))
        try:
            found = yield Call(partial(hook, request, refusal))
        except Exception as error:
            self._diagnose("challenge-failed", about=f"({type(error).__name__})")
            return False
        if found is UNAWAITED:
            self._diagnose("challenge-unawaited")
            return False
        # True and nothing like it: a response or a string that a hook returns by mistake lets none pass.
        if found is True:
            return True
        pending.visit.answer = found
        return False


def responder_of(visit: Visit) -> Callable[[Any, Decision], Awaitable[Any]] | None:
    """Return what answers a refusal with the application that the hook returned; None if it returned none."""
    answer = visit.answer
    if not callable(answer):
        return None

    async def respond(request: Any, decision: Decision) -> Any:
        return answer

    return respond
