"""Clusters beside actors: pairs counted exactly, from contingency counts and never pair by pair."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from benchmarks.correlation.contender import Outcome
from benchmarks.correlation.numbers import HOUR_NS, Ints
from benchmarks.correlation.trace import Trace


def pairs(count: Ints) -> int:
    """Return how many pairs there are within groups of these sizes."""
    count = np.asarray(count, dtype=np.int64)
    return int((count * (count - 1) // 2).sum())


def precision(label: Ints, actor: Ints) -> float:
    """Return the share of pairs in one cluster that are one actor; 1 without any pair."""
    inside = label >= 0
    claimed = pairs(_sizes(label[inside]))
    right = pairs(_sizes(label[inside], actor[inside]))
    return right / claimed if claimed else 1.0


def recall(label: Ints, actor: Ints) -> float:
    """Return the share of pairs of one actor that are in one cluster; 1 without any pair."""
    possible = pairs(_sizes(actor))
    inside = label >= 0
    return pairs(_sizes(label[inside], actor[inside])) / possible if possible else 1.0


def purity(label: Ints, actor: Ints) -> float:
    """Return the largest cluster's share of accounts that are one actor; 1 without a cluster."""
    inside = label >= 0
    if not inside.any():
        return 1.0
    labels, count = np.unique(label[inside], return_counts=True)
    members = actor[label == labels[count.argmax()]]
    return float(_sizes(members).max() / len(members))


def clusters(trace: Trace, outcome: Outcome) -> dict[str, float]:
    """Return how good the clusters of accounts that were seen are, at the end.

    Recall is of campaigns only: a company need not be found. `worst precision` is
    over all snapshots, since a wrong merge that is undone has been wrong meanwhile.
    `false clusters` have accounts of honest actors alone, several of them.
    """
    truth = trace.truth
    seen = np.unique(trace.account)
    label, actor, campaign = outcome.final[seen], truth.actor[seen], truth.campaign[seen]
    found = {
        "pairwise precision": precision(label, actor),
        "purity of the largest": purity(label, actor),
        "clusters": float(len(np.unique(label[label >= 0]))),
    }
    if outcome.history:
        found["worst precision"] = min(precision(one[seen], actor) for _, one in outcome.history)
    inside = label >= 0
    labels, which = np.unique(label[inside], return_inverse=True)
    of_campaigns = np.bincount(which, weights=campaign[inside] >= 0, minlength=len(labels))
    actors = np.bincount(np.unique(np.stack([which, actor[inside]]), axis=1)[0], minlength=len(labels))
    found["false clusters"] = float(((of_campaigns == 0) & (actors > 1)).sum())
    bad = campaign >= 0
    if bad.any():
        found["pairwise recall"] = recall(label[bad], actor[bad])
        numbers = np.unique(campaign[bad]).tolist()
        counts = [len(_sizes(label[(campaign == one) & inside])) for one in numbers]
        found["clusters a campaign"] = float(np.mean(counts))
        found["id stability"] = float(np.mean([stability(trace, outcome, one) for one in numbers]))
    return found


def stability(trace: Trace, outcome: Outcome, campaign: int) -> float:
    """Return in what share of hours most of a campaign is called as it was the hour before."""
    mine = (trace.campaign == campaign) & (outcome.cluster >= 0)
    hour, label = trace.time_ns[mine] // HOUR_NS, outcome.cluster[mine]
    names = []
    for one in np.unique(hour).tolist():
        known, count = np.unique(label[hour == one], return_counts=True)
        names.append(int(known[count.argmax()]))
    return float(np.mean([a == b for a, b in pairwise(names)])) if len(names) > 1 else 1.0


def _sizes(*labels: Ints) -> Ints:
    """Return the sizes of groups that are equal in all of these labels."""
    if not len(labels[0]):
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.stack(labels), axis=1, return_counts=True)[1]
