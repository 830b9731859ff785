"""Rates, spans and counts in words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from ratelimit.algorithms import CARRIED, OF_MEMBERS, OF_SLOTS, PREPAID, REFILLED
from ratelimit.facts.numbers import NumberForm
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.policy.compile.identities import CLUSTER
from ratelimit.runtime.limits_in_code import KEY, ROUTE
from ratelimit.usage.pricing import MICRO, USD

DAY_NS = 86_400 * 10**9
"""The shortest time that says how much there is on a day."""
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_SAID = {CLUSTER: "actor", ROUTE: "route", KEY: "what the code returns"}


def period(period_ns: int) -> str:
    """Return a length as a rate names it: "minute", "5 minutes", "90 seconds"."""
    seconds = period_ns // 1_000_000_000
    for name, length in _UNITS:
        if seconds and seconds % length == 0:
            count = seconds // length
            return name if count == 1 else f"{count} {name}s"
    return f"{period_ns / 1e9:g} seconds"


def amount(number: int, unit: str) -> str:
    """Return so many of a unit: "20", "4,000 output_tokens"; 250,000 millionths of a dollar as "0.25 usd"."""
    if unit == USD:
        whole, parts = divmod(number, MICRO)
        return f"{whole:,}{f'.{parts:06}'.rstrip('0').rstrip('.')} usd"
    return f"{number:,}" if unit == "requests" else f"{number:,} {unit}"


def amount_of(part: int, whole: int, unit: str) -> str:
    """Return a part of so many of a unit, which is named once: "1,350 of 2,000 output_tokens"."""
    return f"{amount(part, unit).removesuffix(f' {unit}')} of {amount(whole, unit)}"


def rate(rule: LimitRule) -> str:
    """Return what a rule allows, in one phrase."""
    if rule.algorithm in OF_SLOTS:
        return f"{rule.quota:,} at once"
    if rule.algorithm in PREPAID:
        return f"{amount(rule.quota, rule.unit)} in all"
    span = (
        f"calendar {rule.calendar.unit} ({rule.calendar.zone})" if rule.calendar else period(rule.period_ns)
    )
    text = f"{amount(rule.quota, rule.unit)} {_each(span)}"
    if rule.algorithm in REFILLED and rule.burst != rule.quota:
        at_once = amount(rule.burst, rule.unit) if rule.unit == USD else f"{rule.burst:,}"
        text += f", {at_once} at once"
    if rule.algorithm in CARRIED:
        text += f", and what was left of the one before: {amount(rule.burst, rule.unit)} at most"
    return text


def _each(span: str) -> str:
    if not span[0].isalpha():
        return f"in {span}"
    return f"an {span}" if span.startswith("hour") else f"a {span}"


def rate_of(rule: LimitRule, policy: CompiledPolicy) -> str:
    """Return `rate`, naming the identity that a distinct rule counts."""
    if rule.algorithm not in OF_MEMBERS:
        return rate(rule)
    return f"{rule.quota:,} different {policy.identities[rule.member].name}s {_each(period(rule.period_ns))}"


def per(rule: LimitRule, policy: CompiledPolicy) -> str:
    """Return what the counter belongs to."""
    return " + ".join(identity(position, policy) for position in rule.per) or "everyone"


def as_said(per: str) -> str:
    """Return what a counter belongs to, in the words of screens: `cluster` is the policy's for an actor."""
    return " + ".join(_SAID.get(one, one) for one in per.split(" + "))


def of_plan(rule: LimitRule, rules: Iterable[LimitRule]) -> str:
    """Return a limit's name, and the plan that its rate is of.

    Args:
        rule: the limit, with one plan's rate.
        rules: all that are shown: with rates of several plans it is not known which of them holds.
    """
    is_one_of_several = len({each.tier for each in rules if each.limit == rule.limit}) > 1
    if rule.tier is not None:
        return f"{rule.name}, {'if its plan is' if is_one_of_several else 'tier'} {rule.tier}"
    return f"{rule.name}, with any other plan" if is_one_of_several else rule.name


def identity(position: int, policy: CompiledPolicy) -> str:
    """Return an identity as a limit names it, whatever verdict it binds."""
    return policy.identities[policy.cluster if policy.is_actor(position) else position].name


def patterns(written: str | list[str]) -> list[str]:
    """Return a `match` or `except` as a list."""
    return [written] if isinstance(written, str) else list(written)


def matches(written: str | list[str]) -> str:
    """Return a `match` in one phrase."""
    if not patterns(written):
        return "routes that ask for it"
    return ", ".join("everything" if pattern == "* /*" else pattern for pattern in patterns(written))


def mode(rule: LimitRule) -> str:
    """Return whether a rule is enforced."""
    if rule.shadow or rule.enforced_ppm == 0:
        return "shadow"
    return "enforce" if rule.enforced_ppm == 1_000_000 else f"enforce {rule.enforced_ppm / 10_000:g} %"


def binds(rule: LimitRule) -> str:
    """Return which members of a cluster a rule binds; empty for limits of other kinds."""
    words = {"certain": "certain", "likely": "certain and likely", "young": "young", None: ""}
    return words[rule.verdict]


def holds(verdict: str | None, rules: Iterable[LimitRule]) -> bool:
    """Return whether a limit per actor is enforced on members of a verdict."""
    bound = {"certain": ("certain", "likely", "young"), "likely": ("likely",)}.get(verdict or "", ())
    return any(rule.verdict in bound and mode(rule) != "shadow" for rule in rules)


def lets_likely_pass(rule: LimitRule) -> bool:
    """Return whether a limit per actor is enforced, and lets likely ones pass, which it only counts."""
    return rule.is_clustered and rule.verdict == "certain" and mode(rule) == "enforce"


NOT_HELD = "likely, not held"
"""What every screen says of a likely actor that no limit holds."""


def verdict_words(verdict: str | None, rules: Iterable[LimitRule]) -> str:
    """Return a verdict as every screen says it: "certain", "likely, not held"; empty for none.

    Args:
        verdict: its word, as machines have it.
        rules: those of the policy: a verdict that no enforced limit binds is not held.
    """
    if not verdict:
        return ""
    if holds(verdict, rules):
        return verdict
    return NOT_HELD if verdict == "likely" else f"{verdict}, not held"


def wait(wait_ns: int | None) -> str:
    """Return a duration for people; None is a wait that cannot help."""
    if wait_ns is None:
        return "never"
    seconds = wait_ns / 1e9
    if seconds < 0.001:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    for name, length in _UNITS[:-1]:
        if seconds >= 1.5 * length or (name == "minute"):
            return f"{seconds / length:.3g} {name}s"
    return f"{seconds:.3g} s"


def span(since_ns: int, last_ns: int) -> str:
    """Return how long something went on, to the second: "at once", "40 s", "12.5 minutes"."""
    seconds = (last_ns - since_ns) // 10**9
    return wait(seconds * 10**9) if seconds > 0 else "at once"


def ago(passed_ns: int) -> str:
    """Return how long ago something was, in one whole number: "40 s ago", "3 min ago", "2 days ago"."""
    seconds = max(0, passed_ns) // 10**9
    for name, length in (("day", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            passed = seconds // length
            return f"{count(passed, name)} ago" if name == "day" else f"{passed} {name} ago"
    return f"{seconds} s ago"


def pace(requests: int, watched_ns: int) -> str:
    """Return how many requests were asked, by the longest time that they were watched for: "27 a minute"."""
    for name, length_ns in (("day", DAY_NS), ("hour", 3_600 * 10**9), ("minute", 60 * 10**9)):
        if watched_ns >= length_ns:
            mean = requests * length_ns / watched_ns
            return f"{mean:,.{1 if mean < 10 else 0}f} {_each(name)}"
    return f"{requests:,} in {wait(max(10**9, watched_ns // 10**9 * 10**9))}"


def a_day(requests: int, watched_ns: int) -> float | None:
    """Return how many requests there were a day; None where they were watched for less than a day.

    It is an average of what was counted, and never more than that: a minute says nothing about a day.
    """
    return requests * DAY_NS / watched_ns if watched_ns >= DAY_NS else None


def rounded_a_day(requests: int, watched_ns: int) -> float | None:
    """Return `a_day` for machines."""
    mean = a_day(requests, watched_ns)
    return None if mean is None else round(mean, 1)


def taken(requests: int, watched_ns: int) -> str:
    """Return requests and how many that is a day; of less than a day in which time they were counted.

    "391 requests in 65 s", "12,345 requests in 3 days, 4,115 a day".
    """
    said = f"{count(requests, 'request')} in {wait(max(10**9, watched_ns // 10**9 * 10**9))}"
    mean = a_day(requests, watched_ns)
    return said if mean is None else f"{said}, {mean:,.{1 if mean < 10 else 0}f} a day"


def instant(at_ns: int) -> str:
    """Return a time in UTC, to the second."""
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def minutes(begin_ns: int, end_ns: int) -> str:
    """Return a time of whole minutes in UTC: `2026-11-26 14:03–14:04`."""
    return f"{instant(begin_ns)[:16]}–{instant(end_ns)[11:16]}"


def number(told: int, form: NumberForm) -> str:
    """Return a number that a request says."""
    if form == "seconds":
        return instant(told * 1_000_000_000)
    return f"${told / MICRO:,.2f}" if form == "dollars" else f"{told:,}"


def iso(at_ns: int) -> str:
    """Return a time for machines."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


def share(part: int, whole: int) -> str:
    """Return a percentage that is never rounded to none or all when it is not."""
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "< 0.1 %"
    return f"{min(percent, 99.9) if part < whole else percent:.3g} %"


def count(number: int, noun: str) -> str:
    """Return "1 line", "2 lines"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
