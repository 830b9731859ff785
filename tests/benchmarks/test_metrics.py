"""Metrics, by hand on small cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.correlation.addresses import Addresses
from benchmarks.correlation.budget import ACCOUNT, CLUSTER, Budget, admit_both
from benchmarks.correlation.collateral import by_class
from benchmarks.correlation.containment import attachment, containment
from benchmarks.correlation.contender import NONE, Outcome
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS, SECOND_NS
from benchmarks.correlation.partition import precision, purity, recall, stability
from benchmarks.correlation.runs import Interval
from benchmarks.correlation.trace import Trace, Truth


def trace_of(events: list[tuple[int, int]], campaign: list[int], end_ns: int) -> Trace:
    """Return a trace of (time, account) rows; accounts of campaign -1 are each their own actor."""
    count = len(events)
    zeros = np.zeros(count, dtype=np.uint32)
    actor = np.array([1000 + one if one >= 0 else row for row, one in enumerate(campaign)])
    klass = np.array([0 if one < 0 else 1 for one in campaign], dtype=np.int32)
    truth = Truth(
        actor,
        klass,
        np.array(campaign, dtype=np.int32),
        np.zeros(len(campaign), dtype=np.int32),
        np.zeros(len(campaign), dtype=bool),
        ("home", "base"),
    )
    return Trace(
        np.array([time for time, _ in events], dtype=np.int64),
        np.array([account for _, account in events], dtype=np.uint32),
        zeros,
        zeros,
        zeros,
        zeros,
        zeros,
        Addresses(np.zeros(1, np.uint64), np.ones(1, np.uint64)),
        ("client",),
        truth,
        {one: 0 for one in campaign if one >= 0},
        end_ns,
    )


def test_containment_of_a_day() -> None:
    # 9,600 requests a day, evenly; all admitted in the first quarter, one in four thereafter.
    times = [second * 9 * SECOND_NS for second in range(9600)]
    trace = trace_of([(time, 0) for time in times], [0], DAY_NS)
    admitted = np.array([row < 2400 or row % 4 == 0 for row in range(9600)])
    none = np.full(9600, NONE)
    everything = Outcome(np.ones(9600, dtype=bool), none, np.array([NONE]))
    found = containment(trace, Outcome(admitted, none, np.array([NONE])), everything, 0)
    total = 2400 + 1800
    assert found["admitted"] == pytest.approx(total / 9600)
    assert found["amplification"] == pytest.approx(total / 3000)
    assert found["amplification after 6 h"] == pytest.approx(1800 / 0.75 / 3000)
    assert found["hours beyond"] == pytest.approx((total - 3000 - 125) / 400)
    assert "amplification after 24 h" not in found


def test_requests_to_attach() -> None:
    # Account 0 is known at its third request, account 1 at its first, account 2 never.
    events = [(row * SECOND_NS, row % 3) for row in range(18)]
    trace = trace_of(events, [0, 0, 0], HOUR_NS)
    cluster = np.array([-1, 5, -1, -1, 5, -1] + [5, 5, -1] * 4)
    outcome = Outcome(np.ones(18, dtype=bool), cluster, np.array([5, 5, NONE]))
    found = attachment(trace, outcome, 0)
    assert found["to attach, first wave, median"] == 3
    assert found["to attach, first wave, 90 %"] == np.inf
    assert found["attached, first wave"] == pytest.approx(2 / 3)


def test_harm_is_what_correlation_adds() -> None:
    events = [(row * SECOND_NS, row % 2) for row in range(10)]
    trace = trace_of(events, [-1, -1], HOUR_NS)
    control = np.ones(10, dtype=bool)
    control[0] = False  # the account's own limit, with or without correlation
    admitted = control.copy()
    admitted[[2, 4]] = False
    none = np.full(10, NONE)
    final = np.array([3, 3])
    found = by_class(trace, Outcome(admitted, none, final), Outcome(control, none, final))["home"]
    assert found.refused == pytest.approx(0.2)
    assert found.ever == pytest.approx(0.5)
    assert found.clustered == 1.0


def by_pairs(label: list[int], actor: list[int]) -> tuple[float, float]:
    """Return precision and recall the slow way."""
    claimed = right = possible = 0
    for one, other in itertools.combinations(range(len(label)), 2):
        together = label[one] == label[other] != NONE
        same = actor[one] == actor[other]
        claimed += together
        possible += same
        right += together and same
    return right / claimed, right / possible


def test_pairs_are_counted_exactly() -> None:
    chance = np.random.default_rng(3)
    label, actor = chance.integers(-1, 4, size=60), chance.integers(0, 5, size=60)
    assert (precision(label, actor), recall(label, actor)) == pytest.approx(
        by_pairs(label.tolist(), actor.tolist())
    )


def test_purity_of_the_largest() -> None:
    assert purity(np.array([1, 1, 1, 2, 2, NONE]), np.array([7, 7, 8, 9, 9, 7])) == pytest.approx(2 / 3)
    assert purity(np.array([NONE, NONE]), np.array([0, 1])) == 1.0


def test_an_id_that_changes_once_in_four_hours() -> None:
    events = [(hour * HOUR_NS, 0) for hour in range(5)]
    trace = trace_of(events, [0], 5 * HOUR_NS)
    outcome = Outcome(np.ones(5, dtype=bool), np.array([4, 4, 4, 9, 9]), np.array([9]))
    assert stability(trace, outcome, 0) == pytest.approx(3 / 4)


def slow_gcra(budget: Budget, times: list[int]) -> list[bool]:
    due, admitted = 0, []
    for now in times:
        fits = max(due, now) - now <= budget.tolerance_ns
        admitted.append(fits)
        if fits:
            due = max(due, now) + budget.emission_ns
    return admitted


@pytest.mark.parametrize("seed", range(5))
def test_budgets_are_gcra(seed: int) -> None:
    chance = np.random.default_rng(seed)
    keys = chance.integers(0, 8, size=4000)
    times = np.sort(chance.integers(0, 600, size=4000)) * SECOND_NS
    admitted = ACCOUNT.admit(keys, times)
    assert 0 < admitted.sum() < 4000
    for key in range(8):
        assert admitted[keys == key].tolist() == slow_gcra(ACCOUNT, times[keys == key].tolist())
    whole = ACCOUNT.conforming(keys, times)
    for key in range(8):
        assert whole[keys == key].all() == all(slow_gcra(ACCOUNT, times[keys == key].tolist()))


def test_a_cluster_has_three_thousand_a_day_and_a_burst_of_an_hour() -> None:
    times = np.arange(50_000) * (DAY_NS // 50_000)
    accounts, cluster = np.arange(50_000) % 5000, np.zeros(50_000, dtype=np.int64)
    admitted = admit_both(accounts, cluster, times)
    assert admitted.sum() == pytest.approx(3000 + 125, abs=1)
    assert admit_both(accounts, cluster - 1, times).all()
    assert CLUSTER.burst == 125


def test_an_interval_with_an_account_that_is_never_known() -> None:
    found = Interval.of([2.0, float("inf"), 4.0])
    assert (found.median, found.least, found.most) == (4.0, 2.0, float("inf"))
