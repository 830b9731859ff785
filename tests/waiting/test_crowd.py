"""The waiting request that makes room for a newcomer, once as many wait as may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.waiting.model.crowd import Crowd
from ratelimit.waiting.model.line import Waiter
from ratelimit.waiting.model.room import Room


class Counted:
    """A crowd, and how many of each principal there are."""

    def __init__(self, *arrivals: tuple[str, int]) -> None:
        self.counts: Counter[Hashable] = Counter()
        self.crowd = Crowd()
        self.there: list[Waiter] = []
        for principal, rank in arrivals:
            self.join(principal, rank)

    def join(self, principal: str, rank: int = 0) -> None:
        waiter = Waiter(principal, 1, rank, 0, 10**9)
        self.counts[principal] += 1
        self.there.append(waiter)
        self.crowd.join(waiter)

    def leave(self, at: int) -> None:
        waiter = self.there.pop(at)
        self.counts[waiter.principal] -= 1
        self.crowd.leave(waiter)

    def behind(self, principal: str, rank: int = 0) -> str | None:
        found = self.crowd.behind(principal, rank)
        assert found is None or found in self.there
        return None if found is None else str(found.principal)


def test_one_of_the_lowest_class_goes_first() -> None:
    crowd = Counted(("a", 0), ("b", 2), ("d", 1))
    assert crowd.behind("e", 0) == "b"
    assert crowd.behind("e", 1) == "b"
    assert crowd.behind("e", 2) is None


def test_one_of_the_principal_with_most_goes_then() -> None:
    crowd = Counted(("a", 0), ("b", 0), ("a", 0), ("a", 0), ("b", 0))
    assert crowd.behind("c") == "a"
    assert crowd.behind("b") is None  # it would have as many itself
    crowd.leave(3)
    assert crowd.behind("b") is None
    assert crowd.behind("c") in ("a", "b")


def test_identities_that_one_client_invents_are_measured_by_the_client() -> None:
    """A newcomer from elsewhere finds a place, though none of these principals has more than one."""
    crowd, flood, home = Crowd(), ("its network", "its address"), ("a network", "an address")
    waiters = [Waiter(f"invented {number}", 1, 0, 0, 10**9) for number in range(100)]
    for waiter in waiters:
        crowd.join(waiter, flood)
    assert crowd.behind("victim", 0, home) is waiters[-1]
    assert crowd.behind("one more", 0, flood) is None


def test_higher_class_never_goes_for_a_lower_one() -> None:
    assert Counted(("a", 0), ("a", 0), ("a", 0)).behind("b", 1) is None


def test_none_goes_where_all_have_one() -> None:
    assert Counted(("a", 0), ("b", 0)).behind("c") is None
    assert Counted().behind("c") is None


def test_some_with_many_are_found_among_many_with_one() -> None:
    """A tenth of the places is theirs; newcomers get a third of these at least."""
    crowd = Counted(*((str(number), 0) for number in range(9_000)))
    for number in range(1_000):
        crowd.join("flood" + str(number % 20))
    for number in range(900):
        found = crowd.crowd.behind(f"new {number}", 0)
        if found is not None:
            crowd.leave(crowd.there.index(found))
            crowd.join(f"new {number}")
    assert sum(count for who, count in crowd.counts.items() if str(who).startswith("flood")) < 667


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2), st.booleans()), max_size=60))
def test_whatever_comes_and_goes_each_is_there_once(steps: list[tuple[str, int, bool]]) -> None:
    crowd = Counted()
    for principal, rank, leaves in steps:
        if leaves and crowd.there:
            crowd.leave(len(crowd.there) // 2)
        else:
            crowd.join(principal, rank)
        assert sorted(map(id, crowd.crowd._held.values())) == sorted(map(id, crowd.there))
        last = crowd.crowd.behind("e", 0)
        if last is not None and last.rank == 0:
            assert crowd.counts[last.principal] > 1
            assert not any(waiter.rank for waiter in crowd.there)


def test_one_that_asks_its_limits_right_now_stays() -> None:
    room = Room(9, 1)
    first = room.arrive(1, "a", 1, 1, 0, 10**9, 0)
    assert isinstance(first, Waiter)
    assert room.behind("b", 0) is first
    assert room.next(room.lines[1]) is first
    assert room.behind("b", 0) is None
