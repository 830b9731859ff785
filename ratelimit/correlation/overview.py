"""What clusters there are, and what binds each one's members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ratelimit.correlation.correlator import Correlator
from ratelimit.correlation.judgement import Statistics, Verdict
from ratelimit.correlation.words import describe


@dataclass(frozen=True, slots=True)
class Overview:
    """One cluster, and what is known of it."""

    identity: int
    """What limits count it by."""
    verdict: Verdict
    """The most that is said of any member: what is inferred, unless the operator overrides it."""
    ruling: Literal["clear", "confirm"] | None
    """What the operator says of it, if anything."""
    why: str
    words: str
    """What was found of it, in sentences."""
    first_s: int
    """When it was found, seconds since the Unix epoch."""
    evidence: dict[str, float]
    members: tuple[tuple[int, Verdict], ...]
    """Hashes of principals, and what is said of each."""


def overviews_of(correlator: Correlator) -> list[Overview]:
    """Return what is known of each cluster, the largest first. No rebuild may be under way."""
    core = correlator.core
    members: dict[int, list[tuple[int, Verdict]]] = {}
    for label, key, _ in core.members(0, correlator.evidence.principal_count):
        members.setdefault(label, []).append((key, Verdict(core.verdict_of(key))))
    found = []
    for label, (statistics, judgement) in correlator.kept.items():
        mine = members.get(label, [])
        found.append(
            Overview(
                correlator.identities[label],
                max((verdict for _, verdict in mine), default=Verdict.NONE),
                correlator.decree_of(label),
                judgement.why,
                describe(statistics, judgement, correlator.settings),
                core.first_s(label),
                evidence_of(statistics),
                tuple(mine),
            )
        )
    return sorted(found, key=lambda each: (-len(each.members), each.identity))


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
        "requests_a_day": round(group["rate"], 1),
    }
