"""GCRA over columns: one budget a key, and only the keys that could ever be refused in a loop.

A key's requests conform as a whole exactly if none is refused when all of them are
charged. That is a running maximum, and no loop. A key that conforms whole conforms in
every part, so one look tells which accounts a limit can touch at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.numbers import DAY_NS, SECOND_NS, Ints

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Budget:
    """A rate and a burst.

    Args:
        emission_ns: nanoseconds a request at the nominal rate.
        burst: requests that conform at one instant from full.
    """

    emission_ns: int
    burst: int

    @property
    def tolerance_ns(self) -> int:
        """How far the theoretical arrival time may be ahead."""
        return (self.burst - 1) * self.emission_ns

    def conforming(self, key: Ints, time_ns: Ints) -> Mask:
        """Return for each request whether its key conforms whole: nothing of it is ever refused.

        Args:
            key: numbers from 0; times do not descend.
        """
        if not len(key):
            return np.zeros(0, dtype=bool)
        order = np.argsort(key, kind="stable")
        sorted_key, when = key[order], time_ns[order] - int(time_ns[0])
        first = np.flatnonzero(np.r_[True, sorted_key[1:] != sorted_key[:-1]])
        which = np.cumsum(np.r_[True, sorted_key[1:] != sorted_key[:-1]]) - 1
        nth = np.arange(len(key)) - first[which]
        # The arrival time before request n is the largest of t[j] + (n - j) * emission over j < n.
        start = when - nth * self.emission_ns
        span = int(start.max() - start.min()) + 1
        latest = np.maximum.accumulate(start + which * span) - which * span
        before = np.where(nth > 0, np.r_[start[0], latest[:-1]] + nth * self.emission_ns, when)
        worst = np.maximum.reduceat(before - when, first)
        return (worst <= self.tolerance_ns)[np.unique(key, return_inverse=True)[1]]

    def admit(self, key: Ints, time_ns: Ints) -> Mask:
        """Return which requests are admitted when each key has this budget and refusals cost nothing."""
        admitted = np.ones(len(key), dtype=bool)
        touched = np.flatnonzero(~self.conforming(key, time_ns))
        due: dict[int, int] = {}
        emission, tolerance = self.emission_ns, self.tolerance_ns
        for row, one, now in zip(
            touched.tolist(), key[touched].tolist(), time_ns[touched].tolist(), strict=True
        ):
            arrival = due.get(one, now)
            if arrival - now > tolerance:
                admitted[row] = False
            else:
                due[one] = max(arrival, now) + emission
        return admitted


ACCOUNT = Budget(60 * SECOND_NS // 50, 20)
CLUSTER = Budget(DAY_NS // 3000, 125)
CLUSTER_A_DAY = 3000


def admit_both(account: Ints, cluster: Ints, time_ns: Ints) -> Mask:
    """Return what is admitted when an account has its budget and its cluster, if any (-1: none), another.

    All or nothing: a request that either refuses is charged to neither.
    """
    admitted = np.ones(len(account), dtype=bool)
    touched = np.flatnonzero((cluster >= 0) | ~ACCOUNT.conforming(account, time_ns))
    accounts: dict[int, int] = {}
    clusters: dict[int, int] = {}
    own, own_tolerance = ACCOUNT.emission_ns, ACCOUNT.tolerance_ns
    common, common_tolerance = CLUSTER.emission_ns, CLUSTER.tolerance_ns
    for row, who, group, now in zip(
        touched.tolist(),
        account[touched].tolist(),
        cluster[touched].tolist(),
        time_ns[touched].tolist(),
        strict=True,
    ):
        arrival = max(accounts.get(who, now), now)
        if arrival - now > own_tolerance:
            admitted[row] = False
            continue
        if group >= 0:
            due = max(clusters.get(group, now), now)
            if due - now > common_tolerance:
                admitted[row] = False
                continue
            clusters[group] = due + common
        accounts[who] = arrival + own
    return admitted
