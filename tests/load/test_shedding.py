"""The order in which requests are shed, and where the heaviest stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.sharing.heaviest import Heaviest
from ratelimit.load.model.shedding import LOTS, ShedPriority, draw_lot
from tests.load.flights import flight, memory

SECOND = 10**9
HOUR = 3600 * SECOND
standings = st.builds(
    ShedPriority,
    rank=st.integers(0, 2),
    classes=st.just(3),
    verdict=st.sampled_from(["none", "likely", "certain"]),
    factor=st.floats(0.1, 1.0),
    lighter=st.floats(0.0, 1.0),
    lot=st.integers(0, LOTS - 1),
    is_over=st.booleans(),
)


@pytest.mark.parametrize(
    ("last", "first"),
    [
        (ShedPriority(0, 2, "certain", 0.1, 1.0, 15), ShedPriority(1, 2)),
        (ShedPriority(0, 2, "none", 0.1, 1.0, 15), ShedPriority(0, 2, "likely")),
        (ShedPriority(0, 2, "likely", 0.1, 1.0, 15), ShedPriority(0, 2, "certain")),
        (ShedPriority(0, 2, "likely", 1.0, 1.0, 15), ShedPriority(0, 2, "likely", 0.5)),
        (ShedPriority(0, 2, "none", 1.0, 0.2, 15), ShedPriority(0, 2, "none", 1.0, 0.9)),
        (ShedPriority(lot=3), ShedPriority(lot=4)),
        (ShedPriority(0, 2, "certain", 0.1, 1.0, 15), ShedPriority(0, 2, is_over=True)),
        (ShedPriority(0, 4, "certain", 0.1, 1.0, 15, is_over=True), ShedPriority(1, 4)),
    ],
    ids=["class", "likely", "certain", "conduct", "heaviest", "lot", "over its share", "class before share"],
)
def test_what_is_shed_first(last: ShedPriority, first: ShedPriority):
    assert first.order() > last.order()
    assert first.share() < last.share()


@pytest.mark.parametrize(
    ("priority", "of"),
    [
        (ShedPriority(lighter=1.0, lot=15), "others"),
        (ShedPriority(factor=0.5), "bad conduct"),
        (ShedPriority(verdict="likely", factor=0.5), "likely"),
        (ShedPriority(verdict="certain"), "certain"),
    ],
)
def test_what_is_shed_has_a_name(priority: ShedPriority, of: str):
    assert priority.of == of


@given(standings, standings)
def test_order_and_room_agree(one: ShedPriority, other: ShedPriority):
    if one.order() < other.order():
        assert one.share() > other.share()
    assert 0.0 < one.share() <= 1.0


@pytest.mark.parametrize(
    ("classes", "shares"),
    [(1, [1.0]), (2, [1.0, 0.15]), (3, [1.0, 0.387, 0.15]), (5, [1.0, 0.45, 0.2025, 0.091, 0.041])],
)
def test_classes_between_have_even_parts_of_the_queue(classes: int, shares: list[float]):
    """Hazard: the second of three has as little room as the lowest, and is shed while that is served."""
    firsts = [ShedPriority(rank, classes).share() for rank in range(classes)]
    assert firsts == pytest.approx(shares, abs=0.001)


@given(standings)
def test_only_lower_classes_and_those_over_their_share_leave_places_free(priority: ShedPriority):
    assert priority.kept() <= 0.1
    assert (priority.kept() > 0.0) == (priority.rank > 0 or (priority.is_over and priority.classes == 1))
    assert (priority.kept() < 0.0) == (priority.rank == 0 and priority.classes > 1)


def test_lots_change_hourly_and_are_even():
    first = [draw_lot(principal * 2**40 + 7, 99, 0) for principal in range(4_000)]
    assert all(abs(first.count(lot) - 250) < 80 for lot in range(LOTS))
    assert first == [draw_lot(principal * 2**40 + 7, 99, HOUR - 1) for principal in range(4_000)]
    later = [draw_lot(principal * 2**40 + 7, 99, HOUR) for principal in range(4_000)]
    assert sum(one == other for one, other in zip(first, later, strict=True)) < 400


def spread(number: int) -> int:
    """Return what stands for a principal: hashes are spread evenly."""
    return (number + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1


def test_heaviest_of_the_last_minute_is_known():
    used = Heaviest(flight())
    for principal in range(99):
        used.charge(spread(principal), 4, 0)
    used.charge(spread(99), 4_000, 0)
    for second in (1, 61):
        assert used.share_lighter(spread(99), second * SECOND) == pytest.approx(0.99, abs=0.02)
        assert used.share_lighter(spread(5), second * SECOND) == 0.0
        assert used.share_lighter(spread(12345), second * SECOND) == 0.0
    assert used.share_lighter(spread(99), 200 * SECOND) == 0.0


def test_heaviest_is_known_to_all_workers_and_among_more_than_there_are_cells():
    shared = memory()
    first, second = Heaviest(flight(shared)), Heaviest(flight(shared, pid=2))
    for principal in range(20_000):
        first.charge(spread(principal), 1, 0)
    second.charge(spread(7), 4_000, 0)
    assert first.share_lighter(spread(7), 0) > 0.9
    assert 0.0 <= first.share_lighter(spread(19_999), 0) <= 1.0


def test_any_bytes_in_shared_memory_are_survived():
    shared = memory()
    used = Heaviest(flight(shared))
    shared[4096:] = b"\xff" * (len(shared) - 4096)
    used.charge(spread(1), 5, 61 * SECOND)
    assert 0.0 <= used.share_lighter(spread(1), 61 * SECOND) <= 1.0
