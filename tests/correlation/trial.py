"""Simulated traffic through the policy that ships for an LLM API: small worlds, the benchmark's metrics."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

from benchmarks.correlation.contender import NONE, Outcome
from benchmarks.correlation.kinlimit import POLICY
from benchmarks.correlation.negatives import NEGATIVES
from benchmarks.correlation.scenario import Scale, stage_of
from benchmarks.correlation.trace import Trace
from benchmarks.correlation.verdict import Verdict, judge
from benchmarks.correlation.written import account_name, lines
from ratelimit.cli.replay.clusters import clusters_report
from ratelimit.cli.replay.run import Replay
from ratelimit.clock import ManualClock
from ratelimit.policy import Policy
from ratelimit.policy.compiled import CorrelationSpec
from ratelimit.storage import private_store
from ratelimit.traces import LineSource, Reader
from ratelimit.traces.lines import CHUNK_BYTES

TRIAL = Scale("trial", honest=1500, campaign=0.2, days=0.75, lead_hours=6.0)
"""A second's worth of everything; a campaign asks for four times a cluster's budget."""
ALONE = Scale("alone", honest=600, campaign=0.2, days=0.5, lead_hours=3.0)
BESIDE = Scale("beside", honest=900, campaign=0.2, days=0.75, lead_hours=4.0)
HUB = Scale("hub", honest=200, campaign=1.0, days=8.0, lead_hours=4.0)
"""For what grows slowly: a week of a village."""
FLOOD = Scale("flood", honest=3000, campaign=0.5, days=1.5)
"""For what pushes things out of memory: there has to be more than fits."""
SEED = 1

Tamper = Callable[[Replay], None]

_CLUSTER = re.compile(rb'"cluster": "([0-9a-f]{16})"')
_BY_CLUSTER = b'"limit": "one actor"'


@cache
def policy() -> Policy:
    """Return the shipped policy."""
    return Policy.load(POLICY)


def scale_of(name: str) -> Scale:
    """Return how large a scenario is played here."""
    if name in NEGATIVES or name == "honest":
        return ALONE
    if name == "floods-fresh-identifiers":
        return FLOOD
    return BESIDE if "+" in name else HUB if name == "slow-hub" else TRIAL


@lru_cache(maxsize=4)
def written(name: str, seed: int = SEED) -> tuple[Trace, bytes]:
    """Return a scenario's trace, and the same as NDJSON."""
    trace = stage_of(name, scale_of(name), seed).trace()
    return trace, b"".join(lines(trace))


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


def outcomes(trace: Trace, decisions: list[bytes], replay: Replay) -> tuple[Outcome, Outcome]:
    """Return what became of a trace, and what would have if the cluster's limit had refused nothing."""
    assert len(decisions) == len(trace)
    refused = np.array([b'"refuse"' in line for line in decisions])
    by_cluster = np.array([_BY_CLUSTER in line for line in decisions])
    found = [_CLUSTER.search(line) for line in decisions]
    numbers: dict[bytes, int] = {}
    cluster = np.array([NONE if one is None else numbers.setdefault(one[1], len(numbers)) for one in found])
    final = np.full(trace.accounts, NONE)
    if replay.actors is not None:
        rows = {account_name(number): number for number in range(trace.accounts)}
        for entry in clusters_report(replay.actors)["clusters"]:
            label = numbers.setdefault(entry["id"].encode(), len(numbers))
            final[[rows[member] for member in entry["members"]]] = label
    nobody = np.full(trace.accounts, NONE)
    control = Outcome(~refused | by_cluster, np.full(len(trace), NONE), nobody)
    return Outcome(~refused, cluster, final), control


def tried(name: str, seed: int = SEED, **changed: Any) -> Verdict:
    """Return all that is measured of a scenario; `changed` as for `replayed`."""
    trace, text = written(name, seed)
    return judge(trace, *outcomes(trace, *replayed(text, **changed)))


@cache
def verdicts(name: str, seed: int = SEED) -> tuple[Verdict, Verdict]:
    """Return all that is measured of a scenario, and the same as if nothing had been correlated."""
    trace, text = written(name, seed)
    outcome, control = outcomes(trace, *replayed(text))
    return judge(trace, outcome, control), judge(trace, control, control)
