"""The application's hook for limits that challenge (`on_refusal`), asked about one request."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from ratelimit.clock import Clock
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.charge import Charge
from ratelimit.deciding.decider import actor_in
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.decision import Decision, Reason
from ratelimit.stores.contract import Outcome

Challenge = Callable[[Any, Decision], Any]
"""The application's hook: given the request and the refusal, returns True if a step-up was passed.

In ASGI the request is the scope, in WSGI the environment; of `Limiter` it is a mapping like a scope, with
`identities` by name. It may return an awaitable. In ASGI, an application in place of True is the answer
that asks for the step-up. Anything else is the ordinary refusal.
"""


class Asking(Protocol):
    """What asks the hook uses: a limiter's runtime."""

    @property
    def clock(self) -> Clock: ...
    @property
    def challenge(self) -> Challenge | None: ...
    @property
    def diagnose(self) -> Callable[..., None]: ...


class Challenger:
    """Asks the application about one request. Implements `steps.StepUp`.

    Args:
        runtime: the limiter's.
        bound: the policy.
        request: what the hook is given first.
    """

    __slots__ = ("_bound", "_request", "_runtime", "answer")

    def __init__(self, runtime: Asking, bound: BoundPolicy, request: Any) -> None:
        self._runtime = runtime
        self._bound = bound
        self._request = request
        self.answer: Any = None
        """What the hook returned in place of True."""

    async def passes(self, plan: RoutePlan, outcome: Outcome, row: Sequence[int]) -> bool:
        """Return whether the application lets the caller of a refused request pass."""
        try:
            found = self._asked(plan, outcome, row)
            if inspect.isawaitable(found):
                found = await found
        except Exception as error:
            return self._failed(error)
        return self._judged(found)

    def passes_now(self, plan: RoutePlan, outcome: Outcome, row: Sequence[int]) -> bool:
        """Return the same where nothing can be awaited; a hook that has to be lets none pass."""
        try:
            found = self._asked(plan, outcome, row)
        except Exception as error:
            return self._failed(error)
        if inspect.isawaitable(found):
            if inspect.iscoroutine(found):
                found.close()
            self._runtime.diagnose("challenge-unawaited")
            return False
        return self._judged(found)

    @property
    def responder(self) -> Callable[[Any, Decision], Awaitable[Any]] | None:
        """What answers the refusal with the application that the hook returned; None if it returned none."""
        answer = self.answer
        if not callable(answer):
            return None

        async def respond(request: Any, decision: Decision) -> Any:
            return answer

        return respond

    def _asked(self, plan: RoutePlan, outcome: Outcome, row: Sequence[int]) -> Any:
        hook = self._runtime.challenge
        if hook is None:
            self._runtime.diagnose("challenge-missing")
            return False
        charge = Charge(plan, outcome, self._runtime.clock)
        return hook(self._request, Decision(False, Reason.LIMITS, charge, *actor_in(self._bound, row)))

    def _judged(self, found: Any) -> bool:
        # True and nothing like it: a response or a string that a hook returns by mistake lets none pass.
        if found is True:
            return True
        self.answer = found
        return False

    def _failed(self, error: Exception) -> bool:
        self._runtime.diagnose("challenge-failed", about=f"({type(error).__name__})")
        return False
