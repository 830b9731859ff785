"""Lines by themselves: shares, bounds, and what a hang-up costs."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.waiting.model.fairness import SPAN_NS, Fairness
from ratelimit.waiting.model.line import MOST_REMEMBERED, Line, Waiter
from ratelimit.waiting.model.room import Room, expected_ns

MS = 10**6


def waiter(principal: str, cost: int = 1, rank: int = 0) -> Waiter:
    return Waiter(principal, cost, rank, 0, 10**9)


def served(line: Line, count: int) -> list[Waiter]:
    found = []
    for _ in range(count):
        head = line.head()
        assert head is not None
        line.serve(head, 0)
        found.append(head)
    return found


def filled(*costs: tuple[str, int]) -> Line:
    line = Line(1, 0)
    for principal, cost in costs:
        line.join(waiter(principal, cost))
    return line


@given(st.lists(st.lists(st.integers(1, 1000), min_size=1, max_size=40), min_size=2, max_size=8))
def test_backlogged_principals_differ_by_at_most_one_largest_request(costs: list[list[int]]) -> None:
    line = filled(*((str(who), cost) for who, mine in enumerate(costs) for cost in mine))
    left = {str(who): len(mine) for who, mine in enumerate(costs)}
    largest = max(max(mine) for mine in costs)
    units: dict[str, int] = defaultdict(int)
    while line.size:
        (one,) = served(line, 1)
        units[one.principal] += one.cost
        left[one.principal] -= 1
        backlogged = [units[who] for who, count in left.items() if count]
        if backlogged:
            assert max(backlogged) - min(backlogged) <= largest


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50), st.booleans()), max_size=120))
def test_nobody_gains_by_leaving_and_coming_back(steps: list[tuple[str, int, bool]]) -> None:
    """One that waits all the time is never further behind one that comes and goes than two requests."""
    line = Line(1, 0)
    units: dict[str, int] = defaultdict(int)
    for _ in range(200):
        line.join(waiter("steady", 50))
    for principal, cost, serves in steps:
        line.join(waiter(principal, cost))
        if serves:
            (one,) = served(line, 1)
            units[one.principal] += one.cost
            assert all(units[who] - units["steady"] <= 100 for who in "abc")


def test_one_that_hangs_up_is_never_next_and_takes_no_share() -> None:
    line = Line(1, 0)
    first, second, other = waiter("a"), waiter("a"), waiter("b")
    for one in (first, second, other):
        line.join(one)
    line.leave(first)
    line.leave(first)
    assert line.size == 2
    assert served(line, 2) == [second, other]
    assert line.head() is None


def test_higher_class_comes_first() -> None:
    line = Line(1, 0)
    batch, chat = waiter("a", rank=1), waiter("a", rank=0)
    line.join(batch)
    line.join(chat)
    assert line.ahead("b", 1, 1) == 2
    assert served(line, 2) == [chat, batch]


def test_principals_that_are_gone_are_forgotten() -> None:
    line = Line(1, 0)
    line.join(waiter("steady", 10**9))
    for number in range(3 * MOST_REMEMBERED):
        line.join(waiter(f"once {number}"))
    for _ in range(3 * MOST_REMEMBERED):
        served(line, 1)
        line.join(waiter("another"))
        served(line, 1)
    assert sum(len(each.shares) for each in line._classes) <= 7 * MOST_REMEMBERED


def test_what_is_ahead_is_at_most_what_others_are_served_first() -> None:
    line = filled(("a", 5), ("b", 500), ("b", 500))
    assert line.ahead("c", 1) == 2  # one unit of each of the two before its own
    assert line.ahead("b", 1) == 1005
    assert line.ahead("a", 5) == 15


def room(per_principal: int = 2, total: int = 3) -> Room:
    return Room(per_principal, total)


def arrive(room: Room, principal: str, expected: int = 0, ends: int = 100 * MS, key: int = 1) -> Waiter | str:
    return room.arrive(key, principal, 1, 0, 0, ends, expected)


def test_bounds_per_principal_and_in_all() -> None:
    """However many come, no more wait than the bounds say."""
    lines = room()
    assert isinstance(arrive(lines, "a"), Waiter)
    assert isinstance(arrive(lines, "a", key=2), Waiter)
    assert arrive(lines, "a", key=3) == "principal-full"
    held = arrive(lines, "b")
    assert arrive(lines, "c") == "full"
    assert isinstance(held, Waiter)
    lines.leave(held)
    assert isinstance(arrive(lines, "c"), Waiter)


def test_refused_at_arrival_when_the_expected_wait_is_too_long() -> None:
    lines = room()
    assert arrive(lines, "a", expected=101 * MS) == "too-long"
    assert isinstance(arrive(lines, "a", expected=100 * MS), Waiter)


@pytest.mark.parametrize(
    ("ahead", "retry", "period", "in_windows", "expected"),
    [
        (0, 5, 1000, False, 5),
        (20, 5, 1000, False, 2005),  # ten units take a period
        (9, 5, 1000, True, 5),  # all of a window comes back at once
        (25, 5, 1000, True, 2005),
        (9, 5, 0, False, 0),  # nothing is known of a line where none was served
    ],
)
def test_expected_wait(ahead: int, retry: int, period: int, in_windows: bool, expected: int) -> None:
    assert expected_ns(None, ahead, retry, 0, 10, period, in_windows=in_windows) == expected


def test_slots_are_expected_at_the_pace_of_late() -> None:
    line = filled(*(("a", 1) for _ in range(9)))
    for number in range(1, 5):
        head = line.head()
        assert head is not None
        line.serve(head, number * 100 * MS)
    assert line.drain_ns(2, 400 * MS) == 200 * MS


def test_deadlines_come_in_order_and_once() -> None:
    lines = room(9, 9)
    late, soon, gone = (arrive(lines, who, ends=ends * MS) for who, ends in (("a", 9), ("b", 4), ("c", 5)))
    assert isinstance(gone, Waiter)
    lines.leave(gone)
    assert list(lines.over(3 * MS)) == []
    assert list(lines.over(9 * MS)) == [soon, late]
    assert list(lines.over(9 * MS)) == []


def test_one_turn_at_a_time() -> None:
    lines = room(9, 9)
    first, second = arrive(lines, "a"), arrive(lines, "b")
    assert isinstance(first, Waiter)
    line = lines.lines[1]
    assert lines.next(line) is first
    assert lines.next(line) is None
    assert line.missed
    lines.again(first, 7 * MS)
    assert list(lines.due(6 * MS)) == []
    assert list(lines.due(7 * MS)) == [line]
    assert lines.next(line) is first
    lines.serve(first, 0)
    assert lines.next(line) is second


def test_empty_room_keeps_nothing() -> None:
    lines = room(9, 99)
    everyone = [arrive(lines, who, key=key) for who in "abcdefgh" for key in range(9)]
    for one in everyone:
        assert isinstance(one, Waiter)
        lines.leave(one)
    assert lines.size == 0
    assert lines.lines == {}
    assert lines._waiting == {}
    assert not any(same.size or same._root.members for same in lines._crowd._by_rank.values())
    assert len(lines._ends) <= 64


@pytest.mark.parametrize(
    ("shares", "index"), [({}, 1.0), ({"a": 5, "b": 5}, 1.0), ({"a": 9}, 1.0), ({"a": 1, "b": 3}, 0.8)]
)
def test_jains_index(shares: dict[str, int], index: float) -> None:
    fairness = Fairness()
    for principal, units in shares.items():
        fairness.serve(principal, units, 0)
    assert fairness.index(SPAN_NS) == pytest.approx(index)
    assert fairness.index(3 * SPAN_NS) == 1.0


def test_line_tells_whether_any_waits_that_comes_before():
    line = Line(1, 0)
    line.join(waiter("a", 1, 2))
    assert [line.has_waiting(rank) for rank in range(4)] == [False, False, True, True]


def test_principal_whose_requests_cost_more_than_guessed_is_served_more_seldom() -> None:
    """Hazard: a queue that goes by guesses gives long answers many times the units of short ones."""
    line = filled(*(("long", 100) for _ in range(400)), *(("short", 100) for _ in range(400)))
    units: dict[str, int] = defaultdict(int)
    for _ in range(300):
        (one,) = served(line, 1)
        real = 2000 if one.principal == "long" else 50
        units[one.principal] += real
        assert line.correct(one.principal, 0, real - one.cost)
    assert abs(units["long"] - units["short"]) <= 2000
    assert units["short"] > 250 * 50


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(1, 50), st.integers(-60, 60), st.booleans()),
        max_size=150,
    )
)
def test_least_served_principal_is_next_whatever_is_corrected(
    steps: list[tuple[str, int, int, bool]],
) -> None:
    line = Line(1, 0)
    for principal, cost, more, serves in steps:
        line.join(waiter(principal, cost))
        line.correct(principal, 0, more)
        if serves:
            (one,) = served(line, 1)
            line.correct(one.principal, 0, more)
        kind = line._classes[0]
        waiting = [share for share in kind.shares.values() if share.first is not None]
        head = line.head()
        if waiting:
            assert head is not None
            assert head.share is not None
            assert head.share.tag == min(share.tag for share in waiting)
        assert len(kind.heap) <= 2 * kind.active + 65


def test_correction_of_one_that_is_not_known_changes_nothing() -> None:
    line = filled(("a", 5), ("b", 5))
    assert not line.correct("c", 0, 500)
    assert not line.correct("a", 3, 500)
    assert [one.principal for one in served(line, 2)] == ["a", "b"]
