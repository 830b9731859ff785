"""An overview of the clusters, and of what binds the members of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ratelimit.correlation.classification import Statistics, Verdict
from ratelimit.correlation.correlator import Correlator
from ratelimit.correlation.reason import words_of

PIECE = 256
"""Principals looked at between two breaths."""

_VERDICTS = {int(each): each for each in Verdict}


@dataclass(frozen=True, slots=True)
class Overview:
    """One cluster, and what is known of it."""

    identity: int
    """The identity that limits count it by."""
    verdict: Verdict
    """The most that is said of any member: what is inferred, unless the operator overrides it."""
    override: Literal["clear", "confirm"] | None
    """The operator's override of it, if any."""
    why: str
    words: str
    """The findings, in sentences."""
    first_s: int
    """The time when it was found, seconds since the Unix epoch."""
    evidence: dict[str, float]
    members: tuple[tuple[int, Verdict], ...]
    """Hashes of principals, and what is said of each."""
    young_until_s: int = 0
    """Until when it is young, seconds since the Unix epoch; 0 if it is not."""


def overviews_of(correlator: Correlator, breathe: Callable[[], None] = lambda: None) -> list[Overview]:
    """Return what is known of each cluster, the largest first. No rebuild may be under way.

    Args:
        correlator: has found them, and finds no others meanwhile.
        breathe: called between pieces of the work, each of some hundred microseconds at most.
    """
    core = correlator.core
    members: dict[int, list[tuple[int, Verdict]]] = {}
    highest: dict[int, Verdict] = {}
    exempted: dict[int, int] = {}
    for start in range(0, correlator.evidence.principal_count, PIECE):
        for label, key, _ in core.members(start, start + PIECE):
            if correlator.is_exempt(key):  # by an act since the last rebuild
                exempted[label] = exempted.get(label, 0) + 1
                continue
            verdict = _VERDICTS[core.verdict_of(key)]
            members.setdefault(label, []).append((key, verdict))
            highest[label] = max(verdict, highest.get(label, verdict))
        breathe()
    found = []
    for label, (statistics, classification) in correlator.kept.items():
        breathe()
        found.append(
            Overview(
                correlator.identities[label],
                highest.get(label, Verdict.NONE),
                correlator.override_of_cluster(label),
                classification.why,
                " ".join(
                    (
                        words_of(correlator, label),
                        *apart(
                            statistics["accounts"],
                            len(members.get(label, ())),
                            exempted.get(label, 0),
                            may_be_exempt=len(correlator.exempt) > sum(exempted.values()),
                        ),
                    )
                ),
                core.first_s(label),
                evidence_of(statistics),
                tuple(members.get(label, ())),
                core.young_until_s(label),
            )
        )
    return sorted(found, key=lambda each: (-len(each.members), each.identity))


def apart(looked_at: int, members: int, exempted: int, *, may_be_exempt: bool) -> list[str]:
    """Return why the evidence is of more accounts than the actor has; nothing where it is not.

    Args:
        looked_at: the accounts that the evidence is of.
        members: those that are in the actor.
        exempted: those that an act took out of it since it was last looked at.
        may_be_exempt: whether others are exempted, which no actor has any more.
    """
    ruled = f"{exempted:,} of its accounts {'is' if exempted == 1 else 'are'} exempted by the operator."
    found = [ruled] if exempted else []
    others = looked_at - members - exempted
    if others > 0:
        said = f"{others:,} {'is' if others == 1 else 'are'} not"
        why = "such as those with a home of their own"
        if may_be_exempt:
            why = "those that the operator exempts, and such as have a home of their own"
        found.append(f"{members:,} of these {looked_at:,} accounts are in the actor; {said}: {why}.")
    return found


def evidence_of(group: Statistics) -> dict[str, float]:
    """Return what was found of a group, as numbers; see `Statistics`."""
    return {
        "accounts": group["accounts"],
        "payment_methods": group["methods"],
        "addresses": group["addresses"],
        "addresses_nobody_else_uses": group["sole"],
        "exits": round(group["exits"], 1),
        "exits_an_account": round(group["exits"] / max(1, group["busiest"]), 3),
        "exclusive": round(group["exclusive"], 3),
        "homed": round(group["homed"], 3),
        "new": round(group["fresh"], 3),
        "old": round(group["old"], 3),
    }
