"""Findings about a group and about one account, as sentences that an analyst can check.

Counts, parts and hashes, never a raw value.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from ratelimit.correlation.classification import (
    FRESH,
    SEEN_ENOUGH,
    SEEN_PART,
    SETTLED_LEAST,
    Classification,
    Statistics,
    Verdict,
    costly_exits,
    exits_needed,
    is_covert,
    is_rented,
)
from ratelimit.correlation.settings import DAY_S, HOUR_S, METHODS_A_BUDGET, Settings

if TYPE_CHECKING:
    from ratelimit.correlation.explanation import Explanation, Family, Shared

DEFAULTS = Settings()
NS = 1_000_000_000
WORDS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
DECLARATION = 'organisations."NAME" = { payment = ["PAYMENT METHOD"] }'
"""The line that lets an organisation through."""
SHORT = 8
"""Digits of a hash that people compare."""

WHY = {
    "homeless": "Its accounts were there long enough to come home, and hardly one did.",
    "churning": "It had more exits an account than an organisation has, and opened accounts since.",
    "roaming newcomers": "Its accounts share no payment method, so they may be a crowd.",
    "new and together": "An organisation that has just come looks like this, too.",
    "one program": "One program fills their networks and is hardly seen elsewhere.",
}
"""By why a classification was made, the sentence that says so."""
_RULED_ACTORS = {
    "confirm": "Confirmed by the operator: all its accounts count as certain.",
    "clear": "Cleared by the operator: no limit per actor binds its accounts.",
}
"""By what an operator rules on an actor, the sentence that comes before what was found of it."""


def young_words(until_s: int) -> str:
    """Return what becomes of a young cluster, and how it is declared."""
    until = datetime.fromtimestamp(until_s, UTC)
    return (
        f"It is a young actor: until {until:%Y-%m-%d %H:%M} UTC it has one budget for every "
        f"{WORDS[METHODS_A_BUDGET]} payment methods, then one for "
        f"all. If you know it, declare it by this line under [correlation.known]: {DECLARATION}"
    )


def describe(
    group: Statistics,
    classification: Classification,
    settings: Settings = DEFAULTS,
    ruling: Literal["clear", "confirm"] | None = None,
) -> str:
    """Return what was found of a group, in sentences; what an operator rules comes first.

    `41 payment methods of 2,466 accounts meet at 1,960 addresses nobody else uses; none is ever at
    home; all are younger than two weeks. …`
    """
    found = [] if ruling is None else [_RULED_ACTORS[ruling]]
    if classification.why == "declared":
        found.append(f"{_number(group['accounts'], 'account')} that the operator says are one actor.")
        return " ".join(found)
    found.append(f"{_meeting(group)}; {_homes(group)}; {_ages(group, settings.new_s)}.")
    if classification.why == "covert":
        found.append(f"It has {_ratio(group)}, more than an organisation has.")
    elif classification.why in WHY:
        found.append(WHY[classification.why])
    if classification.verdict is Verdict.LIKELY and (missing := lacking(group, settings)):
        word = "Not certain" if ruling is None else "By evidence alone it is likely"
        found.append(f"{word}: {'; '.join(missing)}.")
    return " ".join(found)


def lacking(group: Statistics, settings: Settings) -> list[str]:
    """Return what a group lacks to be a certain actor, by the bounds of `classify`; empty if it is one."""
    s, paying, exits = settings, group["accounts"] - group["loners"], costly_exits(group)
    needed = exits_needed(group, s.exits)
    bounds = (
        (
            group["methods"] < s.methods,
            f"{_number(group['methods'], 'payment method')} where {s.methods} must meet",
        ),
        (paying < s.accounts, f"{_number(paying, 'account')} where {s.accounts} must share them"),
        (exits < needed, f"traffic of about {_number(round(exits), 'exit')} where {needed:g} are needed"),
        (
            group["exclusive"] < s.exclusive,
            f"{100 - 100 * group['exclusive']:.0f} % of the accounts at its exits are others",
        ),
        (
            not is_rented(group),
            f"others use {_number(group['addresses'] - group['sole'], 'address', 'addresses')} of these",
        ),
        (group["homed"] > s.homed, f"{100 * group['homed']:.0f} % of its accounts have a home"),
        (
            group["seen"] < min(SEEN_ENOUGH, SEEN_PART * group["accounts"]),
            f"{_seen(group['seen'])} known for long enough to be seen at home",
        ),
        (group["fresh"] < FRESH, f"{100 * group['fresh']:.0f} % of its accounts are known to be new"),
        (
            not is_covert(group, s.covert) and group["settled"] < SETTLED_LEAST,
            f"{_ratio(group)} where {s.covert:g} are needed in the first days",
        ),
    )
    return [said for is_lacking, said in bounds if is_lacking]


def _seen(accounts: int) -> str:
    if not accounts:
        return "no account is"
    return f"only {_number(accounts, 'account')} {'is' if accounts == 1 else 'are'}"


def verdict_word(verdict: int) -> str | None:
    """Return how a verdict is written in decisions and reports; None for none."""
    return None if verdict == Verdict.NONE else Verdict(verdict).name.lower()


def _meeting(group: Statistics) -> str:
    accounts = _number(group["accounts"], "account")
    if group["methods"] > 1:
        members = f"{_number(group['methods'], 'payment method')} of {accounts} meet at"
    elif group["methods"] == 1:
        members = f"{accounts} on one payment method take turns at"
    else:
        members = f"{accounts} that share no payment method take turns at"
    addresses = _number(group["addresses"], "address", "addresses")
    if group["sole"] >= group["addresses"]:
        return f"{members} {addresses} nobody else uses"
    if group["sole"] == 0:
        return f"{members} {addresses} that others use, too"
    return f"{members} {addresses}, {group['sole']:,} of which nobody else uses"


def _homes(group: Statistics) -> str:
    if group["seen"] == 0:
        return "none was there long enough to be seen at home"
    if group["homed"] == 0.0:
        return "none is ever at home"
    return f"{_part(group['homed'])} at home somewhere"


def _ages(group: Statistics, new_s: int) -> str:
    if group["fresh"] == 0.0:
        return f"none is known to be younger than {span(new_s)}"
    if group["fresh"] + group["old"] > 1.0001:
        # Members that were new when they were found stay members as they age.
        return f"{_part(group['fresh'], past=True)} younger than {span(new_s)} when found"
    return f"{_part(group['fresh'])} younger than {span(new_s)}"


def _ratio(group: Statistics) -> str:
    # Of its busiest six hours: accounts that take turns do not count all at once.
    ratio = f"{group['exits'] / max(1, group['busiest']):.2g}"
    return f"{ratio} {'exit' if ratio == '1' else 'exits'} for each active account"


def _number(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _part(part: float, *, past: bool = False) -> str:
    """Return a part with its verb; never 0 % of what is there, nor 100 % of what is not all."""
    one, many = ("was", "were") if past else ("is", "are")
    if part == 0.0:
        return f"none {one}"
    if part < 0.01:
        return f"fewer than one in a hundred {many}"
    if part == 1.0:
        return f"all {many}"
    if part > 0.99:
        return f"nearly all {many}"
    return f"{100 * part:.0f} % {many}"


def span(seconds: float) -> str:
    """Return a length of time as it is said: "two weeks", "36 hours"."""
    for unit, length in (("week", 7 * DAY_S), ("day", DAY_S), ("hour", HOUR_S), ("minute", 60)):
        if seconds >= 2 * length or seconds == length:
            count = round(seconds / length)
            said = WORDS[count] if count < len(WORDS) else f"{count:,}"
            return f"{said} {unit if count == 1 else unit + 's'}"
    return f"{seconds:.0f} seconds"


# -- one account ----------------------------------------------------------------------------------


def describe_account(found: Explanation, now_ns: int) -> list[str]:
    """Return what was found of one account by itself: its age, its home, what it was seen with."""
    return [_age(found, now_ns), _home(found), _seen_with(found)]


def reason_of(found: Explanation) -> str:
    """Return why that is said of an account which is said of it, in a sentence or two."""
    if found.override is None:
        return _inferred(found)
    if found.override in ("exempt", "clear") or (found.override != "apart" and found.cluster is not None):
        return _OVERRIDES[found.override]
    # The override does not explain the verdict: it is about another cluster, or about other accounts.
    return f"{_OVERRIDES[found.override]} {_inferred(found)}"


def _inferred(found: Explanation) -> str:
    if found.verdict is Verdict.CERTAIN:
        age = "was new when it was found" if found.age == "old" else "is new"
        return (
            f"Certain by itself: it {age}, has no home, pays with a method of the actor's, "
            "and was mostly at the actor's exits."
        )
    if found.verdict is Verdict.LIKELY:
        return f"Likely: {_likely(found)}."
    return f"In no actor: {_nothing(found)}."


def _likely(found: Explanation) -> str:
    if found.actor is not Verdict.CERTAIN:
        return "the whole actor is likely, and the evidence says what it lacks"
    if not _of(found, "payment", "extra"):
        return "none of its payment methods is the actor's"
    if found.age != "new":
        return "it is not known to be new" if found.age == "unknown" else "it was there before"
    return (
        "most accounts on its payment method are not known to be new, or it was at no exit where the "
        "actor's accounts meet, and only in networks of theirs"
    )


def _nothing(found: Explanation) -> str:
    if found.is_homed:
        return "it has a home, where mostly it and those of its payment method come from"
    if _of(found, "payment", "extra"):
        return "it pays as an actor does, and was mostly elsewhere"
    if _of(found, "network"):
        return f"it was seen at exits of an actor's, and {_pays(found)}"
    if _sharers(found) > 1:
        return f"it {_pays(found)}, and these accounts meet no others at exits of their own"
    return f"it {_pays(found)}"


def _pays(found: Explanation) -> str:
    """Return how an account pays that pays with no method of an actor's."""
    methods = [one for one in found.shared if one.family == "payment"]
    if not methods:
        return "was lately seen with no payment method"
    which = "a payment method" if len(methods) == 1 else "payment methods"
    if _sharers(found) == 1:
        return f"pays with {which} of its own, which no other account uses"
    most = f"{_number(_sharers(found), 'account')} share"
    if len(methods) > 1:
        return f"pays with {which}; {most} one of these, and no actor uses any"
    return f"pays with {which} that {most} and no actor uses"


def _sharers(found: Explanation) -> int:
    """Return how many accounts use the payment method of it that most use, itself among them."""
    return max((one.principals for one in found.shared if one.family == "payment"), default=0)


def _age(found: Explanation, now_ns: int) -> str:
    if found.created_ns is not None:
        return f"Created {_ago(now_ns - found.created_ns)} ago: {'old' if found.age == 'old' else 'new'}."
    said = f"First seen {_ago(now_ns - found.first_ns)} ago"
    if found.age == "unknown":
        return f"{said}; nothing says when it was created, and records are too young to tell."
    return f"{said}: {found.age}."


def _home(found: Explanation) -> str:
    homes = [one for one in found.shared if one.is_home]
    if homes:
        at = " and ".join(f"{short(one.hash)} ({_returns(one)})" for one in homes)
        return f"At home at {at}."
    return "At home somewhere." if found.is_homed else "At home nowhere."


def _returns(one: Shared) -> str:
    if one.span_h == 0:
        return "seen there in one hour"
    return f"seen there in {_number(one.hours, 'hour')} over {span(one.span_h * HOUR_S)}"


def _seen_with(found: Explanation) -> str:
    whose = "the actor's" if found.cluster is not None else "an actor's"
    parts = []
    families: tuple[tuple[tuple[Family, ...], str, str], ...] = (
        (("network",), "address", "addresses"),
        (("payment", "extra"), "payment method", "payment methods"),
    )
    for family, noun, plural in families:
        count = sum(
            one.family in family and (one.family != "extra" or one.is_clusters) for one in found.shared
        )
        if count:
            parts.append(
                f"{_number(count, noun, plural)}, {_how_many(len(_of(found, *family)), count)} {whose}"
            )
    return f"Lately seen with {'; with '.join(parts)}." if parts else "Lately seen with nothing that counts."


def _how_many(mine: int, count: int) -> str:
    if count == 1:
        return "which is" if mine else "which is not"
    if mine in (0, count):
        return "all of them" if mine else "none of them"
    return f"{mine} of them"


def _of(found: Explanation, *families: Family) -> list[Shared]:
    """Return what of some families is an actor's."""
    return [one for one in found.shared if one.family in families and one.is_clusters]


def _ago(passed_ns: int) -> str:
    return span(max(0, passed_ns) // NS)


def short(value: int) -> str:
    """Return as much of a hash as people compare."""
    return f"{value:016x}"[:SHORT]


_OVERRIDES = {
    "exempt": "The operator exempts it from every actor.",
    "together": "The operator says with which accounts it is one actor.",
    "apart": "The operator says with which accounts it is not one actor.",
    "confirm": "The operator confirms its actor.",
    "clear": "The operator clears its actor.",
}
