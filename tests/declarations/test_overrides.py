"""Exempt, together, apart: what the operator says of principals, against inference."""

from __future__ import annotations

import pytest

from ratelimit.core.clusters.overrides import Overrides
from tests.declarations.world import HOUR_S, World, actor, people

DAY = 24.0 * HOUR_S


def test_without_a_word_the_actor_is_one_cluster_and_people_are_in_none() -> None:
    world = World()
    world.see([*people(), *actor()])
    assert world.clustered("bot", 60) >= 57
    assert world.clustered("person", 300) == 0


def test_an_exempt_principal_is_in_no_cluster_whatever_it_shares() -> None:
    world = World('[correlation.known]\nexempt = ["bot3", "bot4"]')
    world.see([*people(), *actor()])
    assert world.label("bot3") == world.label("bot4") == 0
    assert world.cluster("bot3") is None
    assert world.clustered("bot", 60) >= 55


def test_a_principal_exempted_by_a_reload_leaves_with_the_next_rebuild_which_is_due_at_once() -> None:
    world = World()
    world.see([*people(), *actor()])
    assert world.label("bot3")
    world.load('[correlation.known]\nexempt = ["bot3"]')
    world.tell()
    assert world.correlator.is_due(0)
    world.rebuild(DAY)
    assert not world.correlator.is_due(0)
    assert world.label("bot3") == 0
    assert world.label("bot5")


def test_two_without_anything_in_common_are_together_and_stay_so_over_rebuilds_and_reloads() -> None:
    known = '[correlation.known]\ntogether = [["person1", "person2"]]'
    world = World(known)
    world.see([*people()])
    cluster = world.cluster("person1")
    assert cluster is not None
    assert cluster == world.cluster("person2")
    for _ in range(3):
        world.rebuild(DAY)
        assert world.cluster("person1") == world.cluster("person2") == cluster
    world.load(known)
    world.tell()
    world.rebuild(DAY)
    assert world.cluster("person1") == world.cluster("person2") == cluster
    assert world.correlator.kept[world.label("person1")][1].why == "declared"
    world.load("")
    world.tell()
    world.rebuild(DAY)
    assert world.cluster("person1") is None


def test_nobody_is_won_by_evidence_for_a_cluster_that_is_only_declared() -> None:
    # A family: they share everything, and two of them were declared.
    family = [
        (at_s, {"account": f"kin{number}", "payment": "kincard", "ip": "93.1.1.1", "client": "kin/1"})
        for number in range(6)
        for at_s in range(number, int(DAY), 7000)
    ]
    world = World('[correlation.known]\ntogether = [["kin0", "kin1"]]')
    world.see([*people(), *[(float(at_s), values) for at_s, values in family]])
    world.rebuild(DAY)
    assert world.label("kin0") == world.label("kin1") != 0
    assert world.clustered("kin", 6) == 2


def test_clusters_of_those_together_become_one_and_what_they_used_is_carried() -> None:
    both = [
        *people(),
        *actor("bot"),
        *actor("fox", seed=3, exits="46.{0}.{1}.9"),
    ]
    world = World()
    world.see(both)
    first, second = world.label("bot1"), world.label("fox1")
    assert first
    assert second
    assert first != second
    world.correlator.carries.clear()
    world.load('[correlation.known]\ntogether = [["bot1", "fox1"]]')
    world.tell()
    world.rebuild(DAY)
    assert world.label("bot1") == world.label("fox1") != 0
    assert len(world.correlator.carries) == 1
    for _ in range(3):
        world.rebuild(DAY)
    assert {world.label(f"{name}{number}") for name in ("bot", "fox") for number in range(60)} == {
        world.label("bot1")
    }


def test_of_two_apart_the_later_stays_out_while_the_first_is_classified_as_ever() -> None:
    world = World('[correlation.known]\napart = [["bot1", "bot2", "bot3"]]')
    world.see([*people(), *actor()])
    assert world.label("bot1")
    assert world.label("bot2") == world.label("bot3") == 0
    assert world.clustered("bot", 60) >= 55


def test_a_declared_cluster_that_fails_by_evidence_keeps_only_those_ruled_into_it() -> None:
    world = World()
    world.see([*people(), *actor()])
    world.load('[correlation.known]\ntogether = [["bot1", "bot2"]]')
    world.tell()
    world.rebuild(DAY)
    assert world.clustered("bot", 60) >= 57
    # A month later nothing of the campaign's addresses is left, and the evidence has faded.
    paid = {"payment": "none of the campaign's"}
    world.see([(31 * DAY, {"account": f"bot{n}", "ip": f"99.{n}.1.1", **paid}) for n in range(60)])
    world.rebuild(120 * DAY)
    assert world.label("bot1") == world.label("bot2") != 0
    assert world.clustered("bot", 60) == 2


def test_somebody_ruled_into_a_cluster_and_forgotten_is_in_it_again_with_the_first_request() -> None:
    world = World('[correlation.known]\ntogether = [["person1", "person2", "late"]]')
    world.see([*people()])
    assert world.label("late") == 0
    world.see([(DAY, {"account": "late", "ip": "93.4.4.4", "payment": "p"})], rebuilds=False)
    assert world.cluster("late") == world.cluster("person1") is not None


def test_rulings_refuse_groups_and_labels_there_are_not() -> None:
    overrides = Overrides([1], [[2, 3]], [[4, 5]])
    assert (overrides.exempt, overrides.together, overrides.apart) == ({1}, ((2, 3),), ((4, 5),))
    for call in (
        lambda: overrides.bind(1, 1),
        lambda: overrides.bind(-1, 1),
        lambda: overrides.label(1),
        lambda: overrides.bind(0, 5000),
        lambda: overrides.set_declared_only(5000, True),
    ):
        with pytest.raises(IndexError):
            call()
    assert not overrides.is_declared_only(5000)
