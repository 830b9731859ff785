"""When clusters are looked for, what they are called, and what becomes of those in them."""

from __future__ import annotations

import random

import pytest

from ratelimit.correlation import Correlator
from tests.correlation.sights import (
    DAY_S,
    HOUR_S,
    NS,
    START_S,
    Sight,
    campaign,
    clusters,
    correlator,
    crowd,
    keys_of,
    mixed,
    rebuild,
    row,
    show,
    together,
)

BAD = keys_of({f"bad-{number}" for number in range(100)})


def grown(edges: int, *, after: int = 0, is_growing: bool = False) -> Correlator:
    """Return a correlator of a hundred principals, rebuilt at the start, with new edges since."""
    one = correlator()
    for number in range(100):
        one.observe(row(number, payment=number), False, START_S * NS)
    rebuild(one, START_S)
    one._is_growing = is_growing
    for number in range(edges):
        one.observe(row(number % 100, address=f"10.0.{number // 250}.{number % 250}"), False, START_S * NS)
    return one


@pytest.mark.parametrize(
    ("edges", "is_growing", "after_s", "is_due"),
    [
        # Nothing new: never.
        (0, False, 3600, False),
        (0, True, 10**6, False),
        # Anything new: after an hour.
        (1, False, 3599, False),
        (1, False, 3600, True),
        # While clusters grow: after three minutes.
        (1, True, 179, False),
        (1, True, 180, True),
        # A sixteenth of four edges a principal: after a minute.
        (24, False, 60, False),
        (25, False, 59, False),
        (25, False, 60, True),
        # Time that steps back is no time.
        (25, False, -60, False),
    ],
)
def test_when_a_rebuild_is_due(edges: int, is_growing: bool, after_s: int, is_due: bool) -> None:
    assert grown(edges, is_growing=is_growing).is_due((START_S + after_s) * NS) == is_due


def test_a_rebuild_is_not_due_twice() -> None:
    one = grown(25)
    rebuild(one, START_S + 60)
    assert not one.is_due((START_S + 120) * NS)
    assert one.rebuilds == 2


# -- joining, staying and leaving ---------------------------------------------------------------------


def settled(seed: int = 1) -> Correlator:
    """Return a correlator that has found the actor among four hundred others."""
    one = correlator()
    show(one, mixed(seed))
    assert clusters(one) == [BAD]
    return one


def test_a_replacement_joins_by_its_third_request() -> None:
    one = settled()
    rng = random.Random(9)
    now_s = START_S + 6 * HOUR_S
    needed = [_requests_until_known(one, rng, number, now_s) for number in range(20)]
    assert sorted(needed)[10] <= 4  # decided in the cluster at the latest with the fourth


def _requests_until_known(one: Correlator, rng: random.Random, number: int, now_s: int) -> int:
    for request in range(1, 6):
        exit_ = rng.randrange(40)
        address = f"43.{exit_}.{exit_ % 9}.{1 + exit_ % 250}"
        # A new card for every fifth, as before.
        seen = row(
            f"next-{number}", address=address, payment=f"next card {number // 5}", client="bad build 0"
        )
        if one.cluster(seen) != -1:
            return request
        one.observe(seen, False, now_s * NS)
    return 6


def test_newcomers_of_the_crowd_do_not_join() -> None:
    one = settled()
    rng = random.Random(8)
    late = [
        Sight(sight.at_s + 6 * HOUR_S, sight.account, sight.row)
        for sight in crowd(800, rng, hours=1.0)[4000:]
    ]
    show(one, together(late))
    (found,) = clusters(one)
    assert not found - BAD
    assert len(found) >= 95


@pytest.mark.parametrize("shared", ["address", "client", "payment"])
def test_one_thing_in_common_is_not_enough(shared: str) -> None:
    # A victim pays by itself, from home, with its own client, but for one thing that is the campaign's.
    own = {"address": "99.1.2.3", "client": "build-3", "payment": "card of victim"}
    theirs = {"address": "43.7.7.8", "client": "bad build 0", "payment": "bad card 3"}
    one = settled()
    now_s = START_S + 6 * HOUR_S
    for number in range(12):
        one.observe(row("victim", **(own | {shared: theirs[shared]})), False, (now_s + number) * NS)
        one.observe(row("victim", **own), False, (now_s + number) * NS)
    rebuild(one, now_s + HOUR_S)
    assert one.core.label_of(row("victim")[0]) == 0


def test_an_account_older_than_the_cluster_is_not_drawn_in_by_a_stolen_card() -> None:
    one = correlator()
    for day in range(4):
        for hour in range(24):
            at_s = START_S + day * DAY_S + hour * HOUR_S
            seen = row("victim", address="99.1.2.3", client="build-3", payment="card of victim")
            one.observe(seen, False, at_s * NS)
    rng = random.Random(1)
    later = together(crowd(400, rng), campaign(100, rng))
    show(one, [Sight(sight.at_s + 4 * DAY_S, sight.account, sight.row) for sight in later])
    at_s = START_S + 4 * DAY_S + 6 * HOUR_S
    for number in range(20):
        seen = row(f"bad-{number}", address="43.7.7.8", client="bad build 0", payment="card of victim")
        one.observe(seen, False, at_s * NS)
    rebuild(one, at_s + HOUR_S)
    assert len(clusters(one)[0] & BAD) >= 95
    assert one.core.label_of(row("victim")[0]) == 0


def test_a_cluster_that_falls_silent_is_forgotten() -> None:
    one = settled()
    now_s = START_S + 6 * HOUR_S
    one.observe(row("somebody", payment="x"), False, (now_s + 400 * DAY_S) * NS)
    rebuild(one, now_s + 400 * DAY_S)
    assert one.members() == {}
    assert one.cluster(row("bad-1")) == -1


# -- names --------------------------------------------------------------------------------------------


def test_a_cluster_keeps_its_name_over_rebuilds() -> None:
    one = settled()
    names = set()
    for hour in range(7, 12):
        rng = random.Random(hour)
        more = [
            Sight(START_S + hour * HOUR_S + rng.random() * HOUR_S, sight.account, sight.row)
            for sight in campaign(100, rng)
        ]
        show(one, together(more))
        names |= {one.identities[label] for label in one.members()}
    assert one.rebuilds > 5
    assert len(names) == 1
    assert one.cluster(row("bad-1")) in names


def test_names_follow_from_what_was_seen() -> None:
    first, second = settled(), settled()
    assert first.identities == second.identities
    assert settled(2).identities != first.identities


def test_a_name_is_never_what_stands_for_none() -> None:
    one = correlator()
    for number in range(10_000):
        one._rebuilt_ns = number * 997
        assert 0 < one._name_at(number % 4096) < 2**64 - 1


def test_names_of_one_rebuild_are_different() -> None:
    one = correlator()
    assert len({one._name_at(number) for number in range(4097)}) == 4097


# -- explaining ---------------------------------------------------------------------------------------


def test_an_account_in_no_cluster_has_nothing_to_explain() -> None:
    one = settled()
    assert one.core.explain(row("honest-1")[0]) is None
    assert one.core.explain(row("never seen")[0]) is None


def test_an_explanation_has_each_familys_weight_within_its_cap() -> None:
    one = settled()
    said = one.core.explain(row("bad-1")[0])
    assert said is not None
    caps = one.settings
    assert 3.0 < said["network"] <= caps.network_cap
    assert 0.0 < said["payment"] <= caps.payment_cap
    assert 0.0 < said["client"] <= caps.client_cap
    assert said["extra"] == 0.0
    assert abs(said["behaviour"]) <= 4 * caps.behaviour_cap
    assert said["networks"] >= 2
    assert START_S <= said["first_s"] <= said["last_s"] <= START_S + 6 * HOUR_S


def test_a_cluster_that_does_not_exist_has_no_profile() -> None:
    one = correlator()
    for label in (0, one.core.most_clusters + 1, 2**32 - 1):
        with pytest.raises(IndexError):
            one.core.profile(label)
