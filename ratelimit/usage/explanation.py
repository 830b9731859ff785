"""The cost of a request on arrival where only its worker knows the estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ratelimit.core.memory.table import Table
from ratelimit.deciding.bound_policy import Matched
from ratelimit.telemetry.cells import totals
from ratelimit.telemetry.names import RuleColumn
from ratelimit.usage.learned import Learned
from ratelimit.usage.request import Declared
from ratelimit.usage.rules import Use

Source = Literal["average", "first"]
"""What stands in for it: what requests took on average, or what one takes before anything is learned."""


@dataclass(frozen=True, slots=True)
class Costs:
    """The cost that each rule of a plan would be asked for."""

    by_rule: tuple[int, ...]
    guessed: Mapping[str, Source]
    """Rules, by name, with an estimate that is not known here."""


def costs_of(
    matched: Matched, row: Sequence[int], units: Mapping[str, int], table: Table | None, now_ns: int
) -> Costs | None:
    """Return what a request takes; None where no estimate has to be found.

    Args:
        matched, row: what of a policy applies to it, and its identities.
        units: what is known of its cost.
        table: the workers' counts; None where they are not at hand.
        now_ns: when.
    """
    plan = matched.plan_for(row)
    if plan is None or plan.metered is None or not plan.metered.estimated:
        return None
    found = list(Use(plan.metered, Learned(), row, matched.template).costs(Declared(), {}, now_ns))
    guessed: dict[str, Source] = {}
    for at in plan.metered.estimated:
        rule = plan.rules[at]
        if rule.unit in units:
            continue
        cells = None if table is None else totals(table, rule.counter_name)
        guessed[rule.name] = "first"
        if cells is not None and cells[RuleColumn.ALLOWED]:
            found[at] = min(cells[RuleColumn.UNITS_ADMITTED] // cells[RuleColumn.ALLOWED], rule.burst)
            guessed[rule.name] = "average"
    for at, rule in enumerate(plan.rules):
        # What would be in flight is no part of what a request costs.
        found[at] = 0 if rule.is_exposure else units.get(rule.unit, found[at])
    return Costs(tuple(found), guessed)
