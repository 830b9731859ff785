"""Bounds on held requests: how long, behind how much of the queue they go on, and how many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.load.model.holding import HELD, HELD_LONGER, longest_ns, share_left
from tests.load.flights import SECOND, flight, memory


@given(target_ns=st.integers(0, 600 * SECOND), classes=st.integers(1, 8), data=st.data())
def test_laws_of_the_rule(target_ns: int, classes: int, data: st.DataObject):
    rank = data.draw(st.integers(0, classes - 1))
    longest = longest_ns(target_ns, rank, classes)
    assert 0 <= longest <= target_ns
    assert longest_ns(target_ns, min(rank + 1, classes - 1), classes) <= longest
    ages = sorted(data.draw(st.lists(st.integers(0, longest), min_size=2, max_size=2)))
    younger, older = (share_left(age, target_ns, rank, classes) for age in ages)
    assert 0.0 <= older <= younger <= 1.0
    assert share_left(ages[0], target_ns, classes - 1, classes) <= younger
    assert share_left(0, target_ns, rank, classes) == 1.0


def test_first_of_several_classes_is_held_for_longer():
    assert longest_ns(SECOND, 0, 2) == HELD_LONGER * SECOND
    assert longest_ns(SECOND, 1, 2) == longest_ns(SECOND) == HELD * SECOND


@pytest.mark.parametrize("classes", [1, 3])
def test_all_are_held_for_longer_where_requests_count_by_their_work(classes: int):
    for rank in range(classes):
        assert longest_ns(SECOND, rank, classes, by_work=True) == HELD_LONGER * SECOND


def test_nothing_is_held_without_a_target():
    assert longest_ns(0) == 0


def test_what_is_held_is_not_in_flight():
    made = flight()
    made.hold(3, 0)
    assert (made.counts(0), made.held(0)) == ((0, 0), 3)
    made.hold(-3, 0)
    assert made.held(0) == 0
    with pytest.raises(ValueError, match="1 are not held, but 0"):
        made.hold(-1, 0)


def test_all_workers_see_what_is_held():
    """Hazard: a worker that holds requests and has none in flight, and one that was killed."""
    shared = memory()
    alive, killed = flight(shared, pid=1), flight(shared, pid=2)
    killed.hold(2, 0)
    assert alive.held(0) == 2
    alive.hold(1, 0)
    assert killed.held(0) == 3
    assert alive.held(7 * SECOND) == 1
    killed.leave()
    assert alive.held(0) == 1
