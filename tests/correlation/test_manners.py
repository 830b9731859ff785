"""How long somebody's answers are, and what it does when it gets none: evidence that is free."""

from __future__ import annotations

import random

import pytest

from ratelimit.correlation import Correlator
from tests.correlation.sights import (
    HOUR_S,
    NS,
    START_S,
    Sight,
    campaign,
    clusters,
    correlator,
    crowd,
    keys_of,
    rebuild,
    row,
    show,
    together,
)
from tests.correlation.test_behaviour import EXITS, exit_address, found

PEOPLE, HARVEST = 130, 900
"""How long answers are, about, to people and to an actor that harvests."""


def lasting(length: float, rng: random.Random) -> int:
    """Return how long one answer is; to people they differ more than that from each other."""
    return max(1, round(length * rng.lognormvariate(0, 0.5)))


def show_answered(one: Correlator, sights: list[Sight], lengths: dict[str, int], rng: random.Random) -> None:
    """Let a correlator see requests, and answers as long as the beginning of the account's name says."""
    for sight in sights:
        now_ns = int(sight.at_s * NS)
        one.observe(sight.row, sight.refused, now_ns)
        if not sight.refused:
            one.core.answer(sight.row, lasting(lengths[sight.account.partition("-")[0]], rng))
        if one.is_due(now_ns):
            rebuild(one, sight.at_s)


def renters(accounts: int, rng: random.Random) -> list[Sight]:
    """Return others on the exits and with the clients of a campaign, who pay by themselves."""
    sights = []
    for number in range(accounts):
        name = f"tenant-{number}"
        for _ in range(6):
            address, begin_s = exit_address(rng.randrange(EXITS)), START_S + rng.random() * 6 * HOUR_S
            given = {"payment": f"card of {name}", "client": f"bad build {number % 2}"}
            sights += [Sight(begin_s + at_s, name, row(name, address=address, **given)) for at_s in (0, 40)]
    return sights


@pytest.mark.parametrize(
    ("length", "cap", "is_told_apart"), [(PEOPLE, 1.0, True), (PEOPLE, 0.0, False), (HARVEST, 1.0, False)]
)
def test_who_rents_the_same_exits_is_told_by_its_answers(
    length: int, cap: float, is_told_apart: bool
) -> None:
    # The same exits and clients, a card each, and nearly the same rhythm: what comes out tells them apart.
    rng = random.Random(4)
    bad = campaign(100, rng, per_card=1, exits=EXITS)
    one = correlator(length_cap=cap)
    others = renters(20, rng)
    lengths = {"honest": PEOPLE, "bad": HARVEST, "tenant": length}
    show_answered(one, together(crowd(400, rng), bad, others), lengths, rng)
    rebuild(one, START_S + 6 * HOUR_S)
    assert found(one, "bad", 100) >= 95
    assert (found(one, "tenant", 20) <= 1) if is_told_apart else (found(one, "tenant", 20) >= 10)


def test_long_answers_alone_put_nobody_into_a_cluster() -> None:
    # An agent that many use: the campaign's client, and answers as long; at home, each with a card.
    rng = random.Random(5)
    people = []
    for number in range(200):
        name = f"agent-{number}"
        for _ in range(12):
            given = {"payment": f"card of {name}", "client": f"bad build {number % 2}"}
            address = f"22.{number // 250}.{number % 250}.7"
            at_s = START_S + rng.random() * 6 * HOUR_S
            people.append(Sight(at_s, name, row(name, address=address, **given)))
    one = correlator()
    lengths = {"honest": PEOPLE, "bad": HARVEST, "agent": HARVEST}
    show_answered(one, together(crowd(400, rng), campaign(100, rng), people), lengths, rng)
    rebuild(one, START_S + 6 * HOUR_S)
    assert found(one, "bad", 100) >= 95
    assert found(one, "agent", 200) == 0


def explained(*lengths: tuple[int, int | None]) -> float | None:
    """Return how long answers are said to be, after (length, what was said of it before)."""
    one = correlator()
    one.observe(row("a"), False, START_S * NS)
    for length, before in lengths:
        one.core.answer(row("a"), length, before)
    why = one.explain(row("a")[0])
    assert why is not None
    return why.answer_length


@pytest.mark.parametrize(
    ("reports", "length"),
    [
        ([], None),
        ([(0, None)], 0),
        ([(1000, None)], 1000),
        ([(10, None), (1000, None)], 100),
        # A stream that is settled as it goes on is one answer, of its last length.
        ([(10, None), (200, 10), (1000, 200)], 1000),
        # The latest count: whoever has changed is soon known for what it is now.
        ([(10, None)] * 200 + [(1000, None)] * 200, 1000),
        ([(2**31 - 1, None)] * 200, 2**31),
    ],
)
def test_latest_answers_count_by_their_geometric_mean(
    reports: list[tuple[int, int | None]], length: int | None
) -> None:
    told = explained(*reports)
    assert told == (None if length is None else pytest.approx(length, rel=0.1, abs=0.1))


def test_answer_to_nobody_is_forgotten() -> None:
    one = correlator()
    one.core.answer(row("nobody"), 500)
    assert one.explain(row("nobody")[0]) is None


def pressed(one: Correlator, honest_insist: bool) -> None:
    """Let a campaign be refused that asks again at once, each time, beside people who are refused as well.

    Among its accounts is one that waits as it is told to, on a card of its own.
    """
    rng = random.Random(8)
    bad = campaign(100, rng, per_card=5, exits=EXITS)
    odd = [
        Sight(
            sight.at_s,
            "odd-0",
            row("odd-0", address=exit_address(at), payment="bad card 1", client="bad build 0"),
        )
        for at, sight in enumerate(bad[:12])
    ]
    some = [sight for sight in crowd(400, rng) if rng.random() < 0.5]
    asked = []
    for sight in (*some, *bad, *odd):
        insists = sight.account.startswith("bad") or (honest_insist and sight.account.startswith("honest"))
        for again in range(3):
            at_s = sight.at_s + (5 if insists else 120) * again
            asked.append(Sight(at_s, sight.account, sight.row, refused=again < 2))
    show(one, together(asked))
    rebuild(one, START_S + 7 * HOUR_S)


@pytest.mark.parametrize("honest_insist", [False, True])
def test_insistence_says_something_only_where_others_wait(honest_insist: bool) -> None:
    weights = []
    for cap in (1.0, 0.0):
        one = correlator(insistence_cap=cap)
        pressed(one, honest_insist)
        fits = [fit["behaviour"] for n in range(100) if (fit := one.core.explain(row(f"bad-{n}")[0]))]
        assert len(fits) >= 95
        weights.append(sorted(fits)[len(fits) // 2])
    assert (weights[0] - weights[1] >= 0.5) == (not honest_insist)


def test_people_who_ask_again_at_once_are_in_no_cluster_for_it() -> None:
    one = correlator()
    pressed(one, honest_insist=True)
    honest = keys_of({f"honest-{number}" for number in range(400)})
    assert not honest & set().union(*clusters(one), set())
