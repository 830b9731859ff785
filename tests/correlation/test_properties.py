"""Properties of verdicts: changes that must not alter them, and facts that must not count against anyone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.correlation import Correlator, Settings
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.memory import transplant
from tests.correlation.sights import (
    DAY_S,
    HOUR_S,
    NS,
    SIZES,
    START_S,
    Sight,
    campaign,
    clusters,
    columns,
    correlator,
    crowd,
    exit_of,
    hashed,
    key_of,
    keys_of,
    mixed,
    rebuild,
    row,
    show,
    together,
    verdicts,
)

HOURS = 16.0
EVENING_S = START_S + round(HOURS * HOUR_S)
BAD = {f"bad-{number}" for number in range(100)}


def world(seed: int = 1) -> list[Sight]:
    """Return people and an actor, with verdicts that are far from any bound."""
    return mixed(seed, honest=300, bad=100, hours=HOURS)


def judged(sights: list[Sight], **changed: object) -> Correlator:
    """Return a correlator that has seen requests and rebuilt once."""
    one = correlator(**changed)  # type: ignore[arg-type]
    show(one, sights, rebuilds=False)
    rebuild(one, EVENING_S)
    return one


def said(one: Correlator) -> dict[int, int]:
    """Return the certain members: that is what costs them something."""
    return {key: verdict for key, verdict in verdicts(one).items() if verdict == Verdict.CERTAIN}


@pytest.fixture(scope="module")
def plain() -> dict[int, int]:
    """Return what is said of the world as it is."""
    found = said(judged(world()))
    assert found == dict.fromkeys(keys_of(BAD), Verdict.CERTAIN)
    return found


# -- what is free -------------------------------------------------------------------------------------


def other_volumes(sights: list[Sight], rng: random.Random) -> list[Sight]:
    """Some accounts repeat what they ask for many times, some never: all in the same minute."""
    times = {sight.account: max(1, round(rng.lognormvariate(1, 2))) for sight in sights}
    return [sight for sight in sights for _ in range(min(60, times[sight.account]))]


def other_times(sights: list[Sight], rng: random.Random) -> list[Sight]:
    """Everything is asked within the same ten minutes of the hour."""
    return together([replace(one, at_s=one.at_s // HOUR_S * HOUR_S + 600 * rng.random()) for one in sights])


def other_clients(sights: list[Sight], rng: random.Random) -> list[Sight]:
    """Each account has a client of another's, among all there are."""
    clients = {sight.account: sight.row[4] for sight in sights}
    dealt = dict(zip(clients, rng.sample(list(clients.values()), len(clients)), strict=True))
    return [replace(one, row=[*one.row[:4], dealt[one.account], *one.row[5:]]) for one in sights]


def a_client_each(sights: list[Sight], rng: random.Random) -> list[Sight]:
    return [replace(one, row=[*one.row[:4], hashed("client", one.account), *one.row[5:]]) for one in sights]


def one_client(sights: list[Sight], rng: random.Random) -> list[Sight]:
    return [replace(one, row=[*one.row[:4], hashed("client", 0), *one.row[5:]]) for one in sights]


def no_client(sights: list[Sight], rng: random.Random) -> list[Sight]:
    return [replace(one, row=[*one.row[:4], -1, *one.row[5:]]) for one in sights]


def refused(sights: list[Sight], rng: random.Random) -> list[Sight]:
    """Half of all requests are refused."""
    return [replace(one, refused=rng.random() < 0.5) for one in sights]


def other_names(sights: list[Sight], rng: random.Random) -> list[Sight]:
    """Further families that the policy does not call costly have a value each, or one for all."""
    return [
        replace(one, row=[*one.row[:5], rng.randrange(2, 9), rng.getrandbits(60), 7, *one.row[8:]])
        for one in sights
    ]


FREE = [other_volumes, other_times, other_clients, a_client_each, one_client, no_client, refused, other_names]


@pytest.mark.parametrize("change", FREE, ids=lambda change: change.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_what_costs_nothing_moves_no_verdict(
    plain: dict[int, int], change: Callable[[list[Sight], random.Random], list[Sight]], seed: int
) -> None:
    changed = change(world(), random.Random(seed))
    assert changed != world()
    assert said(judged(changed)) == plain


def test_what_costs_moves_it() -> None:
    # Cards of their own; homes of their own; age; exits that others share: each of them is enough.
    rng = random.Random(5)
    people = crowd(300, rng, hours=HOURS)
    for actor in (
        campaign(100, rng, hours=HOURS, per_card=1),
        campaign(100, rng, hours=HOURS, exits=20),
        campaign(100, rng, hours=HOURS, created_s=START_S - 20 * DAY_S),
        [
            replace(one, row=[*one.row[:1], hashed("home", one.account), *one.row[2:]])
            for one in campaign(100, rng)
        ],
    ):
        assert said(judged(together(people, actor))) == {}


# -- order, restarts, and room ------------------------------------------------------------------------


@given(st.integers(0, 2**32))
def test_the_order_within_a_second_changes_nothing(seed: int) -> None:
    sights = [replace(one, at_s=one.at_s // 1800 * 1800) for one in mixed(2, honest=40, bad=40, hours=HOURS)]
    rng = random.Random(seed)
    shuffled = sorted(sights, key=lambda one: (one.at_s, rng.random()))
    first, second = (judged(each, exits=64.0) for each in (sights, shuffled))
    assert said(first) == said(second)
    assert said(first)


@pytest.mark.parametrize("seed", range(5))
def test_rebuilds_in_between_change_nothing_in_the_end(seed: int) -> None:
    rng = random.Random(seed)
    one = correlator()
    for sight in (sights := world(seed + 1)):
        one.observe(sight.row, int(sight.at_s * NS))
        if rng.random() < 0.004:
            rebuild(one, sight.at_s)
    rebuild(one, EVENING_S)
    assert said(one) == said(judged(sights))
    assert len(clusters(one)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_restart_between_any_two_slices_changes_nothing(seed: int) -> None:
    sights = world(seed + 1)
    whole = judged(sights)
    half = len(sights) // 2
    one = correlator()
    show(one, sights[:half], rebuilds=False)
    slices = rebuild(correlator(), EVENING_S)
    for stop in range(0, slices, 5):
        # What is left of a rebuild that was cut off is memory that the next one begins with.
        cut = one.rebuild(int(sights[half].at_s * NS))
        for _ in range(stop):
            next(cut, None)
        cut.close()  # type: ignore[attr-defined]
        again = correlator()
        for _ in transplant(one, again):
            pass
        show(again, sights[half:], rebuilds=False)
        rebuild(again, EVENING_S)
        assert said(again) == said(whole)


def test_tables_smaller_than_the_world_find_the_actor_and_nobody_else() -> None:
    sights = world()
    one = correlator(principals=200, identifiers=700)
    show(one, sights)
    rebuild(one, EVENING_S)
    assert one.evidence.principal_evictions > 100
    assert one.evidence.identifier_evictions > 100
    assert said(one).keys() <= keys_of(BAD)


@pytest.mark.parametrize("seed", range(4))
def test_a_flood_of_fresh_names_leaves_people_alone(seed: int) -> None:
    rng = random.Random(seed)
    flood = []
    for number in range(3000):
        at_s = START_S + number * HOURS * HOUR_S / 3000
        given = {
            "address": f"9.{rng.randrange(99)}.{rng.randrange(255)}.{rng.randrange(255)}",
            "payment": number // 2,
        }
        flood.append(Sight(at_s, f"flood-{number}", row(f"flood-{number}", **given)))
    one = correlator(principals=300, identifiers=900)
    show(one, together(crowd(100, rng, hours=HOURS), flood))
    rebuild(one, EVENING_S)
    assert not verdicts(one).keys() & keys_of(f"honest-{number}" for number in range(100))


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=40))
def test_a_clock_that_steps_back_makes_nothing_younger(steps: list[int]) -> None:
    one = correlator()
    latest = START_S
    for number, step in enumerate(steps):
        at_s = START_S + step
        one.observe(row(number % 3, address=f"10.0.0.{number % 5}", payment="x"), at_s * NS)
        latest = max(latest, at_s)
        assert one.evidence.latest_s == latest
    rebuild(one, START_S - DAY_S)
    assert one.evidence.latest_s == latest
    for account in range(min(3, len(steps))):
        said_of = one.explain(key_of(account))
        assert said_of is not None


def test_keys_that_nobody_issued_change_no_verdict_and_take_no_room() -> None:
    rng = random.Random(8)
    people = together(crowd(150, rng, hours=HOURS), campaign(100, rng, hours=HOURS, exits=300))
    made_up = []
    for number in range(4000):
        at_s = START_S + number * HOURS * HOUR_S / 4000
        # They visit the actor's exits to be witnesses there, and customers' homes.
        at = exit_of(rng.randrange(300)) if number % 2 else f"20.0.{number % 150}.7"
        made_up.append(Sight(at_s, f"made-up-{number}", row(f"made-up-{number}", address=at)))
    found = []
    for sights in (people, together(people, made_up)):
        one = Correlator(Settings(**(SIZES | {"principals": 300})), START_S * NS, columns(named=True))
        show(one, sights, rebuilds=False)
        rebuild(one, EVENING_S)
        assert one.evidence.principal_count == 250
        assert one.evidence.principal_evictions == 0
        found.append(said(one))
    assert found[0] == found[1] == dict.fromkeys(keys_of(BAD), Verdict.CERTAIN)


@pytest.mark.parametrize(
    "known",
    [{"payment": "p"}, {"created_s": START_S}, {"device": "costly"}],
    ids=["what it pays with", "when it was created", "what is costly"],
)
def test_an_account_of_which_the_application_says_anything_is_evidence(known: dict[str, Any]) -> None:
    one = Correlator(Settings(**SIZES), START_S * NS, columns(named=True, costly=(0,)))
    one.observe(row("known", address="1.2.3.4", **known), START_S * NS)
    one.observe(row("made up", address="1.2.3.4", client="c"), START_S * NS)
    assert one.evidence.principal_count == 1


# -- no evidence, no state ----------------------------------------------------------------------------


def test_what_leaves_no_evidence_leaves_no_state() -> None:
    one = correlator()
    anonymous = [-1, *row("somebody", address="10.0.0.1", payment="card")[1:]]
    for second in range(100):
        one.observe(anonymous, (START_S + second) * NS)
        one.core.admit(anonymous)
    assert (one.evidence.principal_count, one.evidence.identifier_count, one.evidence.new_edges) == (0, 0, 0)
    assert not one.is_due((START_S + DAY_S) * NS)
    one.observe(row("bare"), START_S * NS)
    assert (one.evidence.principal_count, one.evidence.identifier_count) == (1, 0)
    rebuild(one, START_S + DAY_S)
    assert one.members() == {}
    assert one.core.live() == []


# -- victims and bystanders ---------------------------------------------------------------------------


def victims(kind: str, rng: random.Random) -> list[Sight]:
    """Return what twenty people ask for from home, and a campaign that uses what is theirs."""
    own = [
        Sight(
            START_S + hour * HOUR_S + rng.random() * HOUR_S,
            f"victim-{number}",
            row(
                f"victim-{number}",
                address=f"30.{number}.1.1",
                payment=f"victim card {number}",
                client=f"victim client {number}",
                created_s=START_S - 100 * DAY_S,
            ),
        )
        for number in range(20)
        for hour in range(-30, int(HOURS))
    ]
    bad = campaign(100, rng, hours=HOURS, requests=18)  # a third of them come from none of its exits
    for sight in bad:
        number = int(sight.account.rpartition("-")[2]) % 20
        theirs = own[number * (30 + int(HOURS))].row
        if rng.random() < 0.3:
            if kind == "card":
                sight.row[3] = theirs[3]
            elif kind == "client":
                sight.row[4] = theirs[4]
            elif kind == "address":
                sight.row[1], sight.row[2], sight.row[8] = theirs[1], theirs[2], theirs[8]
            else:
                sight.row[1:9] = theirs[1:9]
    return together(own, bad)


@pytest.mark.parametrize("kind", ["card", "client", "address", "all of it"])
@pytest.mark.parametrize("seed", range(3))
def test_a_victim_of_a_campaign_has_no_verdict(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    one = correlator(START_S - 31 * HOUR_S)
    for sight in together(crowd(200, rng, hours=HOURS), victims(kind, rng)):
        one.observe(sight.row, int(sight.at_s * NS))
        if one.is_due(int(sight.at_s * NS)):
            rebuild(one, sight.at_s)
            assert not verdicts(one).keys() & keys_of(f"victim-{number}" for number in range(20))
    if kind != "all of it":
        assert len(said(one)) > 50


@pytest.mark.parametrize(
    "kind", ["newcomers at home", "newcomers on phones", "a family", "an office", "loners elsewhere"]
)
def test_bystanders_that_share_nothing_with_a_campaign_are_never_members(kind: str) -> None:
    """Row by row of what a newcomer may be like: each member fits by itself, after every rebuild."""
    rng = random.Random(7)
    near = []
    them, may_be_likely = (
        keys_of(f"near-{number}" for number in range(60)),
        kind in ("an office", "newcomers on phones"),
    )
    for number in range(60):
        card = f"near card {number // 4 if kind in ('a family', 'an office') else number}"
        for visit in range(12):
            address = {
                "newcomers at home": f"31.{number}.1.1",
                "a family": f"31.{number // 4}.1.1",
                "an office": f"32.1.1.{number % 3}",
                "newcomers on phones": f"33.1.{rng.randrange(3)}.{rng.randrange(200)}",
                "loners elsewhere": f"34.{number}.{visit}.1",
            }[kind]
            at_s = START_S + HOURS * HOUR_S * (visit + rng.random()) / 12
            seen = row(
                f"near-{number}", address=address, payment=card, client="bad build 0", created_s=START_S
            )
            near.append(Sight(at_s, f"near-{number}", seen))
    one = correlator()
    for sight in together(crowd(200, rng, hours=HOURS), campaign(100, rng, hours=HOURS), near):
        one.observe(sight.row, int(sight.at_s * NS))
        if one.is_due(int(sight.at_s * NS)):
            rebuild(one, sight.at_s)
            # New accounts in one office, or that roam alone, may be likely together: never with others.
            assert not said(one).keys() & them
            assert not any(group & them and group - them for group in clusters(one))
            if not may_be_likely:
                assert not verdicts(one).keys() & them
    assert len(said(one)) == 100


def test_an_account_on_a_campaigns_card_that_was_never_at_its_exits_is_no_member() -> None:
    rng = random.Random(8)
    near = [
        Sight(
            START_S + hour * HOUR_S,
            f"near-{number}",
            row(f"near-{number}", address=f"35.{number}.{hour}.1", payment="bad card 3", created_s=START_S),
        )
        for number in range(3)
        for hour in range(1, int(HOURS))
    ]
    one = correlator()
    show(one, together(crowd(100, rng, hours=HOURS), campaign(100, rng, hours=HOURS), near))
    rebuild(one, EVENING_S)
    assert not verdicts(one).keys() & keys_of(f"near-{number}" for number in range(3))
    assert exit_of(3).startswith("43.")
    assert len(said(one)) >= 90
