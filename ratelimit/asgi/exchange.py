"""One limited request, as the application finds it at `scope["ratelimit"]`:

decision = scope["ratelimit"].decision           # verdicts, remaining, …
scope["ratelimit"].settle(output_tokens=812)     # the real cost, once it is known
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ratelimit.asgi.gate import Passage
from ratelimit.asgi.headers import Pair
from ratelimit.asgi.problem import STORE_WAIT_NS, problem_of, quota_exceeded
from ratelimit.charge import Charge
from ratelimit.decision import Decision, Reason


class Exchange(Passage):
    """One limited request under way: what was decided, and what may still be said of it."""

    __slots__ = ("_decision",)

    # Stays unset until somebody asks: most requests never do.
    _decision: Decision

    def written(self, headers: Iterable[Pair], /) -> list[Pair]:
        """Return a response's headers with all that the policy asks for after them."""
        plan, outcome = self.plan, self.outcome
        if plan is None or outcome is None:
            return list(headers)
        return self.writer.add(headers, plan, outcome, self.now_ns, cross_origin=self.cross_origin)

    def refusal(self) -> tuple[int, bytes, int | None]:
        """Return status, body and wait in nanoseconds for a refused request.

        A refused client is often one of many, so a refusal by limits is written straight
        from the outcome; the decision and its verdicts are only made for who asks.
        """
        plan, outcome = self.plan, self.outcome
        if plan is None or outcome is None:
            decision = self.decision
            return *problem_of(decision), STORE_WAIT_NS if decision.reason is Reason.STORE else None
        at = outcome.binding
        wait_ns = outcome.retry_after_ns(at)
        body = quota_exceeded(
            plan.violated(outcome),
            plan.rules[at].name,
            wait_ns if wait_ns >= 0 else None,
            is_abnormal=at in plan.abnormal,
        )
        return 429, body, wait_ns if wait_ns >= 0 else None

    @property
    def is_allowed(self) -> bool:
        """Whether the request goes on to the application."""
        return self.decision.allowed if self.outcome is None else self.outcome.allowed

    @property
    def decision(self) -> Decision:
        """What was decided of this request."""
        try:
            return self._decision
        except AttributeError:
            pass
        if self.plan is None or self.outcome is None:
            decision = Decision(True, Reason.UNLIMITED)
        else:
            charge = Charge(self.plan, self.outcome, self.mounted.limiter.clock)
            decision = Decision(self.outcome.allowed, Reason.LIMITS, charge)
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
