"""The permutation null: what chance would group, and what is done about it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ratelimit.core.null import Null
from ratelimit.correlation import Settings
from ratelimit.correlation.selfcheck import MOST_STEPS, SelfCheck, steps_after, stricter
from tests.known.world import HOUR_S, Seen, World, actor, people

DAY = 24.0 * HOUR_S


def muddle(count: int = 600, seed: int = 5) -> list[Seen]:
    """Return traffic that says nothing: cards shared at random, and everybody at the same few exits."""
    source = random.Random(seed)
    found = []
    for number in range(count):
        for _ in range(12):
            exit_ = source.randrange(100)
            found.append(
                (
                    source.uniform(0, DAY),
                    {
                        "account": f"any{number}",
                        "payment": f"any{number % 150}",
                        "ip": f"45.{exit_ % 20}.{exit_}.7",
                        "client": f"any/{number % 40}",
                    },
                )
            )
    return found


def check(world: World, seed: int = 1, **changed: float) -> SelfCheck:
    settings = replace(world.correlator.settings, **changed)  # type: ignore[arg-type]
    found = SelfCheck(world.correlator.core, settings, seed)
    for _ in found:
        pass
    return found


def test_on_honest_traffic_beside_an_actor_chance_groups_nobody() -> None:
    world = World()
    world.see([*people(600), *actor()])
    assert check(world).rate == 0.0
    assert world.correlator.false_merge_rate == 0.0
    assert world.correlator.strictness == 0.0


def test_where_everybody_shares_cards_and_exits_chance_groups_them() -> None:
    world = World()
    world.see(muddle(), rebuilds=False)
    world.rebuild(DAY)
    found = check(world)
    assert found.chance > 0
    assert found.rate > 0.5


def test_a_check_is_the_same_for_its_seed_and_another_for_another() -> None:
    world = World()
    world.see([*people(600), *muddle(200)], rebuilds=False)
    world.rebuild(DAY)
    settings = {"suspect_share": 0.2}
    assert check(world, 1, **settings).chance == check(world, 1, **settings).chance
    evidence = world.correlator.evidence
    one, same, other = (Null(evidence, seed) for seed in (1, 1, 2))
    marked = []
    for null in (one, same, other):
        null.gather(0, evidence.principal_count)
        null.deal(0, null.dealt_places)
        null.roamers(0, evidence.principal_count)
        marked.append(null.prune(0, evidence.principal_count, 0.5, 2))
    assert marked[0] == marked[1]


def test_a_check_leaves_the_evidence_as_it_was() -> None:
    world, same = World(), World()
    for each in (world, same):
        each.see([*people(), *actor()])
    check(world)
    for each in (world, same):
        each.see([(DAY + 60, {"account": "bot1", "payment": "new", "ip": "45.1.1.7"})])
        each.rebuild(DAY + 120)
    assert world.correlator.members() == same.correlator.members()
    assert world.correlator.kept == same.correlator.kept


def test_evidence_that_changes_between_slices_does_no_harm() -> None:
    world = World()
    world.see(muddle(), rebuilds=False)
    world.rebuild(DAY)
    # As many new principals and addresses as there is room for, one batch after each slice.
    step = SelfCheck(world.correlator.core, replace(world.correlator.settings, slice_entries=200), 3)
    for turn, _ in enumerate(step):
        world.see(
            [
                (
                    DAY + turn,
                    {"account": f"x{turn}.{number}", "payment": f"p{number}", "ip": f"9.{turn}.{number}.1"},
                )
                for number in range(200)
            ],
            rebuilds=False,
        )
    assert 0.0 <= step.rate <= 1.0


def test_chance_above_the_bound_makes_seeds_dearer_at_once_and_cheaper_again_slowly() -> None:
    settings = Settings()
    steps = steps_after(0.0, 0.01, settings)
    assert steps == 1.0
    dear = stricter(settings, steps)
    assert dear.least_roamers > settings.least_roamers
    # Meeting places stay what they are: raised, that would part a campaign from its exits.
    assert (dear.suspect_share, dear.roamer_share) == (settings.suspect_share, settings.roamer_share)
    assert dear.least_payments == settings.least_payments + 1
    assert steps_after(steps, settings.null_most, settings) == pytest.approx(0.75)
    for _ in range(4):
        steps = steps_after(steps, 0.0, settings)
    assert steps == 0.0
    assert stricter(settings, steps) is settings
    for _ in range(20):
        steps = steps_after(steps, 1.0, settings)
    assert steps == MOST_STEPS
    assert stricter(settings, steps).least_payments == settings.least_payments + MOST_STEPS


def test_the_correlator_checks_itself_every_so_many_rebuilds_and_never_when_told_so() -> None:
    text = {every: f"null_every = {every}\n" for every in (0, 1, 3)}
    for every, line in text.items():
        world = World(line)
        world.see(muddle(), rebuilds=False)
        for turn in range(1, 4):
            world.rebuild(DAY + turn)
        assert world.correlator.rebuilds == 3
        assert (world.correlator.false_merge_rate > 0) == (every > 0)
        assert (world.correlator.strictness > 0) == (every > 0)


def test_a_check_takes_fewer_slices_than_the_rebuild_before_it() -> None:
    world = World("null_every = 1\n")
    world.see([*people(600), *actor()], rebuilds=False)
    settings = replace(world.correlator.settings, slice_entries=64)
    world.correlator.settings = replace(settings, null_every=0)
    rebuild = sum(1 for _ in world.correlator.rebuild(int((1_800_000_000 + DAY) * 1e9)))
    assert sum(1 for _ in SelfCheck(world.correlator.core, settings, 1)) < rebuild
