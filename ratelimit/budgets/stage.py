"""Budgets as a feature of a policy: the number that a customer has, in place of a limit's own.

Theory of operation. A plan with such limits is never asked itself. Its stage picks a variant over the same
counters, with the customer's numbers. A counter says how much was used: in units of a window, or as the part
of a bucket that is not full again. So another number never begins it afresh.

An operator's act says a number for some customers. It goes before what the application says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ratelimit.budgets.compile import OwnNumber, most_units, own_number, shares_of
from ratelimit.budgets.crossings import Crossings
from ratelimit.budgets.picking import BudgetPicker
from ratelimit.clustering.amendment import Amendment, Said
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.part import Host, Part
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Deciding, Draft, Feature, Pending, Rest, Stage
from ratelimit.deciding.variant import OwnNumbers, with_number
from ratelimit.decision import Reason
from ratelimit.policy.compile.compiled import LimitRule


@dataclass(frozen=True, slots=True)
class Budgeted:
    """One limit of a plan that customers have own numbers of.

    Args:
        at: its position in the plan.
        spec: where the application says them; None: only operators do.
        quota: the policy's number.
        fits: the largest number that it can have.
        said: numbers that operators said, the latest first.
        more: units that they added.
    """

    at: int
    spec: OwnNumber | None
    quota: int
    fits: int
    said: Said
    more: Said


@dataclass(frozen=True, slots=True)
class Crossed:
    """The shares that customers crossed: those that this worker knows to be told, and those to tell."""

    told: dict[int, tuple[int, int]] = field(default_factory=dict)
    waiting: deque[Any] = field(default_factory=deque)
    """Each as the stub of `crossings` has it."""


@dataclass(frozen=True, slots=True)
class Notified:
    """One limit of a plan of which it is told what customers have used.

    Args:
        at: its position in the plan.
        name: the limit.
        who: the position of the identity that it counts by.
        period_ns: its period.
        most: the number.
        units: from how many of its units each share is crossed.
        tells_end: whether the last share is all of it.
    """

    at: int
    name: str
    who: int
    period_ns: int
    most: int
    units: tuple[int, ...]
    tells_end: bool


def notified_of(at: int, rule: LimitRule) -> Notified | None:
    """Return what is told of a rule of a plan; None for nothing."""
    spec = shares_of(rule)
    if spec is None or rule.is_beside or rule.is_lowered or not rule.per:
        return None
    units, ends = spec.units(rule.burst), spec.shares[-1] >= 1
    return Notified(at, rule.name, rule.per[0], rule.period_ns, rule.burst, units, ends)


class Budgets(Feature):
    """The own numbers of one bound policy's customers.

    Args:
        bound: the policy.
        diagnose: is told of numbers beyond their bounds.
        crossed: where it is noted what customers crossed; None: nothing is told.
    """

    def __init__(self, bound: BoundPolicy, diagnose: Callable[..., None], crossed: Crossed | None) -> None:
        self._amendment = bound.amendment
        self._diagnose = diagnose
        self._crossed = crossed

    def stage_of(self, draft: Draft) -> Stage | None:
        """Return what picks a customer's numbers; None where they are in place, or all have the same."""
        if draft.variant.own is not None:
            return self._noting(draft)
        budgeted = [
            one
            for at, rule in enumerate(draft.rules)
            if (one := budgeted_of(at, rule, self._amendment)) is not None
        ]
        if not budgeted:
            return self._noting(draft)
        bounded = partial(self._bounded, draft.rules)
        return BudgetStage(BudgetPicker(_Making(draft), len(draft.rules), budgeted, bounded))

    def _noting(self, draft: Draft) -> Stage | None:
        """Return what notes the shares that customers cross; None where nothing is told."""
        notified = [one for at, rule in enumerate(draft.rules) if (one := notified_of(at, rule)) is not None]
        if not notified or self._crossed is None:
            return None
        return CrossingStage(Crossings(notified, self._crossed.told, self._crossed.waiting))

    def _bounded(self, rules: Sequence[LimitRule], at: int) -> None:
        self._diagnose("budget-bounded", about=rules[at].name)


def budgeted_of(at: int, rule: LimitRule, amendment: Amendment) -> Budgeted | None:
    """Return whose numbers of a rule are to be looked for; None where all customers have the same."""
    if rule.is_exposure or any(spec.has_levels for spec in rule.specs):
        return None
    spec, (said, more) = own_number(rule), amendment.said_of(rule)
    if spec is None and not said and not more:
        return None
    return Budgeted(at, spec, rule.quota, most_units(rule), said, more)


def said_to(one: Budgeted, row: Sequence[int], now_ns: int) -> tuple[int | None, int]:
    """Return the number that operators said for the customer of a row, None for none, and units beyond."""
    said, more = (
        [
            units
            for position, by_hash in each.items()
            for units, until_ns in by_hash.get(row[position], ())
            if now_ns < until_ns
        ]
        for each in (one.said, one.more)
    )
    return (said[0] if said else None), sum(more)


def own_rule(rule: LimitRule, amendment: Amendment, row: Sequence[int], now_ns: int) -> LimitRule:
    """Return a rule with what operators made of its number for the customer of a row."""
    one = budgeted_of(0, rule, amendment)
    said, more = (None, 0) if one is None else said_to(one, row, now_ns)
    if one is None or (said is None and not more):
        return rule
    return with_number(rule, min((rule.quota if said is None else said) + more, one.fits))


class _Making:
    """Makes the variants of one plan."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def __call__(self, quotas: tuple[int, ...]) -> RoutePlan:
        draft = self._draft
        return draft.make(replace(draft.variant, own=OwnNumbers(quotas)))


class BudgetStage(Stage):
    """Picks a customer's own numbers.

    Args:
        picker: picks the plan.
    """

    name = "budget"
    is_compiled = True

    def __init__(self, picker: BudgetPicker) -> None:
        self.picker: BudgetPicker = picker

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request by the numbers of its customer."""
        return pending.by(self.picker.plan_for(pending.row, pending.now_ns))


def asked_by(plan: RoutePlan, row: list[int], now_ns: int) -> RoutePlan:
    """Return a plan with the own numbers of a row's customer."""
    stage = plan.find(BudgetStage)
    return plan if stage is None else stage.picker.plan_for(row, now_ns)


class CrossingStage(Stage):
    """Notes the shares of limits that customers cross.

    Args:
        notes: notes them.
    """

    name = "notify"
    is_compiled = True

    def __init__(self, notes: Crossings) -> None:
        self.notes: Crossings = notes

    @property
    def is_idle(self) -> bool:
        """Whether a request that has room may go on: always."""
        return True

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request, and note what its customer has crossed."""
        decided = yield from rest(pending)
        allowed, reason, plan, outcome = decided
        if reason is Reason.LIMITS and pending.charges and plan is not None and outcome is not None:
            note = self.notes.note if allowed else self.notes.refuse
            note(pending.row, plan, outcome, pending.now_ns)
        return decided


class BudgetPart(Part):
    """The own numbers of one limiter's customers, and the shares that they cross.

    Args:
        host: the limiter.
    """

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.crossed = Crossed()

    def features(self, bound: BoundPolicy) -> Iterator[Budgets]:
        """Yield the budgets of a policy, where a customer may have a number of its own."""
        rules = bound.compiled.rules
        has_own = any(budgeted_of(0, rule, bound.amendment) is not None for rule in rules)
        tells = self.host.is_enabled and any(shares_of(rule) is not None for rule in rules)
        if has_own or tells:
            yield Budgets(bound, self.host.diagnose, self.crossed if tells else None)


PART = BudgetPart
