"""A few worlds of the families benchmark, in small: honest crowds that look alike, and campaigns."""

from __future__ import annotations

from functools import cache

import pytest

from benchmarks.correlation.families.catalogue import NAMED
from benchmarks.correlation.families.contest import contest
from benchmarks.correlation.families.measure import Result
from benchmarks.correlation.families.world import SMALL

SEED = 1

ESTABLISHED = (
    "school district, few addresses",
    "school district, many addresses",
    "gateway's companies",
    "company, rotating exits",
    "CI action's customers",
    "app on a privacy relay",
    "families on a privacy relay",
    "hackathon, a card a team",
    "VPN exit",
    "mobile pool",
)
CAMPAIGNS = (
    # the world, its change, and hours until it is likely
    ("base", 3),
    ("data centre", 3),
    ("churning", 3),
    ("pairs", 24),
    ("base + CV 2", 6),
    ("base + sessions", 8),
    ("base + client per account", 4),
    ("base + CV 2, sessions, client per account", 10),
)
POISON = ("stolen cards", "touches victims' addresses", "copies a tenant's client")


@cache
def result(name: str, seed: int = SEED) -> Result:
    """Return what the core makes of a world."""
    ((found,),) = contest([NAMED[name]], [seed], SMALL, ["core"])
    return found


@pytest.mark.parametrize("name", [*ESTABLISHED, *(f"{name}, new" for name in ESTABLISHED)])
def test_honest_crowds_are_refused_nothing(name: str) -> None:
    found = result(name)
    assert sum(crowd.requests for crowd in found.crowds) > 50_000
    assert {crowd.klass: (crowd.refused, crowd.accounts_certain) for crowd in found.crowds} == {
        crowd.klass: (0, 0) for crowd in found.crowds
    }


@pytest.mark.parametrize(("name", "hours"), CAMPAIGNS)
def test_campaigns_are_contained_whatever_they_change_for_nothing(name: str, hours: float) -> None:
    (chase,) = result(name).chases
    assert chase.demand_24 > 7.5  # it would have had so many budgets
    assert chase.after_24 <= 1.2
    assert chase.hours_to_likely <= hours
    plain = result(name.partition(" + ")[0]).chases[0]
    assert chase.after_24 <= plain.after_24 + 0.3


@pytest.mark.parametrize("name", POISON)
def test_what_a_campaign_touches_is_left_alone(name: str) -> None:
    found = result(name)
    assert found.chases[0].after_24 <= 1.2
    # Of accounts made today, one in a hundred of those with stolen cards may be taken for the thief's.
    assert all(crowd.accounts_certain <= 0.01 * crowd.accounts for crowd in found.crowds)
    assert found.honest_old == 0


def test_an_account_for_each_card_is_never_certain() -> None:
    (chase,) = result("card each, residential").chases
    assert chase.certain == 0
    assert chase.likely >= 0.9


def test_a_world_decided_twice_is_decided_alike() -> None:
    ((again,),) = contest([NAMED["small"]], [SEED], SMALL, ["core"])
    first = result("small")
    assert (again.crowds, again.chases, again.members) == (first.crowds, first.chases, first.members)
