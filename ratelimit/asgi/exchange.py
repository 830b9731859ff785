"""The response side of one request: the server's `send`, and what the application may ask.

The application finds it at `scope["ratelimit"]`:

    decision = scope["ratelimit"].decision           # verdicts, remaining, …
    scope["ratelimit"].settle(output_tokens=812)     # the real cost, once it is known
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Protocol

from starlette.types import Message, Send

from ratelimit.asgi.headers import HeaderWriter, Pair
from ratelimit.asgi.problem import STORE_WAIT_NS, problem_of, quota_exceeded
from ratelimit.charge import Charge
from ratelimit.core.engine import Outcome
from ratelimit.decision import Decision, Reason
from ratelimit.limiter import Limiter
from ratelimit.route_plan import RoutePlan


class Mounted(Protocol):
    """What an exchange needs of the middleware it came through."""

    limiter: Limiter
    writer: HeaderWriter


class Exchange:
    """One limited request under way.

    One object per request, and no closure: it is the decision's holder, the settlement's
    handle and the `send` that adds headers.

    Args:
        send: the server's.
        mounted: the middleware.
        plan, outcome: what decided; None when it was not limits.
        now_ns: when it was decided.
        cross_origin: non-zero when the request has an Origin header.
        outer: the exchange of another limiter around this one.
    """

    __slots__ = ("_decision", "_now_ns", "_outcome", "_plan", "_send", "cross_origin", "mounted", "outer")

    _decision: Decision

    def __init__(
        self,
        send: Send,
        mounted: Mounted,
        plan: RoutePlan | None,
        outcome: Outcome | None,
        now_ns: int,
        cross_origin: int,
        outer: Exchange | None,
    ) -> None:
        self._send = send
        self.mounted = mounted
        self._plan = plan
        self._outcome = outcome
        self._now_ns = now_ns
        self.cross_origin = cross_origin
        self.outer = outer
        # `_decision` stays unset until somebody asks: most requests never do.

    def send(self, message: Message) -> Awaitable[None]:
        """Send a message to the server; the response's start gets the limits' headers.

        A plain function that returns the server's own awaitable: half of what a closure
        costs, and no frame of ours on the stack while the server waits.
        """
        if message["type"] == "http.response.start":
            # A new message and a new list: applications keep constant ones and send them again.
            message = {**message, "headers": self.announced(message.get("headers", ()))}
        return self._send(message)

    def announced(self, headers: Iterable[Pair]) -> list[Pair]:
        """Return a response's headers with what is to be said of the limits after them."""
        plan, outcome = self._plan, self._outcome
        if plan is None or outcome is None:
            return list(headers)
        writer = self.mounted.writer
        if self.cross_origin or not writer.is_standard or plan.labels is None:
            return writer.add(headers, plan, outcome, self._now_ns, cross_origin=self.cross_origin != 0)
        field = outcome.ratelimit_field(plan.labels)
        return [*headers, plan.policy_pair, (b"ratelimit", field)] if field else list(headers)

    def refusal(self) -> tuple[int, bytes, int | None]:
        """Return status, body and wait in nanoseconds for a refused request.

        A refused client is often one of many, so a refusal by limits is written straight
        from the outcome; the decision and its verdicts are only made for who asks.
        """
        plan, outcome = self._plan, self._outcome
        if plan is None or outcome is None:
            decision = self.decision
            return *problem_of(decision), STORE_WAIT_NS if decision.reason is Reason.STORE else None
        at = outcome.binding
        wait_ns = outcome.retry_after_ns(at)
        body = quota_exceeded(plan.violated(outcome), plan.rules[at].name, wait_ns if wait_ns >= 0 else None)
        return 429, body, wait_ns if wait_ns >= 0 else None

    @property
    def decision(self) -> Decision:
        """What was decided of this request."""
        try:
            return self._decision
        except AttributeError:
            pass
        if self._plan is None or self._outcome is None:
            decision = Decision(True, Reason.UNLIMITED)
        else:
            charge = Charge(self._plan, self._outcome, self.mounted.limiter.clock)
            decision = Decision(self._outcome.allowed, Reason.LIMITS, charge)
        self._decision = decision
        return decision

    @decision.setter
    def decision(self, decision: Decision) -> None:
        self._decision = decision

    def settle(self, units: Mapping[str, int] | None = None, /, **more: int) -> None:
        """Report what was really used: see `Decision.settle`. Reaches every limiter around."""
        self.decision.settle(units, **more)
        if self.outer is not None:
            self.outer.settle(units, **more)
