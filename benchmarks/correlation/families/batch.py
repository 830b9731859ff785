"""Worlds for models that judge in batches: columns by name, and verdicts made to decide.

A batch model is a function `judge(w, time_s)`. It may look at what came before `time_s` and
returns pairs (verdict, group). A verdict is "certain", "likely" or anything else. A group is
an array of accounts, or a dict with `members` and `cardset`, by which later accounts on those cards join.
A tuple (state, pairs) will do as well.

`w` has, by request and in order of time: t (seconds since the first midnight), acct, unit (a
number for each IPv4 address, or /48), net (/24, /48), block (/16, /32), client, length. By
account it has: card, first (created, seconds; before the trace it is negative), actor (0: honest)
and cls, which a model may print and not use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.budget import ACCOUNT, admit_both
from benchmarks.correlation.contender import NONE, Outcome, unclustered
from benchmarks.correlation.numbers import HOUR_NS, START_NS, Ints
from benchmarks.correlation.trace import Trace

Columns = dict[str, NDArray[Any]]
Judge = Callable[[Columns, float], Any]
LIKELY, CERTAIN = 1, 2


def columns(trace: Trace) -> Columns:
    """Return a trace as a batch model takes it."""
    hi, lo = trace.addresses.hi, trace.addresses.lo
    v6 = hi != 0
    top = np.uint64(1) << np.uint64(63)  # so that the two versions never meet

    def number(v4_bits: int, v6_bits: int) -> Ints:
        key = np.where(v6, hi >> np.uint64(64 - v6_bits) | top, lo >> np.uint64(32 - v4_bits))
        return np.unique(key, return_inverse=True)[1].astype(np.int64)[trace.ip]

    card = np.zeros(trace.accounts, dtype=np.int64)
    card[trace.account] = trace.payment
    lone = card == 0
    card[lone] = card.max(initial=0) + 1 + np.arange(int(lone.sum()))
    created = trace.first_seen_ns if trace.created_ns is None else trace.created_ns
    return {
        "t": (trace.time_ns - START_NS) / 1e9,
        "acct": trace.account.astype(np.int64),
        "unit": number(32, 48),
        "net": number(24, 48),
        "block": number(16, 32),
        "client": trace.client.astype(np.int64),
        "length": trace.output_tokens.astype(np.int64),
        "card": card,
        "first": (created - START_NS) / 1e9,
        "actor": trace.truth.campaign.astype(np.int64) + 1,
        "cls": np.array(trace.truth.klasses)[trace.truth.klass],
    }


def verdicts(found: object, card: Ints) -> tuple[Ints, Ints]:
    """Return the verdict and the group of each account, whatever way a model says them."""
    if isinstance(found, tuple):
        found = found[-1]
    verdict, group = np.zeros(len(card), dtype=np.int64), np.full(len(card), NONE)
    pairs: Iterable[tuple[str, Any]] = found  # type: ignore[assignment]
    for number, (word, told) in enumerate(pairs):
        grade = {"certain": CERTAIN, "likely": LIKELY}.get(word, 0)
        if not grade:
            continue
        if isinstance(told, dict):
            members = np.asarray(told["members"])
            if "cardset" in told and not told.get("by_account"):
                members = np.flatnonzero(np.isin(card, told["cardset"]))
        else:
            members = np.asarray(told)
        members = members[verdict[members] < grade]
        verdict[members], group[members] = grade, number
    return verdict, group


class Batch:
    """A batch model as a contender: asked once an hour, its verdicts decide the next one.

    Args:
        name: in results.
        judge: the model.
        every_h: hours from one judgement to the next.
    """

    def __init__(self, name: str, judge: Judge, every_h: int = 1) -> None:
        self.name = name
        self._judge, self._every = judge, every_h

    def control(self, trace: Trace) -> Outcome:
        """Return what limits an account alone do."""
        return unclustered(trace, ACCOUNT.admit(trace.account.astype(np.int64), trace.time_ns))

    def run(self, trace: Trace) -> Outcome:
        """Return what it decides: certain actors share a budget."""
        began = process_time()
        w = columns(trace)
        account = w["acct"]
        cluster = np.full(len(trace), NONE)
        verdict = np.zeros(len(trace), dtype=np.int64)
        last = (int(trace.time_ns[-1]) - START_NS) // HOUR_NS
        group = np.full(trace.accounts, NONE)
        grade = np.zeros(trace.accounts, dtype=np.int64)
        kept = _Names()
        for hour in range(1, last + 1, self._every):
            begin, end = np.searchsorted(w["t"], [hour * 3600, (hour + self._every) * 3600])
            if not begin:
                continue
            grade, group = verdicts(self._judge(w, float(hour * 3600)), w["card"])
            group = kept.named(group)
            cluster[begin:end] = group[account[begin:end]]
            verdict[begin:end] = grade[account[begin:end]]
        certain = np.where(verdict == CERTAIN, cluster, NONE)
        admitted = admit_both(account, certain, trace.time_ns)
        return Outcome(admitted, cluster, group, cost={"seconds": process_time() - began}, verdict=verdict)


class _Names:
    """Groups keep the name of the one most of their members were in: a budget is not new every hour."""

    def __init__(self) -> None:
        self._before: Ints | None = None
        self._next = 0

    def named(self, group: Ints) -> Ints:
        out = np.full(len(group), NONE)
        taken: set[int] = set()
        labels, sizes = np.unique(group[group >= 0], return_counts=True)
        for label in labels[np.argsort(-sizes, kind="stable")].tolist():
            mine = group == label
            name = NONE
            if self._before is not None:
                was = self._before[mine]
                was = was[was >= 0]
                if len(was):
                    name = int(np.bincount(was).argmax())
            if name < 0 or name in taken:
                name, self._next = self._next, self._next + 1
            taken.add(name)
            out[mine] = name
        self._before = out
        return out
