"""The actors, as the correlating worker knows them, for the other worker and for the board.

    {"actors": [{"id", "size", "verdict", "why", "words", "age_s", "evidence", "certain", "likely"}]}

`certain` and `likely` count members by population: the demo knows the truth, which a deployment does not.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

from ratelimit import Limiter
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.description import verdict_word
from ratelimit.correlation.overview import Overview
from ratelimit.demo.people import POPULATIONS, account_of

WRITE_S = 0.25
MOST_ACTORS = 8
NOBODY = b'{"actors": []}'
STRANGERS = "others"
"""Callers that joined with `curl`."""


async def keep_writing(limiter: Limiter, path: Path) -> None:
    """Write what is known now and then, as long as this worker is the one that knows."""
    populations = _populations(limiter)
    while True:
        await asyncio.sleep(WRITE_S)
        known = None if limiter.clustering is None else limiter.clustering.clusters()
        if known is not None:
            beside = path.with_suffix(".new")
            beside.write_text(json.dumps(report_of(known, populations, limiter.now_ns() // 10**9)))
            beside.replace(path)


def report_of(known: list[Overview], populations: dict[int, str], now_s: int) -> dict[str, Any]:
    """Return the report on some clusters: the certain first, then the largest."""
    return {
        "actors": [
            {
                "id": f"{each.identity:016x}",
                "size": len(each.members),
                "verdict": verdict_word(each.verdict),
                "why": each.why,
                "words": each.words,
                "age_s": now_s - each.first_s,
                "evidence": each.evidence,
                "certain": _by_population(each, populations, Verdict.CERTAIN),
                "likely": _by_population(each, populations, Verdict.LIKELY),
            }
            for each in sorted(known, key=lambda each: (-each.verdict, -len(each.members)))[:MOST_ACTORS]
        ]
    }


def _by_population(found: Overview, populations: dict[int, str], verdict: Verdict) -> dict[str, int]:
    return dict(Counter(populations.get(key, STRANGERS) for key, said in found.members if said is verdict))


def _populations(limiter: Limiter) -> dict[int, str]:
    """Return the population of each account's hash."""
    bound, spec = limiter.current, limiter.policy.compiled.correlation
    if spec is None:
        return {}
    found = {}
    for population in POPULATIONS:
        for person in range(population.people):
            headers = [(b"x-api-key", account_of(population, person).encode())]
            found[bound.extractor.extract(headers, "127.0.0.1")[spec.principal[0]]] = population.name
    return found
