"""An actor that changes what it does at each refusal stays one actor."""

from __future__ import annotations

import pytest

from benchmarks.correlation.families.world import Size, World, build
from benchmarks.correlation.week import LEAD_H, WAYS, play


@pytest.fixture(scope="module")
def world() -> World:
    return build("week", (), 1, Size(500, days=2, lead_h=LEAD_H))


@pytest.mark.parametrize(("name", "most"), [("changes nothing", 0.25), ("drops half its accounts", 0.65)])
def test_an_actor_that_changes_at_each_refusal_stays_one(world: World, name: str, most: float) -> None:
    # An account that is new gets its first request before it can be known: half of them, where half is new.
    ways = next(one for one in WAYS if one.name == name)
    found = play(world, ways, seed=1, days=1)
    assert found.certain_h is not None
    assert found.certain_h < 6
    assert found.admitted < most * found.asked
    assert found.honest_refused == 0
