"""The cost of a request where only its worker knows the estimate; routes whose answers say no usage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ratelimit.core.memory.table import Table
from ratelimit.deciding.bound_policy import Matched
from ratelimit.environment.finding import Finding
from ratelimit.policy import Policy
from ratelimit.stores.contract import Store
from ratelimit.telemetry.cells import totals
from ratelimit.telemetry.names import RuleColumn
from ratelimit.usage.learned import Learned
from ratelimit.usage.metrics import CERTAINTIES, route_labels, settled_counter
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
    if plan is None or plan.metered is None or not (plan.metered.estimated or plan.exposed):
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


FEWEST_ANSWERS = 50
"""Below this a share says little."""


def findings(policy: Policy, store: Store | None) -> Iterator[Finding]:
    """Yield the routes whose answers do not say what they used, by the workers' memory; None without any."""
    compiled = policy.compiled
    is_read = any(rule.metering is not None and rule.metering.usage for rule in compiled.rules)
    table = getattr(store, "table", None)
    if not is_read or table is None:
        return
    answers, is_good = 0, True
    for route in dict.fromkeys(route_labels(compiled.limits).values()):
        ended = totals(table, settled_counter(route))[: len(CERTAINTIES)]
        whole, exact = sum(ended), ended[0]
        answers += whole
        if whole >= FEWEST_ANSWERS and exact * 10 <= whole:
            share = _share(whole - exact, whole)
            yield Finding(
                "usage",
                "warn",
                f"{share} of {whole:,} answers of `{route}` do not say all that they used",
                "Ask for it (`stream_options.include_usage`), or name its place in a table `[usage.NAME]`.",
                facts={"answers": whole, **dict(zip(CERTAINTIES, ended, strict=True))},
            )
            is_good = False
    if answers and is_good:
        yield Finding("usage", "ok", f"{answers:,} answers were read", facts={"answers": answers})


def _share(part: int, whole: int) -> str:
    return "all" if part == whole else f"{100 * part // whole} %"
