"""Why there are the clusters there are: what binds each one's members, by family of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ratelimit.correlation.correlator import Correlator
from ratelimit.correlation.judgement import Profile

ASKED = 64
"""Members whose behaviour is weighed; the rest is taken to be like them."""


@dataclass(frozen=True, slots=True)
class Overview:
    """One cluster, and what is known of it."""

    identity: int
    """What limits count it by."""
    budgets: int
    """Into how many its members are divided; 1 once it is sure to be one actor."""
    confidence: float
    why: str
    first_s: int
    """When it was found, seconds since the Unix epoch."""
    evidence: dict[str, dict[str, float]]
    members: tuple[int, ...]
    """Hashes of principals."""


def overviews_of(correlator: Correlator) -> list[Overview]:
    """Return what is known of each cluster, the largest first. No rebuild may be under way."""
    found = []
    for label, keys in correlator.members().items():
        profile, judgement = correlator.kept[label]
        evidence = evidence_of(profile)
        evidence["behaviour"]["weight"] = _behaviour(correlator, keys[:ASKED])
        found.append(
            Overview(
                correlator.identities[label],
                correlator.parts[label],
                judgement.confidence,
                judgement.why,
                profile["first_s"],
                evidence,
                tuple(keys),
            )
        )
    return sorted(found, key=lambda each: (-len(each.members), each.identity))


def evidence_of(profile: Profile) -> dict[str, dict[str, float]]:
    """Return what binds a cluster's members, by family.

    `weight` is what the family says in the mean, as the logarithm of a likelihood ratio.
    """
    size = max(1, profile["size"])
    return {
        "network": {
            "weight": round(profile["network"], 2),
            "independent_networks": round(profile["networks"], 2),
            "meetings": profile["meetings"],
        },
        "payment": {
            "weight": round(profile["payment"], 2),
            "sharing": round(profile["sharing"] / size, 3),
            "shared_payment_methods": profile["payments"],
        },
        "client": {"weight": round(profile["client"], 2)},
        "behaviour": {
            "requests_a_day": round(profile["rate"], 2),
            "evenness": round(profile["evenness"], 3),
            "alike": round(profile["concentration"], 3),
            "roaming": round(profile["roaming"], 3),
        },
        "extra": {"weight": round(profile["extra"], 2)},
    }


def _behaviour(correlator: Correlator, keys: Sequence[int]) -> float:
    fits = [fit["behaviour"] for key in keys if (fit := correlator.core.explain(key)) is not None]
    return round(sum(fits) / len(fits), 2) if fits else 0.0
