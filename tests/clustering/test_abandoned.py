"""A rebuild that is not carried through leaves nothing provisional, wherever it stopped."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.declarations.world import HOUR_S, NS, START_S, World, actor, people

DAY = 24.0 * HOUR_S
TOGETHER = """
[correlation.known]
together = [["bot1", "fox1"], ["person1", "person2"]]
"""


def whole(world: World) -> None:
    """Check that what principals, the core and the correlator say of clusters is one."""
    one = world.correlator
    live = set(one.core.live())
    assert live == one.kept.keys() == one.identities.keys()
    assert {label for label, *_ in one.core.members(0, one.evidence.principal_count)} <= live
    assert len(set(one.identities.values())) == len(live)
    assert (one.carries, one.core.is_rebuilding) == ([], False)


@pytest.mark.parametrize("known", ["", TOGETHER], ids=["inferred", "ruled"])
@pytest.mark.parametrize("is_former", [False, True], ids=["a new one", "two former ones"])
def test_no_provisional_label_outlives_a_rebuild_that_stopped(
    known: str, is_former: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: a label opened or closed midway is given to the next cluster, with another's budget."""
    monkeypatch.setattr("ratelimit.correlation.rebuild.SLICE", 128)
    both = [*people(100), *actor(), *actor("fox", seed=3, exits="46.{0}.{1}.9")]
    world = World()
    world.see([each for each in both if "fox" not in each[1]["account"]])
    assert world.cluster("bot1") is not None
    world.see([each for each in both if "fox" in each[1]["account"]], rebuilds=is_former)
    world.correlator.carries.clear()
    world.load(known)
    world.tell()
    stopped = 0
    while True:
        steps = world.correlator.rebuild(int((START_S + DAY) * NS))
        if all(next(steps, steps) is not steps for _ in range(stopped + 1)):
            steps.close()  # type: ignore[attr-defined]
            world.correlator.abandon()
            whole(world)
            stopped += 1
            continue
        break
    assert stopped > 30
    world.correlator.carries.clear()
    whole(world)
    assert world.clustered("bot", 60) >= 57
    assert world.clustered("fox", 60) >= 57
    assert (world.label("bot1") == world.label("fox1")) is bool(known)
    assert (world.cluster("person1") is not None) is bool(known)
    world.correlator.abandon()  # after one that was carried through it takes nothing back
    whole(world)
    assert world.clustered("bot", 60) >= 57


def test_a_rebuild_that_stopped_is_made_good_by_the_next() -> None:
    world, same = World(), World()
    for each in (world, same):
        each.see([*people(100), *actor()])
    steps = world.correlator.rebuild(int((START_S + DAY) * NS))
    for _ in range(5):
        next(steps)
    steps.close()  # type: ignore[attr-defined]
    world.correlator.abandon()
    for each in (world, same):
        each.rebuild(DAY)
    assert world.correlator.members() == same.correlator.members()
    assert world.correlator.identities == same.correlator.identities
    assert world.correlator.kept == same.correlator.kept
    assert replace(world.correlator.settings) == same.correlator.settings
