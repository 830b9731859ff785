"""Accounts that are silent for long: out of the way of rebuilds, and back as if they had never been away."""

from __future__ import annotations

import random
import struct
from collections import deque

import pytest

import ratelimit.correlation.rebuild as steps
from ratelimit.core.clusters.image import Image
from ratelimit.core.clusters.overrides import Overrides
from ratelimit.correlation import Correlator
from ratelimit.correlation.memory import pieces_of, put_piece, put_state, state_of
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
    exit_of,
    keys_of,
    later,
    mixed,
    rebuild,
    row,
    show,
    together,
    verdicts,
)

BAD = keys_of(f"bad-{number}" for number in range(100))
HOURS = 16
EVENING_S = START_S + HOURS * HOUR_S


def settled() -> Correlator:
    """Return a correlator that has found an actor of a hundred accounts among two hundred people."""
    one = correlator()
    show(one, mixed(honest=200, hours=HOURS))
    rebuild(one, EVENING_S)
    assert clusters(one) == [BAD]
    return one


def days(sights: list[Sight], days: float, accounts: int = 1000) -> list[Sight]:
    """Return the same requests some days later, of the first accounts alone."""
    few = [sight for sight in sights if int(sight.account.rpartition("-")[2]) < accounts]
    return later(few, days * DAY_S)


def world(day: int, accounts: int = 1000) -> list[Sight]:
    """Return what people and some of an actor's accounts ask for on another day."""
    rng = random.Random(day)
    return together(
        days(crowd(200, rng, hours=HOURS), day), days(campaign(100, rng, hours=HOURS), day, accounts)
    )


def tell(one: Correlator, at_s: float, account: str, **given: object) -> int:
    """Let one request be seen; return the cluster it counts for, -1 for none."""
    seen = row(account, **given)
    one.observe(seen, int(at_s * NS))
    return one.cluster(seen)


def degrees(one: Correlator) -> list[int]:
    """Return how many principals each identifier has, of those that are counted."""
    image = Image(one.core)
    size, count = image.shape(1)
    found = image.read_items(1, 0, count)
    return [degree for at in range(count) if (degree := struct.unpack_from("<H", found, at * size + 6)[0])]


@pytest.mark.parametrize(("silent_s", "awake"), [(3 * DAY_S - 1, 2), (3 * DAY_S, 1)])
def test_after_three_silent_days_a_principal_is_dormant(silent_s: int, awake: int) -> None:
    one = correlator()
    tell(one, START_S, "gone", address="10.0.0.1", payment="card")
    tell(one, START_S + silent_s, "here", address="10.0.0.1", payment="card")
    rebuild(one, START_S + silent_s)
    assert (one.evidence.principal_count, one.evidence.awake_count) == (2, awake)
    assert set(degrees(one)) == {awake}
    # And is counted again, wherever it is still remembered, by the request that it comes back with.
    tell(one, START_S + silent_s, "gone")
    assert (one.evidence.principal_count, one.evidence.awake_count) == (2, 2)
    assert set(degrees(one)) == {2}


def test_a_rebuild_costs_the_dormant_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "SLICE", 64)
    one = correlator()
    for number in range(3000):
        tell(one, START_S + number, f"gone-{number}", address=f"10.{number // 250}.{number % 250}.1")
    slices = rebuild(one, START_S + HOUR_S)
    for number in range(10):
        tell(one, START_S + 4 * DAY_S + number, f"here-{number}", address=f"10.0.{number}.1")
    rebuild(one, START_S + 4 * DAY_S + HOUR_S)
    for number in range(10):
        tell(one, START_S + 5 * DAY_S + number, f"here-{number}", address=f"10.1.{number}.1")
    fewer = rebuild(one, START_S + 5 * DAY_S + HOUR_S)
    assert (one.evidence.principal_count, one.evidence.awake_count) == (3010, 10)
    # Three thousand are 47 slices; they are walked over by what asks for all, not by each phase.
    assert slices - fewer > 8 * 3000 // 64


def test_a_customer_that_returns_is_as_old_as_it_was() -> None:
    one = correlator()
    given = {"address": "99.1.2.3", "client": "build-3", "payment": "own card"}
    for hour in range(4 * 24):
        tell(one, START_S + hour * HOUR_S, "customer", **given)
    shift = 14
    show(one, world(shift))
    assert one.evidence.awake_count == one.evidence.principal_count - 1
    at_s = EVENING_S + shift * DAY_S
    # Its card is stolen while it is away: twenty of the campaign's accounts pay with it.
    for number in range(20):
        tell(one, at_s, f"bad-{number}", address=exit_of(number), payment="own card")
    rebuild(one, at_s + HOUR_S)
    assert len(BAD & verdicts(one).keys()) >= 95
    # The customer comes back, and uses an exit as well.
    assert tell(one, at_s + HOUR_S, "customer", address=exit_of(3), payment="own card") == -1
    rebuild(one, at_s + 2 * HOUR_S)
    assert one.core.label_of(row("customer")[0]) == 0
    assert remembered(one)[row("customer")[0]] == DAY_S  # since a day before the correlator's beginning


def test_a_member_that_returns_is_in_its_cluster_at_once() -> None:
    one = settled()
    name = one.cluster(row("bad-1"))
    # Forty of the accounts go on, and the others come back after a week.
    for day in range(1, 8):
        show(one, world(day, accounts=40))
    assert one.cluster(row("bad-1")) == name
    assert one.evidence.awake_count <= one.evidence.principal_count - 60
    at_s = EVENING_S + 7 * DAY_S
    assert one.cluster(row("bad-90")) == name
    assert tell(one, at_s, "bad-90", payment="bad card 18") == name
    exits = [exit_of(number) for number in range(20)]
    new = {tell(one, at_s, f"new-{at}", address=at, payment="bad card 3", created_s=at_s) for at in exits}
    assert name in new <= {name, -1}  # some of the exits were not used of late


def test_a_cluster_that_was_away_is_there_while_it_is_and_found_again_when_it_comes_back() -> None:
    one = settled()
    name = one.cluster(row("bad-1"))
    for day in range(1, 9):
        show(one, days(crowd(200, random.Random(day), hours=HOURS), day))
    rebuild(one, EVENING_S + 8 * DAY_S)
    label = one.core.label_of(row("bad-1")[0])
    # As evidence fades, some of its last accounts are let go; most keep what was said of them.
    assert one.core.size(label) >= 50
    assert one.identities[label] == name
    # One after the other comes back, with rebuilds between them.
    show(one, world(9))
    rebuild(one, EVENING_S + 9 * DAY_S)
    assert clusters(one) == [BAD]
    assert len({one.cluster(row(f"bad-{number}")) for number in range(100)}) == 1


def test_a_cluster_waits_no_longer_than_anything_is_left_of_what_bound_it() -> None:
    one = settled()
    for day, is_there in ((59, True), (61, False)):
        tell(one, EVENING_S + day * DAY_S, "somebody", payment="x")
        rebuild(one, EVENING_S + day * DAY_S)
        assert (one.cluster(row("bad-1")) != -1) is is_there
    assert one.members() == {}


def test_an_account_that_was_ruled_upon_is_never_dormant() -> None:
    one = correlator()
    tell(one, START_S, "ruled", payment="a")
    tell(one, START_S, "other", payment="b")
    one.know(Overrides([row("ruled")[0]]))
    tell(one, START_S + 30 * DAY_S, "here", payment="c")
    rebuild(one, START_S + 30 * DAY_S)
    assert (one.evidence.principal_count, one.evidence.awake_count) == (3, 2)
    tell(one, START_S + 60 * DAY_S, "ruled")
    assert one.evidence.awake_count == 2


def remembered(one: Correlator) -> dict[int, int]:
    """Return when each principal was first seen, by key, in the order of their places."""
    found = Image(one.core).read_items(0, 0, one.evidence.principal_count)
    starts = range(0, len(found), one.evidence.principal_bytes)
    return dict(struct.unpack_from("<QI", found, start) for start in starts)


def keys_in(one: Correlator) -> list[int]:
    """Return the keys of principals in the order of their places."""
    return list(remembered(one))


@pytest.mark.parametrize("seed", range(8))
def test_an_account_that_moves_is_found_where_it_lies(seed: int) -> None:
    rng = random.Random(seed)
    one = correlator(principals=24, identifiers=64)
    last: dict[int, float] = {}
    first: dict[int, float] = {}
    at_s = float(START_S)
    for _ in range(400):
        account = rng.randrange(40)
        key = row(str(account))[0]
        is_new = not one.core.knows(key)
        tell(one, at_s, str(account), payment=account % 7)
        last[key] = at_s
        if is_new:
            first[key] = at_s
        keys = keys_in(one)
        awake = one.evidence.awake_count
        assert len(set(keys)) == len(keys) <= 24
        assert all(one.core.knows(known) for known in keys)
        assert key in keys[:awake]
        assert not any(
            one.core.knows(row(str(other))[0]) for other in range(40) if row(str(other))[0] not in keys
        )
        if rng.random() < 0.2:
            rebuild(one, at_s)
            keys = keys_in(one)
            # Those awake come first, and are those heard of in three days.
            asleep = [at_s - last[known] >= 3 * DAY_S for known in keys]
            assert asleep == sorted(asleep)
            assert one.evidence.awake_count == asleep.count(False)
        at_s += rng.choice((60.0, HOUR_S, DAY_S, 2 * DAY_S))
    assert remembered(one) == {key: first[key] - START_S + DAY_S for key in keys_in(one)}


def test_a_snapshot_remembers_who_is_dormant() -> None:
    one = settled()
    show(one, days(crowd(200, random.Random(2), hours=HOURS), 5))
    rebuild(one, EVENING_S + 5 * DAY_S)
    again = correlator()
    for piece in pieces_of(one):
        put_piece(again, piece)
    deque(put_state(again, state_of(one)), maxlen=0)
    assert again.evidence.awake_count == one.evidence.awake_count < one.evidence.principal_count
    old = state_of(one)
    del old["numbers"]["awake"]  # as an earlier release wrote it
    earlier = correlator()
    for piece in pieces_of(one):
        put_piece(earlier, piece)
    deque(put_state(earlier, old), maxlen=0)
    assert earlier.evidence.awake_count == earlier.evidence.principal_count
    rebuild(earlier, EVENING_S + 5 * DAY_S)
    assert earlier.evidence.awake_count == one.evidence.awake_count
