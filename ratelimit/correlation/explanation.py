"""Why a principal is in a cluster: by family and hash, never by raw value.

For the operator alone. Nothing of it goes to a refused client, which would learn from it
which link gave it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ratelimit.core.reasons import reasons
from ratelimit.correlation.judgement import Verdict
from ratelimit.correlation.words import describe

if TYPE_CHECKING:
    from ratelimit.correlation.correlator import Correlator

Family = Literal["network", "payment", "client", "extra"]
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
    principals: int
    """All principals seen with it."""
    is_clusters: bool
    """Whether it is an exit or a payment method of the principal's cluster; without one, of any."""
    is_home: bool
    """Whether the principal is at home there."""
    hours: int
    """Hours in which it was seen there; 127 may be more."""
    span_h: int
    """Hours from the first time to the last; 255 may be more."""
    last_ns: int
    is_infrastructure: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """One principal, and what binds it to its cluster."""

    principal: int
    cluster: int | None
    """What limits count its cluster by; None when it is in none."""
    verdict: Verdict
    """What is said of the principal by itself."""
    actor: Verdict
    """What is said of its cluster as a whole."""
    why: str
    """What the cluster is, in a word; empty without one."""
    words: str
    """What was found of the cluster as a whole, in sentences; empty without one."""
    members: int
    since_ns: int | None
    """Since when both the cluster and the principal were there; None without a cluster."""
    first_ns: int
    last_ns: int
    created_ns: int | None
    """When the account was created; None where that is not known."""
    age: Literal["new", "old", "unknown"]
    is_homed: bool
    """Whether it is at home somewhere."""
    requests: int
    requests_a_day: float
    shared: tuple[Shared, ...]
    """What it was lately seen with, by family."""
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
            principals=one["principals"],
            is_clusters=one["is_clusters"],
            is_home=one["is_home"],
            hours=one["hours"],
            span_h=one["span_h"],
            last_ns=min(now_ns - one["age_s"] * NS, found["last_s"] * NS),
            is_infrastructure=one["infrastructure"],
        )
        for one in found["shared"]
    ]
    label = found["label"]
    statistics, judgement = correlator.kept.get(label, (None, None))
    is_member = statistics is not None and judgement is not None
    return Explanation(
        principal=key,
        cluster=correlator.core.cluster_identity(key) if is_member else None,
        verdict=Verdict(correlator.core.verdict_of(key)) if is_member else Verdict.NONE,
        actor=Verdict.NONE if judgement is None else judgement.verdict,
        why="" if judgement is None else judgement.why,
        words=""
        if statistics is None or judgement is None
        else describe(statistics, judgement, correlator.settings),
        members=correlator.core.size(label) if is_member else 0,
        since_ns=max(correlator.core.first_s(label), found["first_s"]) * NS if is_member else None,
        first_ns=found["first_s"] * NS,
        last_ns=found["last_s"] * NS,
        created_ns=found["created_s"] * NS or None,
        age="new" if found["is_new"] else "old" if found["is_old"] else "unknown",
        is_homed=found["is_homed"],
        requests=found["requests"],
        requests_a_day=found["rate"],
        shared=tuple(shared),
        ruling=correlator.ruling_of(key),
    )
