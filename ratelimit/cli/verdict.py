"""The verdict of one limit on the request that `ratelimit explain` takes apart."""

from __future__ import annotations

from typing import Any

from ratelimit.cli.terminal import Text
from ratelimit.conduct.lowered import falls
from ratelimit.inspection import formatting
from ratelimit.inspection.requests.decision import LimitLine
from ratelimit.usage.explanation import Source
from ratelimit.waiting.compile import wait_ns_of

_GUESSED = {"average": "as requests took on average", "first": "as before anything is learned"}


def verdict_words(
    line: LimitLine, *, is_passed: bool = False, guessed: Source | None = None
) -> tuple[Text, str]:
    """Return a mark and a sentence for people."""
    verdict = line.verdict
    if verdict is None:
        return Text("–", "dim"), line.why_not
    left = f"{formatting.amount(verdict.remaining, verdict.unit)} left"
    if guessed is not None:
        left = f"takes {formatting.amount(verdict.cost, verdict.unit)}, {_GUESSED[guessed]}: {left}"
    if verdict.factor < 1:
        left += f" of {verdict.factor:.0%} of what it allows"
    if line.rule.is_twin:
        left = f"{left} if it bound likely actors"
    if verdict.allowed:
        if verdict.reset_after_ns:
            left += f", all again in {formatting.wait(verdict.reset_after_ns)}"
        if verdict.step is not None:
            return Text("✔", "yellow"), f"passes after a strike ({verdict.step}), by the whole limit: {left}"
        return Text("○" if line.rule.is_twin else "✔", "green"), left
    if verdict.is_used_up:
        says = f"costs {formatting.amount(verdict.cost, verdict.unit)}, {left}, and time gives nothing back"
    elif verdict.reduced_to is not None:
        most = formatting.amount(verdict.reduced_to, verdict.unit)
        says = f"costs {formatting.amount(verdict.cost, verdict.unit)}, more than the {most} "
        says += "that it holds here while the server is away"
    elif verdict.retry_after_ns is None:
        says = f"costs {formatting.amount(verdict.cost, verdict.unit)}, more than it ever holds"
    else:
        says = f"{left}, retry in {formatting.wait(verdict.retry_after_ns)}"
    if verdict.shadow:
        why = "likely" if line.rule.is_twin else "shadow"
        return Text("○", "yellow"), f"would refuse ({why}): {says}"
    step = line.rule.following
    if step.admits or (step.asks and is_passed):
        return Text("✔", "yellow"), f"{step.passed}: {says}"
    if step.asks:
        says = f"{step.asked}: {says}"
    return Text("✘", "bold red"), says


def limit_json(line: LimitLine, guessed: Source | None = None) -> dict[str, Any]:
    """Return it for machines."""
    verdict = line.verdict
    found: dict[str, Any] = {"limit": line.rule.name, "applies": verdict is not None}
    if verdict is None:
        return {**found, "why_not": line.why_not}
    wait_ns = verdict.retry_after_ns
    return {
        **found,
        "counter": line.key,
        "allowed": verdict.allowed,
        "shadow": verdict.shadow,
        "action": verdict.action,
        "binds": not line.rule.is_twin,
        "adaptive": falls(line.rule),
        "factor": verdict.factor,
        "step": verdict.step,
        "wait": wait_ns_of(line.rule) / 1e9 or None,
        "unit": verdict.unit,
        "cost": verdict.cost,
        "estimated": guessed,
        "remaining": verdict.remaining,
        "reset_after": verdict.reset_after_ns / 1e9,
        "retry_after": None if wait_ns is None or verdict.allowed else wait_ns / 1e9,
        "never": wait_ns is None,
    }
