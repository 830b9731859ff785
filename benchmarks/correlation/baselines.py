"""Baselines: the means that any limiter has already, and the upper bound.

All have the same budgets: 50 requests a minute an account, 3,000 a day a cluster.
Those that cluster look at what the trace shows once an hour, and judge the next hour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import process_time
from typing import ClassVar

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from benchmarks.correlation.budget import ACCOUNT, admit_both
from benchmarks.correlation.contender import NONE, Outcome, unclustered
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS, Ints, mix
from benchmarks.correlation.trace import Trace


def numbered(key: np.ndarray) -> Ints:
    """Return keys as numbers from 0."""
    return np.unique(key, return_inverse=True)[1].astype(np.int64)


class _Accounts:
    """Every account by itself: the control of all contenders."""

    def control(self, trace: Trace) -> Outcome:
        """Return what limits an account alone do."""
        return unclustered(trace, ACCOUNT.admit(trace.account.astype(np.int64), trace.time_ns))


class PerAccount(_Accounts):
    """A limit for each account, and nothing else."""

    name = "per-account"

    def run(self, trace: Trace) -> Outcome:
        """Return what it decides."""
        return self.control(trace)


@dataclass(frozen=True)
class PerAddress(_Accounts):
    """The cluster's budget for each address, or each /24 and /48."""

    name: str = "per-address"
    key: Callable[[Trace], np.ndarray] = lambda trace: trace.ip64

    def run(self, trace: Trace) -> Outcome:
        """Return what it decides: the key is as good as a cluster of its own."""
        key = numbered(self.key(trace))
        admitted = admit_both(trace.account.astype(np.int64), key, trace.time_ns)
        return unclustered(trace, admitted)


def per_network() -> PerAddress:
    """Return a limit for each /24 and /48."""
    return PerAddress("per-network", lambda trace: trace.network)


class Hourly(_Accounts):
    """Judges once an hour; what it found decides the next one."""

    name = "hourly"

    def run(self, trace: Trace) -> Outcome:
        """Return what it decides."""
        began = process_time()
        cluster = np.full(len(trace), NONE)
        account = trace.account.astype(np.int64)
        links = self.prepare(trace)
        labels = np.full(trace.accounts, NONE)
        history: list[tuple[int, Ints]] = []
        if len(trace):
            first = int(trace.time_ns[0]) // HOUR_NS
            last = int(trace.time_ns[-1]) // HOUR_NS
            edges = np.searchsorted(trace.time_ns, np.arange(first, last + 2) * HOUR_NS)
            for hour in range(1, len(edges) - 1):
                seen, upto = edges[hour], edges[hour + 1]
                labels = links.labels((first + hour) * HOUR_NS, seen)
                cluster[seen:upto] = labels[account[seen:upto]]
                history.append(((first + hour) * HOUR_NS, labels))
        admitted = admit_both(account, cluster, trace.time_ns)
        return Outcome(admitted, cluster, labels, tuple(history), {"seconds": process_time() - began})

    def prepare(self, trace: Trace) -> Links:
        """Return what labels are made from."""
        raise AssertionError("a subclass says which")


class Links:
    """Accounts and what they used, as it is known at some hour.

    Args:
        trace: the trace they are of.
        kinds: keys by kind, and how long each is remembered.
        most: accounts beyond which an identifier of the kind says nothing.
    """

    def __init__(
        self, trace: Trace, kinds: dict[str, tuple[np.ndarray, int]], most: dict[str, int] | None = None
    ) -> None:
        self._time_ns = trace.time_ns
        self._account = trace.account.astype(np.int64)
        self._accounts = trace.accounts
        self._kinds = {name: (numbered(key), key != 0, span) for name, (key, span) in kinds.items()}
        self._most = most or {}

    def edges(self, kind: str, now_ns: int, upto: int) -> tuple[Ints, Ints]:
        """Return the distinct pairs (account, identifier) of one kind, too popular ones left out."""
        key, present, span = self._kinds[kind]
        begin = int(np.searchsorted(self._time_ns, now_ns - span))
        part = slice(begin, upto)
        kept = present[part]
        pair = np.unique(self._account[part][kept] << 32 | key[part][kept])
        account, identifier = pair >> 32, pair & 0xFFFFFFFF
        if kind in self._most:
            degree = np.bincount(identifier)
            few = degree[identifier] <= self._most[kind]
            account, identifier = account[few], identifier[few]
        return account, identifier

    def labels(self, now_ns: int, upto: int) -> Ints:
        """Return a label for each account: that of all it is connected with, -1 when alone."""
        rows, columns, offset = [], [], self._accounts
        for kind, (key, _, _) in self._kinds.items():
            account, identifier = self.edges(kind, now_ns, upto)
            rows.append(account)
            columns.append(identifier + offset)
            offset += int(key.max(initial=-1)) + 1
        row, column = np.concatenate(rows), np.concatenate(columns)
        graph = coo_array((np.ones(len(row), dtype=np.int8), (row, column)), shape=(offset, offset))
        return named(connected_components(graph, directed=False)[1][: self._accounts])


def named(component: Ints) -> Ints:
    """Return components as labels: the smallest member's number; -1 for one that is alone."""
    _, first, inverse, size = np.unique(component, return_index=True, return_inverse=True, return_counts=True)
    return np.where(size[inverse] > 1, first[inverse], NONE).astype(np.int64)


class UnionFind(Hourly):
    """Any identifier two accounts share makes them one."""

    name = "union-find"

    def prepare(self, trace: Trace) -> Links:
        """Link by address, payment method and client."""
        return Links(trace, _identifiers(trace))


class CutUnionFind(Hourly):
    """The same, but what many accounts share links none."""

    name = "union-find, cut"
    MOST: ClassVar = {"ip": 8, "payment": 100, "client": 3}

    def prepare(self, trace: Trace) -> Links:
        """Link by what is rare."""
        return Links(trace, _identifiers(trace), self.MOST)


def _identifiers(trace: Trace) -> dict[str, tuple[np.ndarray, int]]:
    return {
        "ip": (trace.ip64, DAY_NS),
        "payment": (trace.payment, 365 * DAY_NS),
        "client": (trace.client + 1, DAY_NS),
    }


class Additive(Hourly):
    """Pairs of accounts score for what they share; enough points, and they are one.

    A kind of evidence counts twice at most.
    """

    name = "additive"
    WEIGHTS: ClassVar = {"payment": 2.0, "ip": 1.0, "network and client": 0.7, "rare client": 1.0}
    MOST: ClassVar = {"payment": 100, "ip": 30, "network and client": 30, "rare client": 60}
    ENOUGH = 2.5

    def prepare(self, trace: Trace) -> Links:
        """Score what is rare enough to be worth a pair."""
        kinds: dict[str, tuple[np.ndarray, int]] = {
            "payment": (trace.payment, 365 * DAY_NS),
            "ip": (trace.ip64, DAY_NS),
            "network and client": (mix(trace.network, trace.client), DAY_NS),
            "rare client": (trace.client + 1, DAY_NS),
        }
        return _Scored(trace, kinds, self.MOST)


class _Scored(Links):
    def labels(self, now_ns: int, upto: int) -> Ints:
        score = csr_array((self._accounts, self._accounts), dtype=np.float32)
        for kind, weight in Additive.WEIGHTS.items():
            account, identifier = self.edges(kind, now_ns, upto)
            if len(account):
                shape = (self._accounts, int(identifier.max()) + 1)
                used = csr_array(
                    (np.ones(len(account), dtype=np.float32), (account, identifier)), shape=shape
                )
                shared = used @ used.T
                np.minimum(shared.data, 2.0, out=shared.data)
                score = score + weight * shared
        score.data[score.data < Additive.ENOUGH] = 0
        score.eliminate_zeros()
        return named(connected_components(score, directed=False)[1])


class TrueLabels(_Accounts):
    """Knows every campaign from its first request: none can do better."""

    name = "true labels"

    def run(self, trace: Trace) -> Outcome:
        """Return what it decides."""
        actor = np.where(trace.truth.campaign >= 0, trace.truth.actor, NONE)
        cluster = actor[trace.account]
        admitted = admit_both(trace.account.astype(np.int64), cluster, trace.time_ns)
        return Outcome(admitted, cluster, actor)
