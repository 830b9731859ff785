"""The report on the actors of a replay: verdicts, evidence, members, and what they got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.description import verdict_word
from ratelimit.correlation.overview import Overview, overviews_of
from ratelimit.inspection import formatting
from ratelimit.replay.actors import Actors

NS = 1_000_000_000


def clusters_report(actors: Actors) -> dict[str, Any]:
    """Return what is known of each actor at the end of the trace, the largest first.

    Members are hashes of principals, or their names as the trace gives them where those were kept.
    """
    rows = [_cluster(actors, each) for each in overviews_of(actors.correlator)]
    return {"clusters": rows, "rebuilds": actors.correlator.rebuilds}


def _cluster(actors: Actors, found: Overview) -> dict[str, Any]:
    identity = found.identity
    return {
        "id": f"{identity:016x}",
        "verdict": verdict_word(found.verdict),
        "ruling": found.override,
        "why": found.why,
        "words": found.words,
        "first_seen": formatting.iso(found.first_s * NS),
        "young_until": formatting.iso(found.young_until_s * NS) if found.young_until_s else None,
        "admitted": actors.admitted[identity],
        "refused": actors.refused[identity],
        "would_refuse": actors.would_refuse[identity],
        "size": len(found.members),
        "evidence": found.evidence,
        "members": _names([key for key, verdict in found.members if verdict == found.verdict], actors.names),
        "likely_members": _names(
            [key for key, verdict in found.members if Verdict.NONE < verdict < found.verdict], actors.names
        ),
    }


def _names(keys: list[int], names: Mapping[int, str]) -> list[str]:
    return sorted(str(names.get(key, f"{key:016x}")) for key in keys)
