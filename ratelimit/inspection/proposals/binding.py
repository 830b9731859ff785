"""The limits that go on binding a caller after an act: what refuses it all the same, and what allows less."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ratelimit.inspection import formatting
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.naming import Caller
from ratelimit.inspection.callers.person import row_about
from ratelimit.inspection.callers.plans import noted_plans
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.proposals.preview import listed_by
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule

EVERYTHING = "* /*"


def still_binding(
    known: Knowledge, caller: Caller, changed: Collection[str], numbers: Mapping[str, int] | None = None
) -> list[str]:
    """Return in a phrase each what refuses a caller now in spite of an act, and what allows less than it.

    Args:
        known: what is known here.
        caller: whom the act is about.
        changed: the limits that the act changes.
        numbers: the units that it puts in their place, by their names.
    """
    found = []
    if (act := listed_by(known, caller, "denied")) is not None:
        found.append(f"act {act.label} stops it all the same")
    try:
        left = known.left(row_about(known, caller))
    except InspectionFailure:
        return [*found, "whether another limit binds it is not known: the server does not answer"]
    plans = noted_plans(known, caller.hashes)
    left = [each for each in left if plans.may_be(each.rule)]
    shown = [each.rule for each in left]
    rules = {rule.name: rule for rule in reversed(known.compiled.rules) if rule.tier is None}
    for each in left:
        rule = each.rule
        if rule.name in changed or formatting.mode(rule) == "shadow":
            continue
        per, called = formatting.per(rule, known.compiled), formatting.of_plan(rule, shown)
        if each.retry_ns:
            wait = "always" if each.retry_ns < 0 else f"for {formatting.wait(each.retry_ns)}"
            found.append(f"`{called}` still refuses it {wait}, as {per}")
            continue
        for name, units in (numbers or {}).items():
            if name in rules and _allows_less(known.compiled, rule, rules[name], units):
                words = formatting.rate_of(rule, known.compiled)
                found.append(f"`{called}` still binds it, as {per}: {words}, which is less")
                break
    return list(dict.fromkeys(found))


def _allows_less(compiled: CompiledPolicy, rule: LimitRule, changed: LimitRule, units: int) -> bool:
    """Return whether a limit of the same requests allows less in the long run than another is to."""
    if rule.unit != changed.unit or not rule.period_ns or not changed.period_ns or rule.on != changed.on:
        return False
    own, other = (set(formatting.patterns(compiled.file.limit[each.limit].match)) for each in (rule, changed))
    is_shared = not own.isdisjoint(other) or EVERYTHING in own | other
    return is_shared and rule.quota * changed.period_ns < units * rule.period_ns
