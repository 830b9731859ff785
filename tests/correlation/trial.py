"""Worlds of the families benchmark, replayed through the policy that ships for an LLM API."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from benchmarks.correlation.families.catalogue import NAMED
from benchmarks.correlation.families.world import Size
from benchmarks.correlation.kinlimit import POLICY
from benchmarks.correlation.written import lines
from ratelimit.clock import ManualClock
from ratelimit.lab.replay import Replay
from ratelimit.lab.traces import CHUNK_BYTES, LineSource, Reader
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CorrelationSpec
from ratelimit.stores.factory import private_store

TINY = Size(accounts=300, days=0.75, lead_h=4.0, scale=0.2)
"""Enough for an actor to be found in."""
SEED = 1

Tamper = Callable[[Replay], None]


@cache
def policy() -> Policy:
    """Return the shipped policy."""
    return Policy.load(POLICY)


@cache
def written(name: str, seed: int = SEED) -> bytes:
    """Return a world's trace as NDJSON."""
    return b"".join(lines(NAMED[name].world(seed, TINY).trace))


def replayed(
    text: bytes,
    *,
    correlates: bool = True,
    seed: int = 0,
    chunk_bytes: int = CHUNK_BYTES,
    spec: CorrelationSpec | None = None,
    tamper: Tamper | None = None,
) -> tuple[list[bytes], Replay]:
    """Return the decision lines of a trace, and the replay that made them (closed, but there to be asked).

    Args:
        spec: in place of what the policy correlates.
        tamper: called with the replay before it begins.
    """
    chunks: list[bytes] = []
    compiled = policy().compiled if spec is None else replace(policy().compiled, correlation=spec)
    replay = Replay(
        compiled,
        lambda now_ns: private_store(policy(), ManualClock(now_ns), seed=seed),
        chunks.append,
        correlates=correlates,
        names_members=True,
    )
    if tamper is not None:
        tamper(replay)
    source = LineSource("-", stdin=io.BytesIO(text), chunk_bytes=chunk_bytes)
    for batch in Reader(source, replay.fields, "ndjson"):
        replay.take(batch)
    replay.close()
    return b"".join(chunks).splitlines(), replay
