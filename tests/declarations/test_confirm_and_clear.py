"""Confirm and clear: what the operator says of an actor counts, whatever is inferred."""

from __future__ import annotations

import pytest

from ratelimit.core.clusters.overrides import Overrides
from ratelimit.correlation.memory import transplant
from ratelimit.errors import PolicyError
from ratelimit.policy import Policy
from tests.declarations.world import HOUR_S, POLICY, World, actor, people

DAY = 24.0 * HOUR_S
NONE, LIKELY, CERTAIN = 0, 1, 2


def known(**acts: list[str]) -> str:
    """Return a policy's table of what the operator says."""
    return "[correlation.known]\n" + "\n".join(f"{act} = {names}" for act, names in acts.items())


def seen(text: str = "") -> World:
    """Return a world with an actor that was found, inferred to be likely but for `bot0`, which is none."""
    world = World(text)
    world.see([*people(), *actor()])
    for number in range(60):
        world.correlator.core.set_inferred(world.key(f"bot{number}"), LIKELY if number else NONE)
    return world


def verdict(world: World, account: str) -> int:
    return world.correlator.core.verdict_of(world.key(account))


def test_without_a_word_it_is_what_is_inferred() -> None:
    world = seen()
    assert [verdict(world, name) for name in ("bot0", "bot5", "person5")] == [NONE, LIKELY, NONE]
    assert world.cluster("bot5") is not None


def test_a_confirmed_actor_is_certain_and_takes_nobody_with_it_who_does_not_belong() -> None:
    world = seen(known(confirm=["bot3"]))
    assert [verdict(world, name) for name in ("bot3", "bot5", "bot0", "person5")] == [
        CERTAIN,
        CERTAIN,
        NONE,
        NONE,
    ]


def test_a_cleared_actor_is_none_and_its_members_are_still_known_to_belong_together() -> None:
    world = seen(known(clear=["bot3"]))
    assert {verdict(world, f"bot{number}") for number in range(60)} == {NONE}
    assert world.cluster("bot5") is None
    assert world.clustered("bot", 60) >= 57


def test_who_is_confirmed_is_certain_though_nothing_is_inferred_of_it() -> None:
    assert verdict(seen(known(confirm=["bot0"])), "bot0") == CERTAIN


def test_of_an_actor_both_confirmed_and_cleared_only_those_named_are_what_was_said() -> None:
    world = seen(known(confirm=["bot3"], clear=["bot4"]))
    assert [verdict(world, name) for name in ("bot3", "bot4", "bot5")] == [CERTAIN, NONE, LIKELY]


def test_who_is_in_no_cluster_is_not_made_one_by_being_confirmed() -> None:
    world = seen(known(confirm=["person5"], clear=["person6", "nobody there"]))
    assert [verdict(world, name) for name in ("person5", "person6")] == [NONE, NONE]


def test_acts_outlive_rebuilds_and_settings_and_end_with_the_word() -> None:
    world = seen(known(clear=["bot3"]))
    for _ in range(3):
        world.rebuild(DAY)
        assert verdict(world, "bot5") == NONE
    old, fresh = world.correlator, World(known(clear=["bot3"])).correlator
    for _ in transplant(old, fresh):
        pass
    world.correlator = fresh
    world.tell()  # as after a restart: before any rebuild
    assert verdict(world, "bot5") == NONE
    world.load("")
    world.tell()
    # The rebuilds have inferred anew what was set before.
    assert verdict(world, "bot5") == verdict(world, "bot3") == CERTAIN


def test_a_newcomer_of_a_cleared_actor_is_none_at_once() -> None:
    world = seen(known(clear=["bot3"]))
    pool = [
        {"account": "late", "payment": "botcard1", "ip": f"45.{n % 20}.{n}.7", "client": "bot/1.0"}
        for n in range(9)
    ]
    world.see([(DAY + n, values) for n, values in enumerate(pool)], rebuilds=False)
    assert world.label("late") == world.label("bot5")
    assert verdict(world, "late") == NONE


def test_a_group_that_is_one_actor_by_the_operators_word_is_certain() -> None:
    world = World(known(together=[["person1", "person2"]]))  # type: ignore[list-item]
    world.see([*people()])
    world.correlator.core.set_inferred(world.key("person1"), NONE)
    assert verdict(world, "person1") == CERTAIN


@pytest.mark.parametrize(
    ("acts", "key"),
    [
        ({"confirm": ["a", "b"], "clear": ["c", "b"]}, "correlation.known.confirm[1]"),
        ({"confirm": ["b"], "exempt": ["b"]}, "correlation.known.confirm[0]"),
        ({"together": [["a", "b"]], "clear": ["b"]}, "correlation.known.together[0]"),
    ],
)
def test_contradictions_are_errors_with_their_place(acts: dict[str, list[str]], key: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(POLICY + known(**acts))
    found = [problem for problem in caught.value.problems if problem.severity == "error"]
    assert [(problem.code, problem.key) for problem in found] == [("known-contradiction", key)]


@pytest.mark.parametrize(
    "acts", [{"confirm": ["a"], "together": [["a", "b"]]}, {"clear": ["a"], "exempt": ["a"]}]
)
def test_acts_that_agree_are_no_contradiction(acts: dict[str, list[str]]) -> None:
    assert Policy.from_toml(POLICY + known(**acts)).compiled.correlation is not None


def test_overrides_of_labels_there_are_not_are_forgotten() -> None:
    overrides = Overrides()
    overrides.set_clusters([0, 1, 5, 5000], [5, 6, 7000])
    assert [overrides.override_of_cluster(label) for label in (0, 1, 5, 6, 5000)] == [
        None,
        "confirm",
        None,
        "clear",
        None,
    ]
    overrides.set_clusters([], [])
    assert overrides.override_of_cluster(1) is None


@pytest.mark.parametrize("verdict", [3, 255])
def test_there_are_three_verdicts(verdict: int) -> None:
    world = World()
    world.see([*people(5)])
    with pytest.raises(ValueError, match="0 to 2"):
        world.correlator.core.set_inferred(world.key("person1"), verdict)
    assert not world.correlator.core.set_inferred(12345, LIKELY)


def test_a_member_brings_what_it_was_given_once_it_is_certain_and_not_before() -> None:
    world = seen()
    core, row = world.correlator.core, world.row({"account": "bot5", "payment": "botcard5"})
    for _ in range(7):
        core.observe(row, world.correlator.now_ns)
        core.admit(row)
    core.observe(row, world.correlator.now_ns)
    assert not core.owing
    core.set_inferred(world.key("bot5"), CERTAIN)
    core.observe(row, world.correlator.now_ns)
    assert sum(requests for _, requests in core.debts()) == 7


@pytest.mark.parametrize("then", ["clear", "confirm"])
def test_of_two_acts_on_one_actor_the_later_counts_whichever_accounts_each_names(then: str) -> None:
    """Hazard: an act names a hundred accounts of an actor at most, and a later one names others of them."""
    world = seen()
    earlier = {world.key(f"bot{number}"): 1 for number in range(1, 9)}
    later = {world.key(f"bot{number}"): 2 for number in range(5, 13)}
    mixed = dict.fromkeys(earlier.keys() - later.keys(), 1)
    confirmed, cleared = (mixed, later) if then == "clear" else (later, mixed)
    world.correlator.know(Overrides(confirm=confirmed, clear=cleared))
    verdicts = {verdict(world, f"bot{number}") for number in range(1, 60)}
    assert verdicts == {CERTAIN if then == "confirm" else NONE}
    assert {world.correlator.override_of(key) for key in (*earlier, *later)} == {then}
