"""The budget of an answer under way: whether the limits that would cut it still have room."""

from __future__ import annotations

from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.limiter import Limiter
from ratelimit.stores.contract import ALLOWED, Outcome, correct
from ratelimit.usage.reader import Reader
from tests.usage.reference.report import seen_output, usage_so_far
from tests.usage.reference.rules import MeteredRules


class Budget:
    """What an answer may use yet.

    In this host's memory the charge is corrected as the answer goes on, so that streams at the same
    time see each other's. A server is not asked in between. There an answer may use what remained
    when it was admitted, and what the limit has given back since.

    Args:
        metered: which rules cut.
        plan: what was asked.
        outcome: what was charged on arrival.
        limiter: its clock says when.
        model: what the request asked for.
    """

    __slots__ = ("_allowed", "_begin_ns", "_least", "_limiter", "_metered", "_model", "_outcome", "_plan")

    def __init__(
        self,
        metered: MeteredRules,
        plan: RoutePlan,
        outcome: Outcome,
        limiter: Limiter,
        model: str | None,
    ) -> None:
        self._model = model
        self._metered = metered
        self._plan = plan
        self._outcome = outcome
        self._limiter = limiter
        self._begin_ns = limiter.now_ns()
        counts_output = all(metered.unit(at) == "output_tokens" for at in metered.cuts)
        self._least = min(outcome.cost(at) for at in metered.cuts) if counts_output else -1
        self._allowed = {at: outcome.cost(at) + outcome.remaining(at) for at in metered.cuts}

    def has_room(self, reader: Reader) -> bool:
        """Return whether what was seen so far leaves room; charges it where it is more than was charged."""
        if not reader.says_usage and seen_output(reader) <= self._least:
            return True  # as most chunks of most answers
        amounts = dict(self._metered.amounts(usage_so_far(reader), self._model, reader.name))
        outcome, plan = self._outcome, self._plan
        for at in self._metered.cuts:
            used = amounts[at]
            if outcome.state(at) != ALLOWED or used <= outcome.cost(at):
                continue
            now_ns = self._limiter.now_ns()
            if plan.here is None:
                rule = plan.rules[at]
                since_ns = max(0, now_ns - self._begin_ns)
                if used > self._allowed[at] + rule.quota * since_ns // rule.period_ns:
                    return False
            else:
                correct(outcome, at, used, now_ns)
                if outcome.remaining(at) == 0:
                    return False
        return True
