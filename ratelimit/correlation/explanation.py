"""Why a principal is in a cluster: by family and hash, never by raw value.

For the operator alone. Nothing of it goes to a refused client, who would learn from it
which link gave it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ratelimit.core.reasons import reasons

if TYPE_CHECKING:
    from ratelimit.correlation.correlator import Correlator

Family = Literal["network", "payment", "client", "behaviour", "extra"]
Ruling = Literal["exempt", "together", "apart", "confirm", "clear"]

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Shared:
    """One thing a principal was lately seen with."""

    family: Family
    kind: int
    """0 address, 1 network, 2 payment, 3 client, 4 to 6 further families."""
    hash: int
    """As requests' identities have it; of an address the lowest bit says infrastructure."""
    members: int | None
    """Other members of its cluster seen with it; None where that is not counted."""
    principals: int
    """All principals seen with it."""
    requests: int
    weight: float
    """What is left of it: 1 when fresh, halved with each half-life."""
    last_ns: int
    is_infrastructure: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """What one family says."""

    family: Family
    weight: float
    """The logarithm of how much likelier this is of a member than of a stranger; negative speaks against."""
    others: int
    """Other members that share something of this family, or ask for about as much."""
    binds_without: bool
    """Whether the principal would still belong if this family said nothing."""
    shared: tuple[Shared, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One principal, and what binds it to its cluster."""

    principal: int
    cluster: int | None
    """What limits count its cluster by; None when it is in none."""
    verdict: int
    """How sure it is that it belongs there: 0 without a cluster, 1 for likely, 2 for certain."""
    confidence: float
    why: str
    """What the cluster passed for; empty without one."""
    members: int
    since_ns: int | None
    """Since when both the cluster and the principal were there; None without a cluster."""
    first_ns: int
    last_ns: int
    created_ns: int | None
    """When the account was created; None while that was never given."""
    requests: int
    requests_a_day: float
    answer_length: float | None
    """Of its latest answers, in the geometric mean and the policy's unit; None while none was settled."""
    total: float
    """The sum over families and the cluster's rarity; a member leaves below `stay`."""
    stay: float
    independent_networks: int
    reasons: tuple[Reason, ...]
    """By family, the strongest first; without a cluster only what it was seen with."""
    ruling: Ruling | None
    """What the operator says of it, if anything."""


def explain(correlator: Correlator, key: int) -> Explanation | None:
    """Return why a principal is in its cluster, or in none; None when it is not remembered."""
    found = reasons(correlator.core, key)
    if found is None:
        return None
    now_ns = correlator.now_ns
    shared = [
        Shared(
            family=one["family"],
            kind=one["kind"],
            hash=one["hash"],
            members=one["members"],
            principals=one["principals"],
            requests=one["requests"],
            weight=one["weight"],
            last_ns=min(now_ns - one["age_s"] * NS, found["last_s"] * NS),
            is_infrastructure=one["infrastructure"],
        )
        for one in found["shared"]
    ]
    families = found["families"] or [
        {"family": name, "weight": 0.0, "others": 0, "binds_without": False}
        for name in dict.fromkeys(one.family for one in shared)
    ]
    told = [
        Reason(
            **family,
            shared=tuple(
                sorted(
                    (one for one in shared if one.family == family["family"]),
                    key=lambda one: (-(one.members or 0), -one.weight, one.hash),
                )
            ),
        )
        for family in families
    ]
    label = found["label"]
    profile, judgement = correlator.kept.get(label, (None, None))
    return Explanation(
        principal=key,
        cluster=None if judgement is None else correlator.core.cluster_identity(key),
        verdict=0 if judgement is None else correlator.core.verdict_of(key),
        confidence=0.0 if judgement is None else judgement.confidence,
        why="" if judgement is None else judgement.why,
        members=0 if profile is None else profile["size"],
        since_ns=None if profile is None else max(profile["first_s"], found["first_s"]) * NS,
        first_ns=found["first_s"] * NS,
        last_ns=found["last_s"] * NS,
        created_ns=correlator.core.created_s(key) * NS or None,
        requests=found["requests"],
        requests_a_day=found["rate"],
        answer_length=found["length"],
        total=found["total"],
        stay=correlator.settings.stay,
        independent_networks=found["networks"],
        reasons=tuple(sorted(told, key=lambda reason: -reason.weight)),
        ruling=correlator.ruling_of(key),
    )
