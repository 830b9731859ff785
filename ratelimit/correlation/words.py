"""What was found of a group, as sentences that an analyst can check. Counts and parts, never a raw value."""

from __future__ import annotations

from ratelimit.correlation.judgement import DECLARED, Judgement, Statistics, Verdict

WHY = {
    "covert": "There are more exits for each account than an organisation has.",
    "homeless": "In two days none of its accounts came home.",
    "roaming newcomers": "Each account pays by itself, so it may be a crowd.",
    "new and together": "An organisation that came lately looks like this, too.",
    "declared": "The operator says that its accounts are one actor.",
}
"""By why a judgement was made, the sentence that ends a description."""


def describe(group: Statistics, judgement: Judgement) -> str:
    """Return what was found of a group, in sentences.

    "41 payment methods of 2,466 accounts meet at 1,960 addresses; nobody else uses 1,951 of them. …"
    """
    found = []
    if judgement == DECLARED:
        return WHY[judgement.why]
    if group["methods"] > 1:
        found.append(
            f"{_number(group['methods'], 'payment method')} of {_number(group['accounts'], 'account')} meet at "
            f"{_number(group['addresses'], 'address', 'addresses')}; {_users(group)}."
        )
    else:
        paying = "on one payment method" if group["methods"] else "that each pay by themselves"
        found.append(
            f"{_number(group['accounts'], 'account')} {paying} take turns at "
            f"{_number(group['addresses'], 'address', 'addresses')}; {_users(group)}."
        )
    found.append(f"{_part(group['homed'])} at home anywhere; {_part(group['fresh'])} known to be new.")
    if judgement.why in WHY:
        found.append(WHY[judgement.why])
    return " ".join(found)


def verdict_word(verdict: int) -> str | None:
    """Return how a verdict is written in decisions and reports; None for none."""
    return None if verdict == Verdict.NONE else Verdict(verdict).name.lower()


def _users(group: Statistics) -> str:
    if group["sole"] == group["addresses"]:
        return "nobody else uses them"
    return f"nobody else uses {group['sole']:,} of them"


def _number(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _part(part: float) -> str:
    if part == 0.0:
        return "none is"
    if part == 1.0:
        return "all are"
    return f"{part:.0%} are"
