"""The report on the clusters of a replay: who, why, since when, and what they were admitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ratelimit.cli import words
from ratelimit.cli.replay.actors import Actors
from ratelimit.correlation.overview import evidence_of
from ratelimit.correlation.words import describe
from ratelimit.decision import VERDICTS, ClusterVerdict

NS = 1_000_000_000


def clusters_report(actors: Actors) -> dict[str, Any]:
    """Return what is known of each cluster at the end of the trace, the largest first.

    Members are hashes of principals, or their names as the trace gives them where those were kept.
    """
    correlator = actors.correlator
    members = correlator.members()
    rows = [
        _cluster(actors, label, members[label], actors.names)
        for label in sorted(members, key=lambda label: (-len(members[label]), label))
    ]
    return {"clusters": rows, "rebuilds": correlator.rebuilds}


def _cluster(actors: Actors, label: int, keys: list[int], names: Mapping[int, str]) -> dict[str, Any]:
    correlator = actors.correlator
    statistics, judgement = correlator.kept[label]
    identity = correlator.identities[label]
    verdict_of = correlator.core.verdict_of
    verdicts = {str(names.get(key, f"{key:016x}")): VERDICTS[verdict_of(key)] for key in keys}
    return {
        "id": f"{identity:016x}",
        "verdict": _highest(verdicts.values()),
        "why": judgement.why,
        "words": describe(statistics, judgement),
        "first_seen": words.iso(correlator.core.first_s(label) * NS),
        "admitted": actors.admitted[identity],
        "refused": actors.refused[identity],
        "would_refuse": actors.would_refuse[identity],
        "size": len(keys),
        "evidence": evidence_of(statistics),
        "members": sorted(verdicts),
        "verdicts": dict(sorted(verdicts.items())),
    }


def _highest(verdicts: Iterable[ClusterVerdict | None]) -> ClusterVerdict | None:
    return VERDICTS[max(map(VERDICTS.index, verdicts), default=0)]
