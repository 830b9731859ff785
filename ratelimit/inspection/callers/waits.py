"""The two times of a limit that every screen says by the same names: when a request fits, when all is there.

A limit that is used up gives back a little at a time, or all at once. So there are two answers to "when
again?", and one of them without its name is taken for the other.
"""

from __future__ import annotations

from typing import Any

from ratelimit.algorithms import PREPAID
from ratelimit.inspection import formatting
from ratelimit.inspection.callers.knowledge import Left, least_cost
from ratelimit.policy.compile.compiled import LimitRule


def refuses_words(left: Left) -> str:
    """Return that a limit refuses the next request, and until when; empty where that fits."""
    if not left.retry_ns:
        return ""
    word = "would refuse" if formatting.mode(left.rule) == "shadow" else "refuses"
    return f"{word}{' ' if left.retry_ns < 0 else ': '}{until_words(left)}"


def until_words(left: Left) -> str:
    """Return until when a limit refuses that refuses the next request."""
    if left.rule.algorithm in PREPAID:
        return "until more is added"
    if left.retry_ns < 0:
        return "always"
    return f"{_next_request(left.rule)} fits in {formatting.wait(left.retry_ns)}"


def again_words(left: Left) -> str:
    """Return when all is there again; empty where nothing is used, or time gives nothing back."""
    return f"all again in {formatting.wait(left.reset_ns)}" if left.reset_ns > 0 else ""


def wait_words(left: Left) -> str:
    """Return both times in one phrase; empty where nothing is used."""
    return ", ".join(filter(None, (refuses_words(left), again_words(left))))


def _next_request(rule: LimitRule) -> str:
    """Return the request that the first time is of, by what it takes of a limit of other units."""
    least = least_cost(rule)
    if rule.unit == "requests" or not least:
        return "the next request"
    return f"a request of {formatting.amount(least, rule.unit)}" if rule.estimate else "the smallest request"


def waits_json(left: Left) -> dict[str, Any]:
    """Return both times for machines, in seconds.

    `retry_after` is of a request that takes `next_takes` units; null with `refuses` is never.
    """
    return {
        "refuses": left.retry_ns != 0,
        "next_takes": least_cost(left.rule),
        "retry_after": None if left.retry_ns < 0 else round(left.retry_ns / 1e9, 3),
        "reset_after": round(left.reset_ns / 1e9, 3),
    }
