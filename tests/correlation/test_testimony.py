"""Ten times more accounts than memory holds: witnesses of an exit still count, and a campaign is found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.core.clusters.image import REGIONS, Image
from ratelimit.correlation import Correlator
from ratelimit.correlation.classification import Verdict
from tests.correlation.sights import (
    DAY_S,
    HOUR_S,
    NS,
    START_S,
    correlator,
    rebuild,
    row,
    verdicts,
)

HOURS = 18
OLD_S = START_S - 400 * DAY_S
ROOM = 400
STRANGERS = 10 * ROOM
MEMBERS, CARDS = 60, 20
TURNS = 10
"""Requests an hour of a member: memory keeps those that ask most."""


def world(room: int, *, exits: int, is_shared: bool, strangers: int = STRANGERS, seed: int = 1) -> Correlator:
    """Return what a correlator knows after a day.

    New accounts on a few payment methods come ten times an hour, each time to one of some exits. Old
    accounts that pay by themselves come a few times, each time to one of these exits, or to a home.

    Args:
        room: accounts that it remembers.
        exits: how many there are, in as many networks.
        is_shared: whether the old ones use the same exits.
    """
    rng = random.Random(seed)
    one = correlator(principals=room, identifiers=20_000)
    seen: list[tuple[float, str, str, str, int]] = []
    for member in range(MEMBERS):
        for turn in range(HOURS * TURNS):
            exit_ = rng.randrange(exits)
            at_s = START_S + (turn + rng.random()) * HOUR_S / TURNS
            seen.append(
                (
                    at_s,
                    f"member {member}",
                    f"70.{exit_ % 250}.{exit_ // 250}.9",
                    f"card {member % CARDS}",
                    START_S,
                )
            )
    for stranger in range(strangers):
        for _ in range(4):
            exit_ = rng.randrange(exits)
            at_s = START_S + rng.random() * HOURS * HOUR_S
            place = (
                f"70.{exit_ % 250}.{exit_ // 250}.9"
                if is_shared
                else f"81.{stranger % 250}.{stranger // 250}.7"
            )
            seen.append((at_s, f"stranger {stranger}", place, f"own card {stranger}", OLD_S))
    hours = 0
    for at_s, name, address, card, created_s in sorted(seen):
        while at_s >= START_S + (hours + 1) * HOUR_S:
            hours += 1
            rebuild(one, START_S + hours * HOUR_S)
        one.observe(row(name, address=address, payment=card, created_s=created_s), int(at_s * NS))
    rebuild(one, START_S + HOURS * HOUR_S)
    return one


def named(one: Correlator) -> set[Verdict]:
    """Return what is said of those that are in a cluster."""
    return set(verdicts(one).values())


@pytest.mark.parametrize("room", [ROOM, STRANGERS + MEMBERS])
def test_a_company_behind_a_vpn_is_left_alone_whatever_memory_holds(room: int) -> None:
    one = world(room, exits=12, is_shared=True)
    assert (one.evidence.principal_evictions > 0) == (room == ROOM)
    assert named(one) == set()


@pytest.mark.parametrize("room", [ROOM, STRANGERS + MEMBERS])
def test_a_campaign_with_exits_of_its_own_is_found_whatever_memory_holds(room: int) -> None:
    one = world(room, exits=40, is_shared=False)
    assert (one.evidence.principal_evictions > 0) == (room == ROOM)
    assert len(verdicts(one)) >= 0.9 * MEMBERS
    assert named(one) <= {Verdict.CERTAIN, Verdict.LIKELY}
    assert named(one)


FINE = 0
PLACE = "70.1.1.9"


def forgets(one: Correlator, number: int, now_s: float) -> None:
    """Let others take the place of all that are remembered."""
    for other in range(number, number + 60):
        one.observe(row(f"passer-by {other}", payment=f"own {other}", created_s=OLD_S), int(now_s * NS))


def small() -> Correlator:
    """Return a correlator with room for sixteen accounts."""
    return correlator(principals=16, identifiers=2_000)


@settings(max_examples=25, deadline=None)
@given(witnesses=st.integers(0, 60), times=st.integers(1, 4))
def test_forgotten_witnesses_count_once_and_fade(witnesses: int, times: int) -> None:
    one = small()
    now_s = float(START_S)
    place = row("nobody", address=PLACE)[1]
    for turn in range(times):
        for witness in range(witnesses):
            seen = row(f"witness {witness}", address=PLACE, payment=f"card {witness}", created_s=OLD_S)
            one.observe(seen, int(now_s * NS))
            now_s += 1
        forgets(one, 1000 * turn, now_s)
    found = one.evidence.testified(place, FINE)
    # The first of all saw nobody else there; as many as there are bits fall on the same ones by chance.
    assert 0.6 * (witnesses - 1) - 3 <= found <= 1.5 * witnesses + 3
    forgets(one, 10_000, now_s + DAY_S)
    assert one.evidence.testified(place, FINE) <= 0.85 * found + 1
    forgets(one, 20_000, now_s + 3 * DAY_S)
    assert one.evidence.testified(place, FINE) == 0


@pytest.mark.parametrize(
    ("created_s", "cards", "counts"),
    [(OLD_S, 30, True), (START_S, 30, False), (OLD_S, 3, False)],
    ids=["old", "new", "in question"],
)
def test_who_would_not_have_testified_does_not_when_it_is_forgotten(
    created_s: int, cards: int, counts: bool
) -> None:
    one = small()
    for witness in range(30):
        if witness == 12:
            rebuild(one, START_S)
        for place in ("70.1.2.9", "70.1.3.9", PLACE):
            card = f"card {witness % cards}"
            seen = row(f"witness {witness}", address=place, payment=card, created_s=created_s)
            one.observe(seen, (START_S + witness) * NS)
    rebuild(one, START_S + 60)
    forgets(one, 0, START_S + 100)
    assert (one.evidence.testified(row("x", address=PLACE)[1], FINE) > 0) == counts


def test_testimony_outlasts_a_restart() -> None:
    one, other = world(ROOM, exits=12, is_shared=True), correlator(principals=ROOM, identifiers=20_000)
    number = REGIONS.index("testimonies")
    place = row("x", address="70.3.0.9")[1]
    known = one.evidence.testified(place, FINE)
    assert known > 30
    source, target = Image(one.core), Image(other.core)
    for region in range(len(REGIONS)):
        size, count = source.shape(region)
        target.write_items(region, 0, size, source.read_items(region, 0, count))
    target.finish(source.numbers())
    assert source.shape(number)[1] == 4 * one.evidence.testimony_lines
    assert other.evidence.testified(place, FINE) == known
