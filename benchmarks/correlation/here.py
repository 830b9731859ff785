"""The library in this process: a search asks it a thousand times, and starts no program for each."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.correlation.contender import NONE, Outcome
from benchmarks.correlation.numbers import DAY_NS
from benchmarks.correlation.trace import Trace
from benchmarks.correlation.written import lines
from ratelimit.allowance.history import History, read_history, write_history
from ratelimit.allowance.logs import LogRecords
from ratelimit.clock import ManualClock
from ratelimit.lab.records import Fields
from ratelimit.lab.replay import Replay
from ratelimit.lab.traces import Batch, open_reader
from ratelimit.policy import Policy
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.factory import private_store

_VERDICT = re.compile(rb'"verdict": "(likely|certain)"')
_GRADES = {b"likely": 1, b"certain": 2}


class Here:
    """Decides traces as `ratelimit replay` does, without a process of its own.

    Args:
        policy: its text.
        imported_until_ns: lines before this are history that `ratelimit make history` made of logs: they are
            admitted, and known at once. 0: there is none.
    """

    name = "kinlimit"

    def __init__(self, policy: str, *, imported_until_ns: int = 0) -> None:
        self._policy, self._imported_until_ns = Policy.from_toml(policy), imported_until_ns

    def run(self, trace: Trace) -> Outcome:
        """Return what it decides."""
        return self._outcome(trace, correlates=True)

    def control(self, trace: Trace) -> Outcome:
        """Return what the same policy decides without correlation."""
        return self._outcome(trace, correlates=False)

    def _outcome(self, trace: Trace, *, correlates: bool) -> Outcome:
        history = trace.time_ns < self._imported_until_ns
        admitted, verdict = np.ones(len(trace), dtype=bool), np.zeros(len(trace), dtype=np.int64)
        known = self._learned(trace.where(history)) if history.any() else None
        later = trace.where(~history) if history.any() else trace
        admitted[~history], verdict[~history] = _decided(self._policy, later, known, correlates=correlates)
        nobody = np.full(trace.accounts, NONE)
        return Outcome(admitted, np.full(len(trace), NONE), nobody, verdict=verdict)

    def _learned(self, trace: Trace) -> History:
        """Return what an installation begins with that these requests were imported to."""
        learned = LogRecords(self._policy.compiled, lambda now_ns: _store(self._policy, now_ns))
        with TemporaryDirectory() as folder:
            path = Path(folder, "history.bin")
            try:
                for batch in _batches(trace, learned.fields):
                    learned.take(batch)
                assert learned.records is not None  # there are lines
                write_history(path, learned.records, learned.key, until=learned.last_ns // DAY_NS)
                return read_history(path, learned.key)
            finally:
                learned.close()


def _store(policy: Policy, now_ns: int) -> EmbeddedStore:
    return private_store(policy, ManualClock(now_ns), seed=1)


def _decided(
    policy: Policy, trace: Trace, history: History | None, *, correlates: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return which requests are admitted, and the verdict of each."""
    admitted, verdict = np.ones(len(trace), dtype=bool), np.zeros(len(trace), dtype=np.int64)
    row = 0

    def read(chunk: bytes) -> None:
        nonlocal row
        for line in chunk.splitlines():
            if b'"refuse"' in line:
                admitted[row] = False
            found = _VERDICT.search(line)
            if found is not None:
                verdict[row] = _GRADES[found[1]]
            row += 1

    replay = Replay(
        policy.compiled,
        lambda now_ns: _store(policy, now_ns),
        read,
        correlates=correlates,
        history=history,
    )
    try:
        for batch in _batches(trace, replay.fields):
            replay.take(batch)
        replay.finish()
    finally:
        replay.close()
    if row != len(trace):
        raise AssertionError(f"{row} decisions for {len(trace)} requests")
    return admitted, verdict


def _batches(trace: Trace, fields: Fields) -> Iterator[Batch]:
    """Yield a trace as a reader of its lines does; few of them are in memory at a time."""
    text = io.BufferedReader(_Lines(lines(trace)))
    yield from open_reader("-", fields, format="ndjson", stdin=text)


class _Lines(io.RawIOBase):
    """A stream of lines that are made as they are read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with what comes next."""
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
