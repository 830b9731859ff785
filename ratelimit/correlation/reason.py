"""Reasons for a principal's cluster, read out of a correlator's memory."""

from __future__ import annotations

from typing import Literal, Protocol

from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.clusters.reasons import reasons
from ratelimit.correlation.classification import Classification, Statistics, Verdict
from ratelimit.correlation.description import describe, young_words
from ratelimit.correlation.explanation import Explanation, Override, Shared
from ratelimit.correlation.settings import Settings

NS = 1_000_000_000


class Evident(Protocol):
    """The source of an explanation: a correlator."""

    core: ClusterIndex
    kept: dict[int, tuple[Statistics, Classification]]
    settings: Settings

    @property
    def now_ns(self) -> int:
        """The time that its memory is of."""

    def override_of(self, key: int) -> Override | None:
        """Return what the operator says of a principal, if anything."""

    def override_of_cluster(self, label: int) -> Literal["clear", "confirm"] | None:
        """Return what the operator says of a cluster, if anything."""


def words_of(source: Evident, label: int) -> str:
    """Return what was found of a cluster, in sentences; of a young one also how it is let through."""
    statistics, classification = source.kept[label]
    ruling = source.override_of_cluster(label)
    words = describe(statistics, classification, source.settings, ruling)
    # A cleared one has no budget as a young actor either.
    until_s = 0 if ruling == "clear" else source.core.young_until_s(label)
    return f"{words} {young_words(until_s)}" if until_s else words


def explain(source: Evident, key: int) -> Explanation | None:
    """Return why a principal is in its cluster, or in none; None when it is not remembered."""
    found = reasons(source.core, key)
    if found is None:
        return None
    now_ns = source.now_ns
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
    statistics, classification = source.kept.get(label, (None, None))
    is_member = statistics is not None and classification is not None
    return Explanation(
        principal=key,
        cluster=source.core.cluster_identity(key) if is_member else None,
        verdict=Verdict(source.core.verdict_of(key)) if is_member else Verdict.NONE,
        actor=Verdict.NONE if classification is None else classification.verdict,
        why="" if classification is None else classification.why,
        words=words_of(source, label) if is_member else "",
        young_until_ns=source.core.young_until_s(label) * NS or None if is_member else None,
        members=source.core.size(label) if is_member else 0,
        since_ns=max(source.core.first_s(label), found["first_s"]) * NS if is_member else None,
        first_ns=found["first_s"] * NS,
        last_ns=found["last_s"] * NS,
        created_ns=found["created_s"] * NS or None,
        age="new" if found["is_new"] else "old" if found["is_old"] else "unknown",
        is_homed=found["is_homed"],
        requests=found["requests"],
        shared=tuple(shared),
        override=source.override_of(key),
    )
