"""All that a limit says, in words and as data: what it takes of which events, how far into debt."""

from __future__ import annotations

from typing import Any

from ratelimit.algorithms import OF_UNITS
from ratelimit.inspection import formatting
from ratelimit.inspection.requests.explaining import rule_json, rule_words
from ratelimit.inspection.requests.prices import price_json
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.usage.pricing import USD

USUAL_MAXIMA = (1024, 4096, 8192)
"""Tokens that clients declare by default."""
_EVENTS = {
    "request": "",
    "connect": "WebSocket handshakes at ",
    "message": "messages of WebSockets at ",
}


def covers(rule: LimitRule, policy: CompiledPolicy) -> str:
    """Return which requests or messages a rule counts, in one phrase."""
    written = policy.file.limit[rule.limit]
    text = _EVENTS[rule.on] + formatting.matches(written.match)
    excepted = formatting.patterns(written.except_)
    return f"{text}, except {', '.join(excepted)}" if excepted else text


def details(rule: LimitRule, policy: CompiledPolicy) -> list[str]:
    """Return what is to be known of a rule beyond its rate, each in one phrase."""
    said: list[str] = []
    noun = "message" if rule.on == "message" else "handshake" if rule.on == "connect" else "request"
    if rule.unit != "requests":
        taken = _estimate(rule, policy)
        said.append(
            f"{taken if isinstance(taken, str) else f'{taken:,}'} on arrival"
            if taken
            else "nothing on arrival"
        )
    elif rule.estimate != 1:
        said.append(f"a {noun} takes {rule.estimate:,}" if rule.estimate else f"a {noun} takes nothing")
    exposure = 0.0 if rule.metering is None else rule.metering.exposure
    if exposure:
        said.append(at_once(rule, exposure))
    if exposure and policy.file.limit[rule.limit].debt is None:
        said.append("all beyond it is owed")
    elif bound := debt(rule):
        said.append(f"debt up to {formatting.amount(bound, rule.unit) if rule.unit == USD else f'{bound:,}'}")
    if rule.lease_ns:
        said.append(f"lapse after {formatting.wait(rule.lease_ns)} of silence")
    if rule.following.detail:
        said.append(rule.following.detail)
    said += rule_words(rule)
    if rule.on_store_error != "local":
        said.append(
            "refuses while the store fails"
            if rule.on_store_error == "closed"
            else "off while the store fails"
        )
    return said


def at_once(rule: LimitRule, exposure: float) -> str:
    """Return how much a limit lets be in flight; of tokens, how many answers at usual maxima."""
    if rule.metering is not None and rule.metering.grants:
        return "lowers a request's maximum to what is left, and charges that on arrival"
    if exposure == 1:
        return "charges the maximum on arrival"
    said = f"{exposure:g} budgets used and in flight"
    if rule.unit == USD:
        return said
    room = (exposure - 1) * rule.burst
    most = " / ".join(f"{max(1, int(room // maximum)):,}" for maximum in USUAL_MAXIMA)
    return f"{said}: {most} answers at once that declare {' / '.join(f'{one:,}' for one in USUAL_MAXIMA)}"


def _estimate(rule: LimitRule, policy: CompiledPolicy) -> int | str:
    """Return what a request takes before its cost is known, or the word for where that comes from."""
    written = policy.file.limit[rule.limit].estimate
    return written if isinstance(written, str) else rule.estimate


def debt(rule: LimitRule) -> int:
    """Return how many units beyond its budget a rule may be charged at most; 0 for none.

    What turns out to cost more than was estimated is charged without asking, into debt.
    So is what an actor's members had before.
    """
    is_settled = rule.unit != "requests" or rule.is_clustered
    if not is_settled or rule.algorithm not in OF_UNITS:
        return 0
    return rule.most_debt


def terms_json(rule: LimitRule, policy: CompiledPolicy) -> dict[str, Any]:
    """Return all of it for machines; `cost` and `estimate` are null where a limit has no such thing."""
    written = policy.file.limit[rule.limit]
    counts_requests = rule.unit == "requests"
    return {
        "limit": rule.name,
        "tier": rule.tier,
        "match": formatting.patterns(written.match),
        "except": formatting.patterns(written.except_),
        "per": [formatting.identity(position, policy) for position in rule.per],
        "verdict": rule.verdict,
        "algorithm": rule.algorithm if rule.calendar is None else f"calendar:{rule.calendar.zone}",
        "unit": written.counted,
        "quota": rule.quota,
        "window_s": rule.period_ns // 1_000_000_000,
        "burst": rule.burst,
        "window": None if rule.calendar is None else rule.calendar.unit,
        "lease_s": rule.lease_ns // 1_000_000_000 or None,
        "cost": rule.estimate if counts_requests else None,
        "estimate": None if counts_requests else _estimate(rule, policy),
        "debt": debt(rule),
        "exposure": 0 if rule.metering is None else rule.metering.exposure,
        "dearest_answer": price_json(rule, policy),
        "on_refusal": list(rule.on_refusal),
        "budget": None,
        **rule_json(rule),
        "mode": formatting.mode(rule),
        "enforce": 0 if rule.shadow else rule.enforced_ppm / 1_000_000,
        "on_store_error": rule.on_store_error,
    }
