"""The library in this process: a search asks it a thousand times, and starts no program for each."""

from __future__ import annotations

import io
import re

import numpy as np

from benchmarks.correlation.contender import NONE, Outcome
from benchmarks.correlation.trace import Trace
from benchmarks.correlation.written import lines
from ratelimit.clock import ManualClock
from ratelimit.policy import Policy
from ratelimit.replay.run import Replay
from ratelimit.stores.factory import private_store
from ratelimit.traces import open_reader

_VERDICT = re.compile(rb'"verdict": "(likely|certain)"')


class Here:
    """Decides traces as `ratelimit replay` does, without a process of its own.

    Args:
        policy: its text.
    """

    name = "kinlimit"

    def __init__(self, policy: str) -> None:
        self._policy = Policy.from_toml(policy)

    def run(self, trace: Trace) -> Outcome:
        """Return what it decides."""
        return self._replay(trace, correlates=True)

    def control(self, trace: Trace) -> Outcome:
        """Return what the same policy decides without correlation."""
        return self._replay(trace, correlates=False)

    def _replay(self, trace: Trace, *, correlates: bool) -> Outcome:
        said: list[bytes] = []
        policy = self._policy
        replay = Replay(
            policy.compiled,
            lambda now_ns: private_store(policy, ManualClock(now_ns), seed=1),
            said.append,
            correlates=correlates,
        )
        try:
            text = io.BytesIO(b"".join(lines(trace)))
            for batch in open_reader("-", replay.fields, format="ndjson", stdin=text):
                replay.take(batch)
            replay.finish()
        finally:
            replay.close()
        rows = b"".join(said).splitlines()
        if len(rows) != len(trace):
            raise AssertionError(f"{len(rows)} decisions for {len(trace)} requests")
        admitted = np.array([b'"refuse"' not in row for row in rows], dtype=bool)
        grades = {b"likely": 1, b"certain": 2}
        found = (_VERDICT.search(row) for row in rows)
        verdict = np.array([0 if one is None else grades[one[1]] for one in found], dtype=np.int64)
        nobody = np.full(trace.accounts, NONE)
        return Outcome(admitted, np.full(len(trace), NONE), nobody, verdict=verdict)
