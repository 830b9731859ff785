"""A rebuild as a whole: in slices of any number, given up halfway, and with requests in between."""

from __future__ import annotations

import random
from functools import partial

import pytest

import ratelimit.correlation.rebuild as steps
from ratelimit.core.clusters.overrides import Overrides
from ratelimit.core.clusters.pools import Pools
from ratelimit.correlation.classification import Verdict
from tests.correlation.sights import (
    DAY_S,
    HOUR_S,
    NS,
    START_S,
    Sight,
    campaign,
    clusters,
    correlator,
    keys_of,
    later,
    mixed,
    rebuild,
    row,
    show,
    together,
    verdicts,
)
from tests.correlation.worlds import TUNED, world

HOURS = 16
EVENING_S = START_S + HOURS * HOUR_S
BAD = keys_of(f"bad-{number}" for number in range(100))


def test_a_rebuild_of_nothing_finds_nothing() -> None:
    one = correlator()
    assert rebuild(one, START_S) > 0
    assert one.members() == {}


def test_the_actor_is_found_and_nobody_else() -> None:
    one = correlator()
    show(one, mixed(hours=HOURS))
    rebuild(one, EVENING_S)
    assert clusters(one) == [BAD]
    assert set(verdicts(one).values()) == {Verdict.CERTAIN}


@pytest.mark.parametrize("stop", [0, 1, 5, 20, 60, 120])
def test_a_rebuild_given_up_halfway_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    monkeypatch.setattr(steps, "SLICE", 64)
    one = correlator()
    show(one, mixed(hours=HOURS), rebuilds=False)
    halfway = one.rebuild(EVENING_S * NS)
    for _ in range(stop):
        next(halfway)
    assert one.core.is_rebuilding == (stop > 0)
    halfway.close()  # type: ignore[attr-defined]
    assert not one.core.is_rebuilding
    rebuild(one, EVENING_S)
    assert clusters(one) == [BAD]


@pytest.mark.parametrize("seed", range(12))
def test_whether_visits_are_kept_makes_no_difference(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Hazard: where an account was at addresses is taken for where it was in networks, or for another's."""
    found = []
    for most in (None, 0):
        if most is not None:
            monkeypatch.setattr(steps, "Pools", partial(Pools, kept=most))
        one = correlator(**TUNED)  # type: ignore[arg-type]
        show(one, world(seed))
        rebuild(one, START_S + 66 * HOUR_S)
        found.append((one.members(), one.kept, one.unlabelled))
    assert found[0] == found[1]


@pytest.mark.parametrize("begin", [0, 60, 100, 140])
def test_an_account_that_comes_to_anothers_place_meanwhile_has_visits_of_its_own(
    monkeypatch: pytest.MonkeyPatch, begin: int
) -> None:
    """Hazard: one that comes where memory is full takes another's place, whose visits were kept."""
    monkeypatch.setattr(steps, "SLICE", 64)
    found = []
    for most in (None, 0):
        if most is not None:
            monkeypatch.setattr(steps, "Pools", partial(Pools, kept=most))
        one = correlator(principals=500)
        show(one, mixed(hours=HOURS), rebuilds=False)
        for number, _ in enumerate(one.rebuild(EVENING_S * NS)):
            if begin <= number < begin + 60:
                # New accounts on the actor's payment methods, elsewhere.
                given = {"payment": f"bad card {number % 20}", "address": f"77.{number}.1.1"}
                one.observe(row(f"late-{number}", **given), EVENING_S * NS)
        assert one.evidence.principal_evictions == 60
        found.append((one.members(), one.kept))
    assert found[0] == found[1]


def test_what_is_seen_during_a_rebuild_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "SLICE", 64)
    one = correlator()
    show(one, mixed(hours=HOURS), rebuilds=False)
    for number, _ in enumerate(one.rebuild(EVENING_S * NS)):
        # New accounts, some with new addresses, and some at the actor's.
        address = f"77.{number % 250}.1.1" if number % 2 else "43.0.7.8"
        seen = row(f"late-{number}", payment=f"late {number}", address=address, client="build-1")
        one.observe(seen, EVENING_S * NS)
    assert number > 100
    assert one.evidence.principal_count == 500 + number + 1
    assert clusters(one) == [BAD]
    rebuild(one, EVENING_S)
    assert clusters(one) == [BAD]


@pytest.mark.parametrize("slice_entries", [1, 7, 100, 4096, 10**6])
def test_the_length_of_slices_changes_nothing(monkeypatch: pytest.MonkeyPatch, slice_entries: int) -> None:
    monkeypatch.setattr(steps, "SLICE", slice_entries)
    one = correlator()
    show(one, mixed(honest=60, bad=100, hours=HOURS), rebuilds=False)
    slices = rebuild(one, EVENING_S)
    assert (slices > 500) == (slice_entries < 10)
    assert clusters(one) == [BAD]


def test_two_actors_that_share_nothing_are_two() -> None:
    rng = random.Random(2)
    one = correlator()
    show(one, together(*(campaign(100, rng, name=name, hours=HOURS) for name in ("one", "other"))))
    rebuild(one, EVENING_S)
    assert sorted(map(len, clusters(one))) == [100, 100]
    assert len({one.cluster(row(f"{name}-3")) for name in ("one", "other")}) == 2


def test_a_label_that_is_given_up_is_used_again_for_another_actor() -> None:
    rng = random.Random(3)
    one = correlator(clusters=1)
    show(one, campaign(100, rng, name="first", hours=HOURS))
    rebuild(one, EVENING_S)
    (label,) = one.core.live()
    name = one.cluster(row("first-1"))
    # There is but one label: the second actor has to wait until the first is forgotten.
    second = later(campaign(100, rng, name="second", hours=HOURS, created_s=START_S + DAY_S), DAY_S)
    show(one, second)
    rebuild(one, EVENING_S + DAY_S)
    assert one.cluster(row("second-1")) == -1
    months = 61 * DAY_S
    third = later(campaign(100, rng, name="third", hours=HOURS, created_s=START_S + months), months)
    show(one, third)
    rebuild(one, EVENING_S + months)
    assert one.core.live() == [label]
    assert one.cluster(row("first-1")) == -1
    assert one.cluster(row("third-1")) not in (-1, name)
    assert clusters(one) == [keys_of(f"third-{number}" for number in range(100))]


def test_as_many_actors_as_there_are_labels_for() -> None:
    rng = random.Random(4)
    one = correlator(clusters=2)
    # Most members first: they are what matters when there is no room for all.
    sizes = {"a": 60, "bb": 90, "ccc": 120}
    show(
        one,
        together(*(campaign(size, rng, name=name, hours=HOURS) for name, size in sizes.items())),
        rebuilds=False,
    )
    rebuild(one, EVENING_S)
    assert {key for group in clusters(one) for key in group} <= keys_of(
        f"{name}-{n}" for name in ("bb", "ccc") for n in range(120)
    )
    assert len(clusters(one)) == 2


def together_on(number: int, hours: float, cards: int) -> list[Sight]:
    """Return a cheap group: six accounts, new and together at a few exits of their own."""
    rng = random.Random(number)
    found = []
    for account in range(9):
        name, card = f"cheap-{number}-{account}", f"cheap card {number}/{account % cards}"
        for _ in range(12):
            address = f"70.{number}.{rng.randrange(6)}.1"
            at_s = START_S + rng.random() * hours * HOUR_S
            found.append(Sight(at_s, name, row(name, address=address, payment=card, created_s=START_S)))
    return found


def flood(groups: int, hours: float = HOURS) -> list[Sight]:
    """Return many cheap groups."""
    return together(*(together_on(number, hours, 3) for number in range(groups)))


def test_cheap_groups_that_fill_the_labels_hide_no_campaign() -> None:
    rng = random.Random(5)
    one = correlator(clusters=4)
    show(one, flood(12), rebuilds=False)
    rebuild(one, EVENING_S)
    assert len(one.core.live()) == 4
    assert one.unlabelled == 8
    attack = later(campaign(100, rng, hours=HOURS), HOURS * HOUR_S)
    show(one, together(attack, later(flood(12), HOURS * HOUR_S)), rebuilds=False)
    rebuild(one, EVENING_S + HOURS * HOUR_S)
    assert {key for key, verdict in verdicts(one).items() if verdict == Verdict.CERTAIN} == BAD
    assert len(one.core.live()) == 4
    assert one.unlabelled == 9
    # The label was another's: nobody who was in that cluster is in this one.
    (members,) = [set(keys) for keys in one.members().values() if BAD.intersection(keys)]
    assert members == BAD


def test_a_label_is_not_taken_from_a_group_that_costs_as_much() -> None:
    one, known = correlator(clusters=4), set[int]()
    for turn in range(4):
        show(one, later(flood(12), turn * HOUR_S), rebuilds=False)
        rebuild(one, EVENING_S + turn * HOUR_S)
        names = {one.identities[label] for label in one.core.live()}
        assert len(names) == 4
        known = known or names
        assert names == known


def test_labels_are_not_taken_from_accounts_that_the_operator_named() -> None:
    one = correlator(clusters=1)
    one.know(Overrides(together=[sorted(keys_of(["cheap-0-0", "cheap-0-1"]))]))
    show(one, flood(1), rebuilds=False)
    rebuild(one, EVENING_S)
    (label,) = one.core.live()
    show(one, later(campaign(100, random.Random(6), hours=HOURS), HOURS * HOUR_S), rebuilds=False)
    rebuild(one, EVENING_S + HOURS * HOUR_S)
    assert one.cluster(row("cheap-0-0")) == one.identities[label]
    assert one.unlabelled == 1


@pytest.mark.parametrize(("busy", "quiet"), [(1, 60), (4, 200), (2, 400)])
def test_exits_are_no_more_than_there_are_addresses(busy: int, quiet: int) -> None:
    """Where a few exits have most of the visits, the estimate of the others stays within what is there."""
    rng = random.Random(busy)
    sights = campaign(120, rng, exits=quiet, requests=9) + campaign(120, rng, exits=busy, requests=24)
    one = correlator()
    show(one, together(sights), rebuilds=False)
    rebuild(one, START_S + 7 * HOUR_S)
    assert one.kept
    for statistics, _ in one.kept.values():
        assert 0 < statistics["exits"] <= statistics["addresses"]
