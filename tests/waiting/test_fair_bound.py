"""A bound of a worker, shared by those that hold parts of it: the largest holder loses, not the newcomer."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from ratelimit.waiting.model.fair_bound import FairBound, HeldItem


class Lost(list[str]):
    """Takes the names of what lost."""

    def of(self, name: str) -> object:
        return lambda: self.append(name)


def hold(bound: FairBound, lost: Lost, name: str, *path: str, units: int = 1) -> HeldItem:
    return bound.hold(path, lambda: lost.append(name), units)


def test_newcomer_keeps_its_place_beside_one_that_holds_all() -> None:
    bound, lost = FairBound(10), Lost()
    for number in range(10):
        hold(bound, lost, f"hog {number}", "net", "hog")
    hold(bound, lost, "victim", "home", "victim")
    assert lost == ["hog 9"], "the newest of the largest holder"
    assert bound.size == 10


def test_largest_holder_s_own_newcomer_loses() -> None:
    bound, lost = FairBound(3), Lost()
    hold(bound, lost, "other", "home", "other")
    for number in range(4):
        hold(bound, lost, f"hog {number}", "net", "hog")
    assert lost == ["hog 2", "hog 3"]


def test_caller_with_a_network_of_addresses_is_measured_by_the_network() -> None:
    bound, lost = FairBound(100), Lost()
    for number in range(1000):
        hold(bound, lost, f"bot {number}", "net", f"address {number}")
    for number in range(50):
        hold(bound, lost, f"victim {number}", f"home {number}", "victim")
    assert not [name for name in lost if name.startswith("victim")]


def test_neighbour_in_the_largest_network_keeps_its_place() -> None:
    bound, lost = FairBound(10), Lost()
    for _ in range(10):
        hold(bound, lost, "hog", "net", "hog")
    hold(bound, lost, "neighbour", "net", "neighbour")
    assert lost == ["hog"]


def test_bytes_are_given_up_until_all_fits() -> None:
    bound, lost = FairBound(64 << 20, 16 << 10), Lost()
    for number in range(64):
        hold(bound, lost, f"hog {number}", "net", "hog", units=1 << 20)
    victim = hold(bound, lost, "victim", "home", "victim", units=100)
    assert lost == ["hog 63"]
    victim.grow(3 << 20)
    assert lost == ["hog 63", "hog 62", "hog 61", "hog 60"]
    assert bound.size == (63 << 20) + 100


def test_item_that_grows_by_itself_loses_where_it_is_the_largest() -> None:
    bound, lost = FairBound(10), Lost()
    small = hold(bound, lost, "small", "a", "a", units=4)
    large = hold(bound, lost, "large", "b", "b", units=6)
    large.grow(1)
    assert lost == ["large"]
    assert (large.size, small.size, bound.size) == (0, 4, 4)
    large.grow(5)
    assert bound.size == 4, "what has lost holds nothing more"


def test_equals_do_not_drive_each_other_out() -> None:
    """Else each newcomer would end what began before it, and nothing would ever be done."""
    bound, lost = FairBound(5), Lost()
    for number in range(20):
        hold(bound, lost, f"{number}", f"home {number}", "one")
    assert lost == [f"{number}" for number in range(5, 20)]


def test_loser_makes_room_for_a_newcomer_that_has_less() -> None:
    bound, lost = FairBound(10**9), Lost()
    hogs = [hold(bound, lost, "hog", "net", "hog", "account") for _ in range(3)]
    assert bound.loser(("home", "a", "a")) is hogs[-1]
    assert bound.loser(("net", "neighbour", "a")) is hogs[-1]
    assert bound.loser(("net", "hog", "account")) is None
    assert bound.loser(("net", "hog", "other")) is hogs[-1]
    hold(bound, lost, "two", "home", "a", "a")
    hold(bound, lost, "two", "home", "a", "a")
    assert bound.loser(("home", "a", "a")) is None, "it would have as much"
    assert FairBound(1).loser(("a",)) is None


@pytest.mark.parametrize("seed", range(5))
def test_what_is_held_is_counted_and_forgotten_in_any_order(seed: int) -> None:
    """Against the plain rule: the largest network's largest client has at least as much as any that stays."""
    random = Random(seed)
    bound = FairBound(50)
    items: dict[int, tuple[HeldItem, tuple[str, str]]] = {}
    for number in range(3000):
        if items and random.random() < 0.4:
            items.pop(random.choice(list(items)))[0].end()
            continue
        path = f"net {random.randrange(5)}", f"client {random.randrange(3)}"

        def lose(number: int = number, path: tuple[str, str] = path) -> None:
            networks: Counter[str] = Counter()
            for held, (network, _) in items.values():
                networks[network] += held.size
            mine = items[number][1][0] if number in items else path[0]
            size = networks[mine] + (0 if number in items and items[number][0].size else 1)
            assert all(size >= other for name, other in networks.items() if name != mine)
            items.pop(number, None)

        item = bound.hold(path, lose)
        items[number] = item, path
        item.grow(1)
        assert bound.size == sum(held.size for held, _ in items.values()) <= 50
    for held, _ in items.values():
        held.end()
    assert bound.size == 0
    assert not bound._root.members, "nothing is remembered of callers that hold nothing"
