"""Numbers that an operator set for one caller: by which act, how long ago, and what was used before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ratelimit.algorithms import REFILLED
from ratelimit.inspection import formatting
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.acts.act import Act


def number_act(acts: Sequence[Act], limit: str, identity: str, hashed: int) -> Act | None:
    """Return the act in force that set a customer's number of a limit: the latest; None for none."""
    return next(
        (
            act
            for act in reversed(acts)
            if act.of.effect == "numbers"
            and act.identity == identity
            and limit in act.numbers
            and hashed in act.accounts
        ),
        None,
    )


def changed_words(rule: LimitRule, act: Act, now_ns: int) -> str:
    """Return who set the number of a limit and when, and what became of what was used before.

    What was used before is told as long as it may show in what is used now.
    """
    passed_ns = now_ns - act.at_ns
    said = f"{rule.name}: {act.by} set {formatting.rate(rule)} {formatting.ago(passed_ns)} (act {act.label})"
    if rule.period_ns and passed_ns >= rule.period_ns:
        return said
    if rule.algorithm in REFILLED:
        return f"{said}; the part that was used before stays used of the new number"
    return f"{said}; what was used before counts, so more may be used than it allows"


def all_changed(rules: Iterable[LimitRule], acts: Sequence[Act], now_ns: int) -> list[str]:
    """Return `changed_words` of each limit whose number an act on a caller set, the latest act of each.

    Args:
        rules: the limits that bind the caller, with its numbers.
        acts: those in force on it.
        now_ns: the time.
    """
    found: dict[str, str] = {}
    for rule in rules:
        for act in acts:  # in order: a later one takes the place of one before
            if act.of.effect == "numbers" and act.numbers.get(rule.name) == rule.quota:
                found[rule.name] = changed_words(rule, act, now_ns)
    return [*found.values()]
