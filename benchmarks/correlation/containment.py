"""Containment of a campaign: what is admitted, for how long too much, and how soon its accounts are known."""

from __future__ import annotations

import numpy as np

from benchmarks.correlation.budget import CLUSTER, CLUSTER_A_DAY
from benchmarks.correlation.contender import Outcome
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS, Floats, Ints
from benchmarks.correlation.trace import Trace

HOURS = (1, 6, 24)
ENOUGH = 5
"""Accounts with fewer requests say little about how many it takes to know them."""


def containment(trace: Trace, outcome: Outcome, control: Outcome, campaign: int) -> dict[str, float]:
    """Return what became of one campaign, from its beginning to the end of the trace.

    - `admitted`: requests, as a share of what limits an account alone admit.
    - `amplification`, and the same `after` some hours: admitted a day by the cluster's
      budget a day. After an hour the burst is used up, so 1 is the ideal there.
    - `hours beyond`: what was admitted beyond the budget (and burst), in hours of the
      campaign's own mean traffic: the time to contain.
    """
    start = trace.starts_ns[campaign]
    mine = (trace.campaign == campaign) & (trace.time_ns >= start)
    when = trace.time_ns[mine & outcome.admitted]
    possible = trace.time_ns[mine & control.admitted]
    days = (trace.end_ns - start) / DAY_NS
    found = {
        "admitted": len(when) / max(len(possible), 1),
        "demand": len(possible) / days / CLUSTER_A_DAY,
        "amplification": len(when) / days / CLUSTER_A_DAY,
    }
    for hours in HOURS:
        left = days - hours / 24
        if left > 0:
            since = start + hours * HOUR_NS
            found[f"amplification after {hours} h"] = float((when >= since).sum()) / left / CLUSTER_A_DAY
            found[f"demand after {hours} h"] = float((possible >= since).sum()) / left / CLUSTER_A_DAY
    beyond = len(when) - CLUSTER_A_DAY * days - CLUSTER.burst
    pace = len(possible) / max(days * 24, 1e-9)
    found["hours beyond"] = max(0.0, beyond) / max(pace, 1e-9)
    return found


def attachment(trace: Trace, outcome: Outcome, campaign: int) -> dict[str, float]:
    """Return how many requests of an account it takes until one is decided in a cluster.

    The first wave and the replacements (and late joiners) apart; infinite for an account
    that never is. Clusters in which others are the majority do not count.
    """
    start = trace.starts_ns[campaign]
    mine = np.flatnonzero((trace.campaign == campaign) & (trace.time_ns >= start))
    own = _own_labels(trace, outcome, campaign)
    account = trace.account[mine].astype(np.int64)
    inside = np.isin(outcome.cluster[mine], own)
    order = np.argsort(account, kind="stable")
    account, inside = account[order], inside[order]
    begins = (
        np.flatnonzero(np.r_[True, account[1:] != account[:-1]]) if len(account) else np.zeros(0, np.int64)
    )
    total = np.diff(np.r_[begins, len(account)])
    nth = np.arange(len(account)) - np.repeat(begins, total) + 1.0
    needed = np.minimum.reduceat(np.where(inside, nth, np.inf), begins) if len(begins) else nth
    who = account[begins]
    first_ns = trace.time_ns[mine][order][begins]
    later = (trace.truth.bound[who] > 0) | (first_ns > start + 12 * HOUR_NS)
    found: dict[str, float] = {}
    for name, chosen in (("first wave", ~later), ("replacements", later)):
        values = needed[chosen & (total >= ENOUGH)]
        if len(values):
            found[f"to attach, {name}, median"] = _quantile(values, 0.5)
            found[f"to attach, {name}, 90 %"] = _quantile(values, 0.9)
            found[f"attached, {name}"] = float(np.isfinite(values).mean())
    return found


def hourly(trace: Trace, outcome: Outcome, control: Outcome, campaign: int) -> tuple[Floats, Floats]:
    """Return requests admitted and possible by hour of the campaign."""
    start = trace.starts_ns[campaign]
    hours = int(-(-(trace.end_ns - start) // HOUR_NS))
    mine = (trace.campaign == campaign) & (trace.time_ns >= start)
    counted = [
        np.bincount((trace.time_ns[mine & admitted] - start) // HOUR_NS, minlength=hours)[:hours].astype(
            float
        )
        for admitted in (outcome.admitted, control.admitted)
    ]
    return counted[0], counted[1]


def _own_labels(trace: Trace, outcome: Outcome, campaign: int) -> Ints:
    """Return labels (as requests carry them) with accounts that are mostly this campaign's."""
    inside = outcome.cluster >= 0
    pair = np.unique(np.stack([outcome.cluster[inside], trace.account[inside].astype(np.int64)]), axis=1)
    labels, which = np.unique(pair[0], return_inverse=True)
    ours = np.bincount(which, weights=trace.truth.campaign[pair[1]] == campaign, minlength=len(labels))
    return labels[ours > 0.5 * np.bincount(which, minlength=len(labels))]


def _quantile(values: Floats, share: float) -> float:
    return float(np.sort(values)[min(len(values) - 1, int(share * len(values)))])
