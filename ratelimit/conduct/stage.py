"""Conduct as a feature of a policy: limits that fall with strikes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from ratelimit.challenge.stage import ChallengePart, Challenges
from ratelimit.conduct.compile import ConductSpec, Ramp, ramp_of
from ratelimit.conduct.conduct import MOST_NEWS, Conduct, key_of
from ratelimit.conduct.guards import StrikeGuard
from ratelimit.conduct.lowered import Lowered, falls
from ratelimit.conduct.memory import SharedConduct
from ratelimit.conduct.model.strikes import News
from ratelimit.conduct.ramps import Ramps, Rising
from ratelimit.conduct.steps import StepsStage, steps_of
from ratelimit.core.sharing.conduct import ConductMemory
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.part import Host, Part
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Deciding, Draft, Feature, Pending, Rest, Stage
from ratelimit.decision import Reason
from ratelimit.features.steps import BY_NAME
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.contract import Store
from ratelimit.stores.factory import is_isolated, open_conduct
from ratelimit.waiting.hold_queue import HoldQueue
from ratelimit.waiting.stage import WaitingPart


class Adapting(Feature):
    """The limits of one bound policy that fall with strikes.

    Args:
        bound: the policy.
        conduct: what is known of accounts.
        challenges: asks for step-ups, as steps of limits do.
        hold: holds requests, as steps of limits do.
    """

    def __init__(self, bound: BoundPolicy, conduct: Conduct, challenges: Challenges, hold: HoldQueue) -> None:
        self.conduct = conduct
        self.stage = AdaptingStage(bound, conduct)
        self._bound = bound
        self._challenges = challenges
        self._hold = hold
        self.specs = {
            rule.name: spec for rule in bound.compiled.rules if (spec := rule.spec(ConductSpec)) is not None
        }
        """What each limit reads of conduct, by its name."""

    def factor(self, row: Sequence[int], now_ns: int) -> float:
        """Return what is left of the limits of a row, at the worst of them."""
        standing = self.conduct.standing(
            self._bound.payer(row), key_of(row, self._bound.compiled.cluster), now_ns
        )
        return min(standing.factor, self.conduct.factor(self.specs.values(), row, now_ns))

    def stage_of(self, draft: Draft) -> Stage | None:
        """Return what becomes of requests that only conduct leaves no room for; None: they are refused."""
        if not isinstance(draft.variant, Lowered):
            return None
        steps = steps_of(draft, draft.variant)
        if not steps:
            return None
        return StepsStage(draft, draft.variant, steps, self.conduct, self._challenges, self._hold)

    def may_hold(self, rule: LimitRule) -> bool:
        """Return whether a request may be held for a while, whatever room it has."""
        return not rule.shadow and any(BY_NAME[step].effect == "holds" for step in rule.on_refusal)


class AdaptingStage(Stage):
    """Lowers limits by conduct, and takes notice of what they decide.

    Args:
        bound: the policy.
        conduct: what is known of accounts.
    """

    name = "conduct"
    is_early = True
    is_compiled = True

    def __init__(self, bound: BoundPolicy, conduct: Conduct) -> None:
        self._at = sorted({at for rule in bound.compiled.rules for at in _counted(rule)})
        self.guard = StrikeGuard(conduct, self._at)
        self._bound = bound
        self._conduct = conduct

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request by limits as conduct leaves them."""
        account, cluster = pending.account, key_of(pending.row, self._bound.compiled.cluster)
        pending.plan = self._scaled(pending.plan, pending.row, account, cluster, pending.now_ns)
        decided = yield from rest(pending)
        _, reason, plan, outcome = decided
        if pending.charges and reason is Reason.LIMITS and plan is not None and outcome is not None:
            if cluster:
                self._conduct.joined(account, cluster, pending.now_ns)
            if not outcome.allowed:
                self._conduct.refused(pending.row, pending.now_ns, plan, outcome)
        return decided

    def _scaled(
        self, plan: RoutePlan, row: Sequence[int], account: int, cluster: int, now_ns: int
    ) -> RoutePlan:
        """Return the plan to ask for an account of a cluster (0: of none)."""
        marked = self._conduct.memory.marked
        if not plan.varies or not any(map(marked, {account, cluster, *(max(0, row[at]) for at in self._at)})):
            return plan
        standing = self._conduct.standing(account, cluster, now_ns)
        lowered = self._conduct.lowered(plan, row, standing, now_ns)
        return plan if lowered is None else self._bound.variant(plan, lowered)


def _counted(rule: LimitRule) -> tuple[int, ...]:
    """Return the identities by which refusals of a rule earn strikes."""
    spec = rule.spec(ConductSpec)
    return spec.by if spec is not None else ()


def factor_of(bound: BoundPolicy, row: Sequence[int], now_ns: int) -> float:
    """Return what conduct leaves of a row's limits at the worst of them, from 0.1 to 1."""
    adapting = bound.find(Adapting)
    return 1.0 if adapting is None else adapting.factor(row, now_ns)


def conduct_of(bound: BoundPolicy) -> Conduct | None:
    """Return what is known of the conduct of a policy's accounts; None where no limit falls with strikes."""
    adapting = bound.find(Adapting)
    return None if adapting is None else adapting.conduct


class ConductPart(Part):
    """What one limiter knows of the conduct of accounts, and of their steep rises.

    Args:
        host: the limiter.
        conduct, ramps: return what is known of both, in place of this host's own memory.
    """

    def __init__(
        self,
        host: Host,
        conduct: Callable[[], Conduct] | None = None,
        ramps: Callable[[Ramp], Ramps] | None = None,
    ) -> None:
        super().__init__(host)
        self.news: deque[News] = deque(maxlen=MOST_NEWS)
        """What struck here and other hosts have not been told."""
        self._opened: list[tuple[Store, SharedConduct]] = []
        self._conduct = conduct
        self._ramps = ramps
        if host.is_enabled:
            self._conduct, self._ramps = self._own_conduct, self._own_ramps

    def features(self, bound: BoundPolicy) -> Iterator[Feature]:
        """Yield the limits of a policy that fall with strikes, and its steep rises."""
        hold = self.host.part(WaitingPart).hold
        is_used = any(falls(rule) and not rule.shadow for rule in bound.compiled.rules)
        if self._conduct is not None and is_used:
            challenges = Challenges(bound, self.host.part(ChallengePart).hook)
            yield Adapting(bound, self._conduct(), challenges, hold)
        ramp = ramp_of(bound.compiled)
        if self._ramps is not None and ramp is not None:
            yield Rising(self._ramps(ramp), hold)

    @property
    def looks(self) -> Sequence[Callable[[], str | None]]:
        """What renews the memory of conduct."""
        return [shared.renew for home, shared in self._opened if home is self.host.home]

    def close(self) -> None:
        """Let go of the memory."""
        for _, shared in self._opened:
            shared.close()

    def _memory(self) -> ConductMemory:
        host = self.host
        for home, shared in self._opened:
            if home is host.home:
                return shared.memory
        self._opened.append((host.home, open_conduct(host.policy, host.store)))
        return self._opened[-1][1].memory

    def _own_conduct(self) -> Conduct:
        has_others = self.host.policy.compiled.remote is not None and not is_isolated()
        return Conduct(self._memory(), self.host.table, self.news if has_others else None)

    def _own_ramps(self, spec: Ramp) -> Ramps:
        return Ramps(spec, self._memory(), self.host.table)


PART = ConductPart
