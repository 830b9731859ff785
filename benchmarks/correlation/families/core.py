"""The correlator's core as a contender: no policy, no files, only what is seen together and when.

A world is shown to a `Correlator` in process, rebuilt when it is due. What it says of each request at
that moment decides: a certain actor has one budget. That takes a tenth of the time of a replay through
a policy, and says nothing of the limits around the model.
"""

from __future__ import annotations

from array import array
from time import process_time

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.budget import ACCOUNT, admit_both
from benchmarks.correlation.contender import NONE, Outcome, unclustered
from benchmarks.correlation.trace import Trace
from ratelimit.core.clusters.recogniser import AtOnce
from ratelimit.core.clusters.sighting import Columns
from ratelimit.correlation import Correlator, Settings

ABSENT = 2**64 - 1
LINES = 256
"""Requests decided at once, between two looks at whether a rebuild is due."""
COLUMNS = Columns((0,), (1, 2, 4, 5, -1, -1, -1, 3), 6)
"""Account, address, network, block, payment, client, when it was created; then the actor's four places."""
ACTOR_AT = 10

Numbers = NDArray[np.uint64]


class Core:
    """Decides by what the correlator says, with the default numbers unless others are given."""

    name = "core"

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self.budgets: Numbers = np.empty(0, dtype=np.uint64)
        """The budget of a young cluster that counts each request of the last trace; all ones without one."""

    def control(self, trace: Trace) -> Outcome:
        """Return what limits an account alone do."""
        return unclustered(trace, ACCOUNT.admit(trace.account.astype(np.int64), trace.time_ns))

    def run(self, trace: Trace) -> Outcome:
        """Return what it decides: certain actors share a budget."""
        began = process_time()
        columns = columns_of(trace)
        times: list[int] = trace.time_ns.tolist()
        correlator = Correlator(self._settings, times[0], COLUMNS)
        correlator.core.columns.tells_young = True
        recogniser = AtOnce(correlator.core, ACTOR_AT)
        for start in range(0, len(times), LINES):
            if correlator.is_due(times[start]):
                for _ in correlator.rebuild(times[start]):
                    pass
                correlator.carries.clear()
            stop = min(start + LINES, len(times))
            recogniser.take_columns(columns, times, start, stop)
        self.budgets = np.frombuffer(columns[ACTOR_AT - 3], dtype=np.uint64)
        actor, likely = (np.frombuffer(columns[at], dtype=np.uint64) for at in (ACTOR_AT - 2, ACTOR_AT - 1))
        verdict = np.where(actor == ABSENT, 0, np.where(likely == ABSENT, 2, 1)).astype(np.int64)
        cluster = np.where(verdict > 0, np.unique(actor, return_inverse=True)[1], NONE)
        account = trace.account.astype(np.int64)
        admitted = admit_both(account, np.where(verdict == 2, cluster, NONE), trace.time_ns)
        final = np.full(trace.accounts, NONE)
        final[account] = cluster
        cost = {"seconds": process_time() - began, "rebuilds": float(correlator.rebuilds)}
        return Outcome(admitted, cluster, final, cost=cost, verdict=verdict)


def columns_of(trace: Trace) -> list[array[int]]:
    """Return a trace as rows of hashes are kept by column, with room for each request's actor."""
    hi, lo = trace.addresses.hi, trace.addresses.lo
    is_v6 = hi != 0

    def prefix(v4_bits: int, v6_bits: int) -> Numbers:
        top = (hi >> np.uint64(64 - v6_bits) << np.uint64(1)) | np.uint64(1) << np.uint64(63)
        number = np.where(is_v6, top, lo >> np.uint64(32 - v4_bits))
        return hashed(number, v4_bits)[trace.ip]

    account = trace.account.astype(np.int64)
    absent = np.full(len(account), ABSENT, dtype=np.uint64)
    payment = trace.payment.astype(np.uint64)
    created = absent if trace.created_ns is None else (trace.created_ns // 10**9)[account].astype(np.uint64)
    found = [
        hashed(account.astype(np.uint64), 1),
        prefix(32, 64),
        prefix(24, 48),
        prefix(16, 32),
        np.where(payment > 0, hashed(payment, 2), absent),
        hashed(trace.client.astype(np.uint64), 3),
        created,
        *(absent,) * 4,
    ]
    return [array("Q", np.ascontiguousarray(column).tobytes()) for column in found]


def hashed(numbers: Numbers, kind: int) -> Numbers:
    """Return what stands for numbers of a kind: 64 bits, never what says infrastructure or nothing."""
    with np.errstate(over="ignore"):
        mixed = (numbers.astype(np.uint64) * np.uint64(64) + np.uint64(kind + 1)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(32)
    return mixed & ~np.uint64(1) | np.uint64(2)
