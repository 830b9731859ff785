"""The rules that apply to one kind of request, ready to be asked and to be told of.

All that can be worked out before a request comes is worked out here, once. It is the core's plan,
what each rule takes on arrival, and the fields that responses carry.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal, Protocol, TypeVar, cast

from ratelimit.algorithms import OF_MEMBERS, OF_SLOTS, OF_UNITS, PREPAID
from ratelimit.core.decision import engine
from ratelimit.core.redis.lease import LeasedRules
from ratelimit.decision import Verdict
from ratelimit.errors import UsageError
from ratelimit.features.steps import BY_NAME, FirstStep, MildStep
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.contract import (
    ALLOWED,
    REFUSED,
    SHADOWED,
    SKIPPED,
    AnyPlan,
    AwaitedPlan,
    Outcome,
    Plan,
    correct,
    refused_by,
)
from ratelimit.usage.prices import NO_PRICES, PriceList
from ratelimit.usage.pricing import USD
from ratelimit.usage.rules import metered
from ratelimit.usage.unsettled import Estimated

S = TypeVar("S")
NO_STAND_INS: Mapping[int, int] = {}
NO_STEPS_TAKEN: Mapping[int, MildStep] = {}
MAX_COST = 2**31 - 1

_SECOND_NS = 1_000_000_000
_LONGEST_RANGE_NS = 3600 * _SECOND_NS
_SHORTEST_RANGE_NS = 2 * _SECOND_NS


class PlanStage(Protocol):
    """The part of its stages that a plan knows: see `stage.Stage`."""

    @property
    def is_compiled(self) -> bool: ...
    @property
    def picker(self) -> Any: ...
    @property
    def notes(self) -> Any: ...
    @property
    def instead(self) -> Any: ...
    @property
    def is_idle(self) -> bool: ...
    @property
    def counts_shadows(self) -> bool: ...
    def freed(self, plan: RoutePlan, outcome: Outcome, /) -> None: ...


def _undecided(pending: Any) -> Generator[Any, Any, Any]:
    raise AssertionError("this plan was made for its numbers")


class RoutePlan:
    """A plan and the policy's rules it was made of, index by index.

    Args:
        plan: the store's plan.
        rules: its rules.
        required: positions where REFUSED refuses a request.
        hidden: positions of rules that count others together with the caller: limits per cluster. Their
            numbers are not its own, and that one applies tells it that it was recognised.
        abnormal: positions of those with a refusal that says that abnormal usage was detected, which the
            policy has to ask for.
        counted_at: the position of the identity that its limits per cluster count by, -1 without any.
        prices: what models cost, for rules in dollars.
        lackable: identities that a request may lack, so that limits by them do not apply to it.
        stages: what its requests pass before its limits are asked.
        chain: decides by these, and then by the limits.
        may_hold: whether a request may wait, or the application be asked.
        left_out: positions of rules that do not apply, whatever the request.
        factors, waived, stand_ins, steps: how it differs from what the policy says: see `Variant`.
    """

    __slots__ = (
        "_items",
        "abnormal",
        "accelerated",
        "away",
        "chain",
        "charging",
        "closes_on_error",
        "conceals",
        "costs",
        "counted_at",
        "early_costs",
        "estimated",
        "exposed",
        "factors",
        "granting",
        "here",
        "hidden",
        "holds_slots",
        "labels",
        "leased",
        "may_hold",
        "metered",
        "policy_pair",
        "policy_pairs",
        "pricing",
        "problems",
        "range_ns",
        "required",
        "rules",
        "stages",
        "stand_ins",
        "steps",
        "varies",
        "waived",
    )

    def __init__(
        self,
        plan: AnyPlan,
        rules: Sequence[LimitRule],
        *,
        required: Sequence[int] = (),
        hidden: Collection[int] = (),
        abnormal: Collection[int] = (),
        counted_at: int = -1,
        prices: PriceList = NO_PRICES,
        lackable: Collection[int] = (),
        stages: Sequence[PlanStage] = (),
        chain: Callable[[Any], Generator[Any, Any, Any]] | None = None,
        may_hold: bool = False,
        factors: Sequence[float] = (),
        waived: Collection[int] = (),
        left_out: Collection[int] = (),
        stand_ins: Mapping[int, int] = NO_STAND_INS,
        steps: Mapping[int, MildStep] = NO_STEPS_TAKEN,
    ) -> None:
        self.stages = tuple(stages)
        self.chain: Callable[[Any], Generator[Any, Any, Any]] = _undecided if chain is None else chain
        """Decides a request (`stage.Pending`) by the stages, and then by the limits."""
        self.may_hold = may_hold
        self.factors = factors
        self.waived = frozenset(waived)
        self.stand_ins = stand_ins
        self.steps = steps
        self.here: Plan | None = None
        """What decides in this process; None where `away` is awaited."""
        self.away: AwaitedPlan | None = None
        self.accelerated: engine.Plan | None = None
        """The compiled form of `here`."""
        self.leased: LeasedRules | None = None
        """The compiled form of `away`."""
        if plan.decides_here:
            self.here, self.accelerated = plan, plan.accelerated
        else:
            self.away, self.leased = plan, plan.leased
        self.rules = tuple(rules)
        self.required = tuple(required)
        self.hidden = frozenset(hidden)
        self.abnormal = frozenset(abnormal)
        self.counted_at = counted_at
        self.conceals = any(not rules[at].shadow for at in self.hidden - self.abnormal)
        """True if a refusal says when to come back and nothing else, whichever limit it is by.

        One that named the limit, or gave the caller's own numbers, would tell by leaving it out
        that it was by a hidden one.
        """
        self.range_ns = min((own_range_ns(rules[at]) for at in self.hidden), default=0)
        """Below what, and above what half, lies the wait that is told of a refusal by a hidden rule.

        One for all of them: a range that told which one refused would change for a whole cluster at once.
        """
        self.metered = metered(self.rules, MAX_COST, prices)
        """What is done around the answer; None where the application settles whatever there is."""
        self.costs = (
            tuple(rule.estimate for rule in rules) if self.metered is None else self.metered.first_costs()
        )
        """The cost of each rule on arrival, where nothing looks at the request."""
        self.early_costs = self.costs if self.metered is None else self.metered.fewest_costs()
        """The least that each rule takes, whatever the request turns out to be."""
        estimated = [
            at
            for at, rule in enumerate(self.rules)
            if rule.unit_index and not rule.is_beside and not rule.is_lowered and rule.algorithm in OF_UNITS
        ]
        self.estimated = Estimated(self.rules, estimated)
        """Rules that take an estimate of a unit on arrival, which is settled later."""
        self.charging = tuple((at, rule.statuses) for at, rule in enumerate(self.rules) if rule.statuses)
        """Rules that are charged for some statuses alone, and which: the others give their units back."""
        self.exposed = tuple(at for at, rule in enumerate(self.rules) if rule.is_exposure)
        """Rules that count what a request may use until it ends."""
        self.granting = tuple(at for at, rule in enumerate(self.rules) if rule.grants)
        """Rules of output tokens that took what a request may use at most."""
        self.pricing = tuple(
            at
            for at, rule in enumerate(self.rules)
            if rule.metering is not None and rule.metering.refuses_unknown
        )
        """Rules in dollars that refuse a model without a price."""
        self.holds_slots = any(rule.algorithm in OF_SLOTS for rule in rules)
        """Whether an allowed request may hold something until it ends."""
        self.varies = any(rule.varies for rule in rules)
        """Whether there are variants with other numbers for any of its limits."""
        self.closes_on_error = any(
            rule.on_store_error == "closed" and not rule.shadow and not rule.following.admits
            for rule in rules
        )
        # What is not enforced is not promised either: shadow rules are in no field.
        told = [
            not (rule.shadow or rule.is_exposure or at in self.hidden or at in stand_ins or at in left_out)
            for at, rule in enumerate(rules)
        ]
        self.labels = tuple(rule.label if is_told else b"" for rule, is_told in zip(rules, told, strict=True))
        """What the core writes the `RateLimit` field with; empty for rules that are left out."""
        self._items = [(at, policy_item(rule)) for at, rule in enumerate(rules) if told[at]]
        self.policy_pairs: dict[int, tuple[bytes, bytes]] = {}
        """`RateLimit-Policy` headers, by the limits that applied, a bit each; the exchange keeps some."""
        self.problems: dict[int, Any] = {}
        """Answers to refusals, by limit and wait; the exchange keeps some that it made."""
        may_skip = any(not {*rules[at].per, rules[at].member}.isdisjoint(lackable) for at, _ in self._items)
        field = b", ".join(item for _, item in self._items)
        self.policy_pair = None if may_skip else (b"ratelimit-policy", field)
        """The `RateLimit-Policy` header; None where it depends on what applied: see `policy_field`."""

    def charge_by_status(self, outcome: Outcome, status: int, now_ns: int) -> None:
        """Give back what limits took that are not charged for the status of an answer."""
        for at, ranges in self.charging:
            if not any(first <= status <= last for first, last in ranges):
                correct(outcome, at, 0, now_ns)
                self.freed(outcome)

    def find(self, kind: type[S]) -> S | None:
        """Return its stage of a kind; None where it has none."""
        return next((stage for stage in self.stages if isinstance(stage, kind)), None)

    def freed(self, outcome: Outcome) -> None:
        """Take note that what an outcome took was given back, in part or whole. From any thread."""
        for stage in self.stages:
            stage.freed(self, outcome)

    def costs_of(self, units: Mapping[str, int] | tuple[int, ...] | None) -> Sequence[int]:
        """Return what each rule takes when some real costs are known on arrival, or all of them by rule.

        Raises:
            UsageError: a cost is no integer from 0 to 2**31 - 1 (code `cost-range`).
        """
        if not units:
            return self.costs
        if isinstance(units, tuple):
            return (*units, *(units[at] for at in self.stand_ins))
        for unit, cost in units.items():
            check_cost(unit, cost)
        return [units.get(rule.unit, cost) for rule, cost in zip(self.rules, self.costs, strict=True)]

    def policy_field(self, outcome: Outcome) -> bytes:
        """Return the value of the `RateLimit-Policy` field: the limits that applied to a request.

        A limit did not apply where the request lacks an identity that it may lack. While the server is away
        the numbers are those of this host's share, which decides then.
        """
        here = None if self.away is None else self.away.quotas_here(outcome)
        if here is not None:
            told = (at for at, _ in self._items if outcome.state(at) != SKIPPED)
            return b", ".join(policy_item(self.rules[at], here[at]) for at in told)
        if self.policy_pair is not None:
            return self.policy_pair[1]
        return b", ".join(item for at, item in self._items if outcome.state(at) != SKIPPED)

    def burst_of(self, outcome: Outcome, at: int) -> int:
        """Return what a rule holds at most: of a host's share, where that decided."""
        is_here = self.away is not None and self.away.quotas_here(outcome) is not None
        return self.away.most_here(at) if self.away is not None and is_here else self.rules[at].burst

    def ratelimit_field(self, outcome: Outcome) -> bytes:
        """Return the value of the `RateLimit` field, empty when no rule is to be told of."""
        if self.conceals and not outcome.allowed:
            return b""
        return outcome.ratelimit_field(self.labels)

    def tightest(self, outcome: Outcome) -> int:
        """Return the index of the rule a client should mind most, -1 when none is to be told of."""
        if self.conceals and not outcome.allowed:
            return -1
        if outcome.binding >= 0 and self.labels[outcome.binding]:
            return outcome.binding
        best, least = -1, float("inf")  # of a balance more than its number may be left
        for index, rule in enumerate(self.rules):
            if not self.labels[index] or outcome.state(index) == SKIPPED:
                continue
            share = outcome.remaining(index) / max(1, rule.burst)
            if share < least:
                best, least = index, share
        return best

    def told_wait_ns(self, outcome: Outcome, account: int, now_ns: int) -> int | None:
        """Return when a refused caller is told to come back, in nanoseconds; None when no wait can help.

        The wait of a hidden rule is the same for all its cluster's members. Two accounts that compare
        theirs would learn that they are taken for one actor. So it is never told. In its place
        stands a wait of the account's own (`own_wait_ns`).

        Args:
            outcome: what was refused.
            account: the caller's principal, as a keyed hash.
            now_ns: when.
        """
        wait_ns = outcome.retry_after_ns(outcome.binding)
        if wait_ns < 0 and outcome.binding not in self.hidden:
            return None
        if wait_ns < 0 and self.rules[outcome.binding].algorithm not in PREPAID:
            return None  # it follows from the request alone
        refusing = refused_by(outcome, len(self.rules))
        if self.exposed:
            wait_ns = max(self._wait_ns(outcome, at) for at in refusing)
        if self.hidden.isdisjoint(refusing):
            return wait_ns
        waits = [self._wait_ns(outcome, at) for at in refusing if at not in self.hidden]
        return max([own_wait_ns(account, self.range_ns, now_ns), *waits])

    def _wait_ns(self, outcome: Outcome, at: int) -> int:
        """Return how long a rule is to be waited for: for what is in flight a second, as for slots."""
        wait_ns = outcome.retry_after_ns(at)
        return min(wait_ns, _SECOND_NS) if at in self.exposed else wait_ns

    def would_refuse(self, outcome: Outcome, position: int) -> bool:
        """Return whether a rule in shadow that counts by the identity at a position had no room."""
        return any(
            outcome.state(at) == SHADOWED and position in rule.per for at, rule in enumerate(self.rules)
        )

    def lacks_price(self, outcome: Outcome) -> bool:
        """Return whether a request was refused since its model has no price."""
        # Then it costs more than the limit holds; any other cost is at most that.
        return any(
            outcome.state(at) == REFUSED and outcome.cost(at) > _holds(self.rules[at]) for at in self.pricing
        )

    def is_used_up(self, outcome: Outcome) -> bool:
        """Return whether a lifetime refused, of which time gives nothing back."""
        return any(self.rules[at].algorithm in PREPAID for at in refused_by(outcome, len(self.rules)))

    def reduced_to(self, outcome: Outcome, at: int) -> int | None:
        """Return the most that a request may ask of a rule while its server is away, if it asked for more.

        This host lets its share of the limit through meanwhile. None where a rule had room, where the whole
        limit does not hold as much either, and where waiting helps or a lifetime is used up.
        """
        rule = self.rules[at]
        if (
            self.away is None
            or outcome.state(at) not in (REFUSED, SHADOWED)
            or outcome.retry_after_ns(at) >= 0
        ):
            return None
        if rule.algorithm in PREPAID:
            return None
        most = self.away.most_here(at)
        return most if most < outcome.cost(at) <= _holds(rule) else None

    def reduced_of(self, outcome: Outcome, at: int) -> tuple[int, int, str] | None:
        """Return of a rule's limit how much a request may ask of it, how much this one asks, and the unit.

        None where the limit is not reduced: see `reduced_to`.
        """
        of = [index for index, rule in enumerate(self.rules) if rule.name == self.rules[at].name]
        asked = [outcome.cost(index) for index in of if self.reduced_to(outcome, index) is not None]
        if not asked or self.away is None:
            return None
        return min(self.away.most_here(index) for index in of), max(asked), self._unit(at)

    def _unit(self, at: int) -> str:
        """Return what a rule counts; what requests in flight may use of a limit, in the limit's own unit."""
        own = self.rules[at]
        return next(rule.unit for rule in self.rules if rule.name == own.name and not rule.is_exposure)

    def violated(self, outcome: Outcome) -> list[str]:
        """Return the names of the rules that refused, without making verdicts of them all."""
        return list(dict.fromkeys(self.rules[at].name for at in refused_by(outcome, len(self.rules))))

    def verdicts(self, outcome: Outcome) -> tuple[Verdict, ...]:
        """Return a verdict for each rule that was not skipped."""
        verdicts = []
        for at, own in enumerate(self.rules):
            if own.is_lowered:
                break  # each is told in the place of its limit
            index = self._told(outcome, at)
            rule, state = self.rules[index], outcome.state(index)
            if self._is_silent(outcome, index):
                continue
            wait_ns = self._wait_ns(outcome, index)
            verdicts.append(
                Verdict(
                    limit=rule.name,
                    allowed=state == ALLOWED,
                    shadow=rule.shadow
                    or (state == SHADOWED and not rule.following.admits and at not in self.waived),
                    unit=self._unit(index),
                    cost=outcome.cost(index),
                    quota=rule.quota,
                    window_ns=rule.period_ns,
                    remaining=outcome.remaining(index),
                    reset_after_ns=outcome.reset_after_ns(index),
                    retry_after_ns=None if wait_ns < 0 else wait_ns,
                    action=self._passing(at) if state == ALLOWED else rule.first,
                    factor=self.factors[at] if self.factors else 1.0,
                    step=self.steps.get(at),
                    reduced_to=None if (less := self.reduced_of(outcome, index)) is None else less[0],
                )
            )
        return tuple(verdicts)

    def _passing(self, at: int) -> Literal["allow", FirstStep]:
        """Return what is said of a limit that has room: what its step tells the application, if it does."""
        step = self.steps.get(at)
        return cast(FirstStep, step) if step is not None and BY_NAME[step].admits else "allow"

    def _is_silent(self, outcome: Outcome, at: int) -> bool:
        """Return whether nothing is said of a rule: it was skipped, or has room for what is in flight."""
        state = outcome.state(at)
        return state == SKIPPED or (state == ALLOWED and self.rules[at].is_exposure)

    def _told(self, outcome: Outcome, at: int) -> int:
        """Return the rule to report for a limit: the one beside it, unless the limit itself refuses."""
        other = self.stand_ins.get(at)
        return at if other is None or outcome.state(at) == REFUSED else other

    def verdict_at(self, outcome: Outcome, at: int) -> int:
        """Return the position in `verdicts` of what is said of a rule."""
        limit = next((limit for limit, other in self.stand_ins.items() if other == at), at)
        return limit - sum(self._is_silent(outcome, self._told(outcome, other)) for other in range(limit))


def _holds(rule: LimitRule) -> int:
    """Return the largest cost that a limit ever has room for."""
    return rule.burst if rule.algorithm not in PREPAID else MAX_COST - 1


def own_range_ns(rule: LimitRule) -> int:
    """Return what a rule takes to give back all it allows, from two seconds to an hour."""
    if rule.algorithm in PREPAID:
        return _LONGEST_RANGE_NS
    refill_ns = -(-rule.period_ns * rule.burst // rule.quota)
    return min(max(refill_ns, _SHORTEST_RANGE_NS), _LONGEST_RANGE_NS)


def own_wait_ns(account: int, range_ns: int, now_ns: int) -> int:
    """Return how long an account waits that a limit of many accounts refuses.

    Each account has instants of its own, half a range apart, that follow from its keyed hash. The
    wait is until the first that is half a range away or more. It counts down as any wait does,
    no two accounts have the same, and what others do changes nothing about it.
    """
    half_ns = range_ns // 2
    digest = blake2b(account.to_bytes(8, "big"), digest_size=8, person=b"kin-wait").digest()
    return half_ns + (int.from_bytes(digest, "big") - now_ns) % half_ns


def check_cost(unit: str, cost: object) -> None:
    """Raise unless `cost` is an integer a charge can carry."""
    # bool is an int, and `True` tokens are a mistake; NaN and infinity are floats.
    if type(cost) is not int or not 0 <= cost <= MAX_COST:
        raise UsageError(
            f"the cost in {unit!r} must be an integer from 0 to {MAX_COST}, not {cost!r}", code="cost-range"
        )


def policy_item(rule: LimitRule, quota: int | None = None) -> bytes:
    """Return a rule as an item of the `RateLimit-Policy` field.

    draft-ietf-httpapi-ratelimit-headers-11, section 3: `q` the quota, `w` the window in
    seconds, `qu` the unit if it is not requests. Slots and lifetimes have no window.

    Args:
        rule: the rule.
        quota: what is in force in place of its own quota, if anything is.
    """
    item = b"%b;q=%d" % (rule.label, rule.quota if quota is None else quota)
    if rule.algorithm in OF_SLOTS:
        return item + b';qu="concurrent-requests"'
    if rule.algorithm not in PREPAID:
        item += b";w=%d" % -(-rule.period_ns // _SECOND_NS)
    if rule.algorithm in OF_MEMBERS:
        return item + b';qu="distinct-values"'
    if rule.unit_index:
        # Dollars are counted by the millionth.
        unit = "microdollars" if rule.unit == USD else rule.unit
        quoted = unit.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace")
        item += b';qu="%b"' % quoted
    return item
