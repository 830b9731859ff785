"""Waiting as a feature of a policy: the stage of limits that say `wait`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.part import Host, Part
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Deciding, Draft, Feature, Pending, Rest, Stage
from ratelimit.decision import Reason
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.contract import Outcome
from ratelimit.waiting.compile import Queues, queue_of, wait_ns_of
from ratelimit.waiting.hold_queue import HoldQueue
from ratelimit.waiting.limit_queue import LimitQueue
from ratelimit.waiting.loop_lines import Result
from ratelimit.waiting.metrics import count_wait
from ratelimit.waiting.rules import WaitingRules, waiting_rules


class Waiting(Feature):
    """Requests of one bound policy that wait for room in limits.

    Args:
        bound: the policy.
        queue: where they wait.
    """

    def __init__(self, bound: BoundPolicy, queue: LimitQueue) -> None:
        self._bound = bound
        self._spec = queue_of(bound.compiled)
        self._queue = queue

    def stage_of(self, draft: Draft) -> Stage | None:
        """Return the line of a plan; None where none of its limits lets requests wait."""
        rules = waiting_rules(draft.rules, self._spec)
        return None if rules is None else WaitingStage(rules, self._queue)

    def may_hold(self, rule: LimitRule) -> bool:
        """Return whether requests may wait for a rule."""
        return bool(wait_ns_of(rule))

    def principal(self, row: Sequence[int]) -> Hashable:
        """Return the principal that a row's request waits as."""
        return self._bound.payer(row) if self._spec is None else self._spec.principal(row, 0)


class WaitingStage(Stage):
    """Lets the requests of one plan wait for room.

    Args:
        rules: which of its limits let requests wait.
        queue: where they do.
    """

    name = "waiting"

    def __init__(self, rules: WaitingRules, queue: LimitQueue) -> None:
        self.rules = rules
        self._queue = queue
        self.counts_shadows = bool(rules.shadows)

    @property
    def is_idle(self) -> bool:
        """True if nothing waits, so that a request with room goes on at once."""
        return self._queue.is_idle

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request when it has room, or no longer may wait for it."""
        if not (pending.charges and pending.can_wait):
            return rest(pending)
        return self._queue.here().decide(pending, self.rules, rest)

    def freed(self, plan: RoutePlan, outcome: Outcome) -> None:
        """Wake the next of the lines that an outcome gave something back to."""
        self._queue.freed(self.rules, outcome)


def rules_of(plan: RoutePlan) -> WaitingRules | None:
    """Return what is known of a plan's limits that let requests wait; None where none does."""
    stage = plan.find(WaitingStage)
    return None if stage is None else stage.rules


class WaitingPart(Part):
    """The requests of one limiter that wait.

    Args:
        host: the limiter.
    """

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        now_ns = host.clock.now_ns
        self.queue = LimitQueue(now_ns, self._count, lambda limit: host.counters.acted(limit))
        """Requests that wait for room in limits."""
        self.hold = HoldQueue(now_ns)
        """Requests that are held for a while."""

    def _count(self, result: Result, waited_ns: int) -> None:
        count_wait(self.host.counters, result, waited_ns)

    def features(self, bound: BoundPolicy) -> Iterator[Waiting]:
        """Yield the lines of a policy, and bound them as it says."""
        queues = bound.compiled.spec(Queues)
        if queues is not None and not bound.is_asked:
            self.hold.bound_to(queues.total)
        if queues is not None and queues.limits is not None:
            limits = queues.limits
            self.queue.bound_by(
                limits.per_principal, limits.total, tuple(each.weight for each in limits.classes)
            )
        yield Waiting(bound, self.queue)

    def refuse_waiting(self) -> None:
        """Refuse what waits, and count it here: soon there may be nothing to count in."""
        for _ in range(self.queue.close()):
            self._count("closed", 0)
            self.host.counters.decided(False, Reason.STORE)
        for _ in range(self.hold.close()):
            self.host.counters.decided(False, Reason.STORE)


PART = WaitingPart
