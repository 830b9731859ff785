"""An explanation of budgets: which number a customer has of each limit, and who says it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ratelimit.budgets.compile import own_number, shares_of
from ratelimit.budgets.stage import budgeted_of, said_to
from ratelimit.deciding.variant import with_number
from ratelimit.identity.fact import ABSENT
from ratelimit.inspection import formatting
from ratelimit.inspection.requests.explaining import FeatureLine, Looking, Question
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.contract import Store
from ratelimit.usage.pricing import MICRO, USD


class LookingAtBudgets(Looking):
    """Looks at the numbers that the customer of a request has."""

    def said(self, question: Question) -> Iterator[FeatureLine]:
        """Yield a line for the limits that customers have own numbers of."""
        plan = question.matched.plan_for(list(question.row))
        found = []
        for at, rule in enumerate(() if plan is None else plan.rules):
            one = budgeted_of(at, rule, question.bound.amendment)
            if one is None:
                continue
            told = ABSENT if one.spec is None else question.row[one.spec.at]
            number, why = rule.quota, "the rate"
            if one.spec is not None:
                why = f"the rate, as {one.spec.source} says no number"
            if one.spec is not None and told != ABSENT:
                number, why = one.spec.bounded(told), one.spec.source
                if number != told:
                    why = f"{why}, which says {formatting.amount(told, rule.unit)}: bounded"
            said, more = said_to(one, question.row, question.now_ns)
            if said is not None:
                number, why = said, "an operator's act"
            if more:
                why = f"{why}, and {formatting.amount(more, rule.unit)} by an operator's act"
            number = min(number + more, one.fits)
            found.append((with_number(rule, number), why))
        words = "; ".join(f"{rule.name}: {formatting.rate(rule)}, by {why}" for rule, why in found)
        data = [{"limit": rule.name, "quota": rule.quota, "by": why} for rule, why in found]
        yield FeatureLine("budget", words or None, data)


@contextmanager
def looking(policy: Policy, store: Store, *, is_live: bool) -> Iterator[LookingAtBudgets]:
    """Look at the numbers of a request's customer."""
    yield LookingAtBudgets()


def rule_words(rule: LimitRule) -> list[str]:
    """Return what is to be known of a rule, each in one phrase."""
    said, told = [], shares_of(rule)
    if told is not None:
        said.append(f"told of at {', '.join(f'{share:.12g}' for share in told.shares)}")
    if rule.statuses:
        ranges = ", ".join(f"{one}" if one == last else f"{one} to {last}" for one, last in rule.statuses)
        said.append(f"charged for statuses {ranges} alone")
    spec = own_number(rule)
    if spec is None:
        return said
    most = formatting.amount(spec.most, rule.unit)
    return [*said, f"or a customer's own number, by {spec.source}, up to {most}"]


def rule_json(rule: LimitRule) -> dict[str, Any]:
    """Return the same for machines."""
    spec, told = own_number(rule), shares_of(rule)
    scale = MICRO if rule.unit == USD else 1
    budget = {} if spec is None else {"budget": {"from": spec.source, "most": spec.most / scale}}
    return {
        **budget,
        "notify": [] if told is None else list(told.shares),
        "charged_statuses": [list(each) for each in rule.statuses] or None,
    }
