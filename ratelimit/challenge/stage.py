"""Limits that challenge (`on_refusal`): which of a plan refuse, and what remembers what was passed.

Theory of operation. A request that nothing but such limits refuses is not refused yet. If its caller passed
the challenge of late, the limits are asked again, and those that challenge refuse nothing. Else the
application's hook is asked for this request (`hook`).

What was passed is remembered as a bucket of one unit in half an hour, empty from now on. So it lies where
counters lie, under a keyed hash and bounded as they are, and all workers and hosts know of it.
It is the caller's: of a limit per cluster the account's, not that of all its members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ratelimit.challenge.hook import ChallengeHook
from ratelimit.core.algorithms.rule import Rule
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.part import Host, Part
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Deciding, Draft, Effects, Feature, Look, Pending, Rest, Stage
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.contract import AnyPlan, Outcome, Store, alone, check_algorithms, refused_by

REMEMBERED_NS = 30 * 60 * 1_000_000_000
"""The time for which a challenge that was passed counts."""
COUNTER_PASSED = "\x1fpassed"
"""What the counters of passed challenges are called; not exported."""


def pass_plan(rule: LimitRule, compiled: CompiledPolicy, store: Store) -> AnyPlan:
    """Return what remembers that a caller passed a limit's challenge: a bucket that is empty meanwhile."""
    spec, per = compiled.correlation, rule.per
    if rule.is_clustered and spec is not None:
        # One account that passed does not speak for the others of its cluster.
        per = tuple(dict.fromkeys((*(at for at in per if at != rule.actor_at), *spec.principal)))
    salt = store.hasher.tuple(b"passed", *rule.salt_parts)
    core = Rule(COUNTER_PASSED, "token-bucket", quota=1, period_ns=REMEMBERED_NS, salt=salt)
    check_algorithms(store, [(rule.name, core.algorithm)])
    return store.plan([core], [per], [-1], [-1], [rule.on_store_error])


class Challenges(Feature):
    """The limits of one bound policy that challenge.

    Args:
        bound: the policy.
        hook: asks the application.
    """

    def __init__(self, bound: BoundPolicy, hook: ChallengeHook) -> None:
        self._bound = bound
        self._hook = hook

    def stage_of(self, draft: Draft) -> Stage | None:
        """Return the challenge of a plan; None where none of its limits challenges, or one was passed."""
        challenging = [
            at
            for at, rule in enumerate(draft.rules)
            if rule.following.asks and not rule.shadow and not rule.is_lowered
        ]
        if not challenging or draft.variant.waived:
            return None

        def waived(at: tuple[int, ...]) -> RoutePlan:
            return draft.make(replace(draft.variant, waived=at))

        return ChallengeStage(len(draft.rules), self.passes_of(draft.rules, challenging), waived)

    def may_hold(self, rule: LimitRule) -> bool:
        """Return whether the application may be asked because of a rule."""
        return rule.asks

    def passes_of(self, rules: Sequence[LimitRule], at: Iterable[int]) -> Passes:
        """Return what asks for the challenges of the rules at some positions, and remembers them."""
        bound = self._bound
        plans = {one: pass_plan(rules[one], bound.compiled, bound.store) for one in at}
        return Passes(plans, self._hook, bound)


class Passes:
    """The challenges of some limits of one plan: what was passed of late, or is passed now.

    Args:
        plans: by position, the plan that remembers what was passed.
        hook: asks the application.
        bound: the policy.
    """

    __slots__ = ("_bound", "_hook", "plans")

    def __init__(self, plans: Mapping[int, AnyPlan], hook: ChallengeHook, bound: BoundPolicy) -> None:
        self.plans = plans
        self._hook = hook
        self._bound = bound

    def are_passed(self, at: Sequence[int], pending: Pending, seen: Outcome) -> Effects[bool]:
        """Return whether the caller passed these, of late or now. A peek asks the application for nothing.

        Args:
            at: positions.
            pending, seen: the request, and what its limits said.
        """
        unpassed = []
        for one in at:
            is_empty: Outcome = yield Look(self.plans[one], pending.row, pending.now_ns, False)
            if is_empty.allowed:
                unpassed.append(one)
        if not unpassed:
            return True
        if not pending.charges or not (yield from self._hook.passes(self._bound, pending, seen)):
            return False
        for one in unpassed:
            yield Look(self.plans[one], pending.row, pending.now_ns, True)
        return True


class ChallengeStage(Stage):
    """Asks for a step-up where only limits of a plan that challenge have no room.

    Args:
        count: how many rules the plan has.
        passes: of the rules that challenge.
        waived: makes the plan in which limits at some positions refuse nothing.
    """

    name = "challenge"

    def __init__(self, count: int, passes: Passes, waived: Callable[[tuple[int, ...]], RoutePlan]) -> None:
        self._count = count
        self._passes = passes
        self._waived = waived

    @property
    def is_idle(self) -> bool:
        """True if a request that has room may go on: always."""
        return True

    def refusing(self, outcome: Outcome) -> tuple[int, ...]:
        """Return the positions of those that refuse; none where another limit refuses, too."""
        return alone(refused_by(outcome, self._count), self._passes.plans)

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request; if its challenge was passed, without the limits that challenge."""
        if pending.plan.away is None:
            seen: Outcome = yield pending.look()
            waived = yield from self._passed(pending, seen)
            if waived is None:
                return (yield from rest(pending))
            return (yield from pending.by(waived))
        # A question to a server takes a while: most requests are answered by the first.
        decided = yield from rest(pending)
        waived = None if decided[3] is None else (yield from self._passed(pending, decided[3]))
        return decided if waived is None else (yield from pending.by(waived))

    def _passed(self, pending: Pending, seen: Outcome) -> Effects[RoutePlan | None]:
        """Return the plan without the limits that challenge; None unless only they refuse, and are passed."""
        at = self.refusing(seen)
        if not at or not (yield from self._passes.are_passed(at, pending, seen)):
            return None
        return self._waived(at)


class ChallengePart(Part):
    """The challenges of one limiter: the hook that the application gave it."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.hook = ChallengeHook(host.hooks.get("challenge"), host.clock, host.diagnose)

    def features(self, bound: BoundPolicy) -> Iterator[Challenges]:
        """Yield the limits of a policy that challenge."""
        yield Challenges(bound, self.hook)


PART = ChallengePart
