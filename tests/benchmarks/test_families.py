"""Families: a seed says it all, every name draws, ages are right, and what is free has one law."""

from __future__ import annotations

import io
import json
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.correlation.families import law, structure
from benchmarks.correlation.families.catalogue import NAMED, Entry, random
from benchmarks.correlation.families.changes import CHANGES, FREE
from benchmarks.correlation.families.group import ALWAYS, DAY_S, Decoy, Group, Leg, Others
from benchmarks.correlation.families.hostile import BASE, CAMPAIGNS
from benchmarks.correlation.families.members import Placing
from benchmarks.correlation.families.world import Size, World, build
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS, START_NS, generator
from benchmarks.correlation.trace import merge
from benchmarks.correlation.written import account_name, write

TINY = Size(accounts=250, days=2.0, lead_h=12.0, scale=0.1)
COLUMNS = ("time_ns", "account", "ip", "payment", "client", "output_tokens")
ENTRIES = [
    *(entry for entry in NAMED.values() if entry.kind in ("established", "new", "plain", "poison")),
    *(entry for entry in NAMED.values() if entry.kind == "changed" and entry.family in ("base", "mobile")),
    *[entry for entry in NAMED.values() if entry.kind == "beside"][::3],
]
POINTS = [entry for entry in NAMED.values() if entry.kind == "frontier"][::9]


def alone(group: Group, seed: int = 1, size: Size = TINY) -> World:
    return build(group.name, (group,), seed, size)


def requests_of(world: World, name: str) -> np.ndarray:
    return world.trace.truth.klass[world.trace.account] == world.trace.truth.klasses.index(name)


def addresses_by(world: World, name: str, owner: np.ndarray) -> list[int]:
    """Return how many addresses each owner's requests of one family come from."""
    mine = requests_of(world, name)
    pairs = np.unique(np.stack([owner[world.trace.account[mine]], world.trace.ip[mine]]), axis=1)
    return np.unique(pairs[0], return_counts=True)[1].tolist()


def same(one: World, other: World) -> bool:
    return all(np.array_equal(getattr(one.trace, name), getattr(other.trace, name)) for name in COLUMNS)


def test_a_seed_says_it_all() -> None:
    for entry in (NAMED["stolen cards"], *random(3)):
        assert same(entry.world(5, TINY), entry.world(5, TINY))
        assert np.array_equal(entry.world(5, TINY).created_ns, entry.world(5, TINY).created_ns)
        assert not same(entry.world(5, TINY), entry.world(6, TINY))


def test_random_worlds_are_the_same_however_many_are_asked_for() -> None:
    assert list(random(3, 4)) == list(random(9, 4))[:3]
    assert list(random(3, 4)) != list(random(3, 5))


@pytest.mark.parametrize("entry", [*ENTRIES, *POINTS, *random(12)], ids=lambda entry: entry.name)
def test_every_world_is_in_order_and_its_truth_consistent(entry: Entry) -> None:
    world = entry.world(3, TINY)
    trace, truth = world.trace, world.trace.truth
    assert (np.diff(trace.time_ns) >= 0).all()
    assert trace.time_ns[0] >= START_NS
    assert trace.time_ns[-1] < trace.end_ns
    assert trace.client.max() < len(trace.clients)
    hostile = [group for group in entry.groups if group.hostile]
    assert sorted(trace.starts_ns) == list(range(len(hostile)))
    for group in entry.groups:
        assert requests_of(world, group.name).any(), group.name
    for campaign, start_ns in trace.starts_ns.items():
        actor = np.unique(truth.actor[truth.campaign == campaign])
        assert len(actor) == 1
        assert not (truth.actor[truth.honest] == actor).any()
        assert (trace.time_ns[trace.campaign == campaign] >= start_ns).any()
    # No account asks before it was created.
    assert (world.created_ns[trace.account] < trace.time_ns).all()
    assert (trace.payment == world.card[trace.account]).all()
    # What is drawn at all is drawn of a new crowd as well: created inside the trace, every account of it.
    if entry.kind == "new":
        crowd = truth.klass == truth.klasses.index(entry.family)
        assert world.new[crowd].all()
    if entry.kind == "established":
        crowd = truth.klass == truth.klasses.index(entry.family)
        old = world.created_ns[crowd] < START_NS - 14 * DAY_NS
        # Of those that grow about a quarter came within two weeks.
        assert old.mean() > 0.5 if entry.groups[0].joining else old.all()
        first = trace.time_ns[requests_of(world, entry.family)].min()
        assert first < START_NS + DAY_NS


def test_every_family_stands_established_and_new_beside_every_campaign() -> None:
    kinds: dict[str, set[str]] = {}
    for entry in NAMED.values():
        kinds.setdefault(entry.family, set()).add(entry.kind)
    honest = [family for family, found in kinds.items() if "established" in found]
    assert len(honest) >= 30
    assert all({"established", "new", "beside"} <= kinds[family] for family in honest)
    changed = [entry for entry in NAMED.values() if entry.kind == "changed" and entry.family == "base"]
    assert {entry.change for entry in changed} == set(CHANGES)


def test_ages_are_as_they_are_said() -> None:
    old = Group("old", (Leg("office"),), accounts=400)
    mixed = replace(old, name="mixed", young=0.5)
    joined = replace(old, name="joined", joining=0.2)
    bought = replace(BASE, name="bought", accounts=1000, aged=0.5)
    size = replace(TINY, scale=1.0)
    age = START_NS - alone(mixed, size=size).created_ns
    young = (age > 0) & (age < 14 * DAY_NS)
    world = alone(mixed, size=size)
    crowd = world.klass == "mixed"
    assert 0.4 < young[crowd].mean() < 0.6
    world = alone(joined, size=size)
    assert 0.3 < world.new[world.klass == "joined"].mean() < 0.5  # two days, a fifth each
    world = alone(bought, size=size)
    crowd = world.klass == "bought"
    assert 0.4 < world.new[crowd].mean() < 0.6
    # What is bought is old, and still comes with the others.
    first = world.trace.first_seen_ns[crowd]
    assert first.min() >= world.trace.starts_ns[0]


def test_accounts_that_are_sold_were_used_at_home_before() -> None:
    size = replace(TINY, scale=1.0, lead_h=24.0)
    world = alone(replace(BASE, accounts=400, aged=0.5, history=1.0), size=size)
    trace = world.trace
    mine = requests_of(world, "base")
    early = mine & (trace.time_ns < trace.starts_ns[0])
    late = mine & ~early
    sold = np.unique(trace.account[early])
    assert 100 < len(sold) < 220
    assert not world.new[sold].any()
    homes = [len(np.unique(trace.ip64[early & (trace.account == account)])) for account in sold[:40]]
    assert max(homes) <= 3  # a home that renumbers is at another address every day
    assert len(np.unique(trace.ip64[early])) > 0.5 * len(sold)
    assert np.isin(sold, trace.account[late]).mean() > 0.9
    without = alone(replace(BASE, accounts=400, aged=0.5), size=size)
    assert not (requests_of(without, "base") & (without.trace.time_ns < without.trace.starts_ns[0])).any()


def test_free_habits_are_drawn_by_one_law() -> None:
    """Random groups fix no habit, so `law.draw` is what both have, and it is not told which."""
    for hostile in (False, True):
        for number in range(50):
            assert not structure.draw(generator(number, "law"), hostile).free
    assert "hostile" not in {field.name for field in fields(law.Habits)}
    crowd = Group("crowd", (Leg("hosted", exits=50),), accounts=300, new=True, arrival_h=6.0)
    found: dict[bool, list[tuple[float, ...]]] = {False: [], True: []}
    words: dict[bool, list[str]] = {False: [], True: []}
    for hostile in (False, True):
        for seed in range(120):
            # Seeds apart: with the same one they would be the same.
            placing = _placed(replace(crowd, hostile=hostile), seed + 1000 * hostile)
            (part,) = placing.placed
            requests = _happened(part)
            found[hostile].append(
                (
                    part.habits.per_day,
                    part.habits.spread,
                    part.habits.quota,
                    part.habits.length,
                    part.habits.length_spread,
                    float(part.volume.std() / part.volume.mean()),
                    *requests,
                    len(np.unique(part.client)),
                )
            )
            words[hostile].append(f"{part.habits.rhythm} {part.habits.programs}"[:8])
    for honest, campaign in zip(zip(*found[False], strict=True), zip(*found[True], strict=True), strict=True):
        assert stats.ks_2samp(honest, campaign).pvalue > 0.01
    kinds = sorted({*words[False], *words[True]})
    counts = [[words[hostile].count(kind) for kind in kinds] for hostile in (False, True)]
    assert stats.chi2_contingency(counts).pvalue > 0.01


def _placed(group: Group, seed: int) -> Placing:
    from benchmarks.correlation.clients import Clients
    from benchmarks.correlation.families.exits import Exits

    placing = Placing(
        Exits(seed, 100), Clients(generator(seed, "c")), seed, START_NS + 12 * HOUR_NS, START_NS + 2 * DAY_NS
    )
    placing.put(group)
    return placing


def _happened(part: object) -> tuple[float, ...]:
    """Return what an observer sees of a part's requests: how many, how bunched, how uneven, how long."""
    rng = np.random.default_rng(1)
    row, time_ns = law.times(part.habits, part.volume, part.begin_ns, part.end_ns, rng)  # type: ignore[attr-defined]
    length = law.lengths(part.habits, row, rng)  # type: ignore[attr-defined]
    order = np.lexsort((time_ns, row))
    gaps = np.diff(time_ns[order])[np.diff(row[order]) == 0]
    hours = np.bincount((time_ns - START_NS) // HOUR_NS, minlength=48)
    return (
        len(row),
        float((gaps < 300e9).mean()),
        float(hours.std() / hours.mean()),
        float(np.median(length)),
    )


@pytest.mark.parametrize("name", list(FREE))
def test_a_free_change_costs_nothing(name: str) -> None:
    """Payment methods, accounts, ages and the number of exits stay what they were."""
    campaign = BASE
    now = FREE[name](campaign)
    assert now != campaign
    assert (now.accounts, now.cards, now.aged, now.life_h) == (
        campaign.accounts,
        campaign.cards,
        campaign.aged,
        campaign.life_h,
    )
    before, after = campaign.legs[0], now.legs[0]
    assert after.exits * (now.parts if after.of == "part" else 1) <= before.exits
    assert (after.kind, after.sticky_s) == (before.kind, before.sticky_s)


@pytest.mark.parametrize(
    ("name", "cv"),
    [("even", 0.0), ("CV 1.2", 1.2), ("CV 2", 2.0), ("CV 3", 3.0)],
    ids=lambda value: str(value),
)
def test_volumes_have_the_spread_they_are_said_to_have(name: str, cv: float) -> None:
    habits = replace(law.draw(np.random.default_rng(1)), **FREE[name](BASE).free)  # type: ignore[arg-type]
    drawn = law.volumes(habits, 400_000, np.random.default_rng(2))
    assert drawn.mean() == pytest.approx(habits.per_day, rel=0.05)
    assert drawn.std() / drawn.mean() == pytest.approx(cv, rel=0.15, abs=1e-9)


def test_a_quota_is_never_exceeded() -> None:
    world = alone(replace(BASE, free={**BASE.free, "quota": 7, "spread": 3.0, "per_day": 60.0}))
    mine = requests_of(world, "base")
    day = (world.trace.time_ns[mine] - START_NS) // DAY_NS
    each = np.unique(np.stack([world.trace.account[mine], day]), axis=1, return_counts=True)[1]
    assert each.max() == 7


def test_stickiness_is_what_it_says() -> None:
    size = replace(TINY, scale=1.0)
    leg = Leg("hosted", exits=500)
    group = Group(
        "crowd", (leg,), accounts=100, cards=(5, 5), free={"per_day": 80.0, "spread": 0.0, "quota": 0}
    )

    def spread(owner: str, **changes: object) -> list[int]:
        world = alone(replace(group, legs=(replace(leg, **changes),)), size=size)  # type: ignore[arg-type]
        by = world.card if owner == "card" else np.arange(world.trace.accounts)
        return addresses_by(world, "crowd", by)

    assert max(spread("account", sticky_s=ALWAYS)) == 1
    assert max(spread("account", sticky_s=DAY_S)) <= 3  # two days begin within each of two
    assert np.median(spread("account", sticky_s=0.0)) > 60
    assert max(spread("account", sticky_s=0.0, breadth=3)) == 3
    # Dealt to cards, the five of a card are always at the same exit.
    assert max(spread("card", sticky_s=ALWAYS, by="card")) == 1
    assert max(spread("card", sticky_s=ALWAYS)) == 5


def test_parts_and_cards_have_exits_of_their_own() -> None:
    for of, owners in (("part", 4), ("card", 20)):
        leg = Leg("hosted", of=of, exits=20, sticky_s=0.0)  # type: ignore[arg-type]
        group = Group("crowd", (leg,), accounts=100, cards=(5, 5), parts=4)
        world = alone(group, size=replace(TINY, scale=1.0))
        mine = requests_of(world, "crowd")
        network = world.trace.network[mine]
        owner = world.card[world.trace.account[mine]]
        owner = (owner - owner.min()) % 4 if of == "part" else owner
        pairs = np.unique(np.stack([network.astype(np.int64), owner]), axis=1)
        assert len(np.unique(pairs[0])) == len(pairs[0]) >= owners


def test_others_share_the_exits_and_nothing_else() -> None:
    group = Group(
        "relay", (Leg("hosted", exits=30, sticky_s=3600.0),), accounts=200, others=Others(200, new=0.5)
    )
    world = alone(group, size=replace(TINY, scale=1.0))
    there = "relay: others there"
    ours, theirs = requests_of(world, "relay"), requests_of(world, there)
    assert len(np.intersect1d(world.trace.ip[ours], world.trace.ip[theirs])) > 20
    assert not np.intersect1d(world.trace.payment[ours], world.trace.payment[theirs]).size
    assert world.trace.truth.honest[world.klass == there].all()
    assert 0.35 < world.new[world.klass == there].mean() < 0.65


def test_replacements_come_when_their_slot_is_free_and_keep_what_they_do_not_renew() -> None:
    group = replace(BASE, name="churn", accounts=200, cards=(10, 10), life_h=6.0, gap_h=1.0)
    size = replace(TINY, scale=1.0)
    for renews, more_cards in ((frozenset(), False), (frozenset({"card", "exits"}), True)):
        world = alone(replace(group, renews=renews), size=size)
        mine = world.klass == "churn"
        bound = world.trace.truth.bound[mine]
        assert bound.max() >= 3
        cards = [set(world.card[mine][bound == number]) for number in (0, 1)]
        assert cards[0].isdisjoint(cards[1]) is more_cards
        if not more_cards:
            assert cards[1] <= cards[0]
        account, time_ns = world.trace.account, world.trace.time_ns
        last = np.zeros(world.trace.accounts, dtype=np.int64)
        np.maximum.at(last, account, time_ns)
        seen = mine & (last > 0)
        assert (last - world.trace.first_seen_ns)[seen].max() < 6 * HOUR_NS


def test_decoys_touch_and_rob_their_victims() -> None:
    size = replace(TINY, accounts=1000, scale=1.0)
    robbed = Group("robbed", (Leg("office", exits=2),), accounts=60, cards="group")
    decoy = Decoy("robbed", among=60, touches=0.3, accounts=0.5, steals=0.1, copies=True)
    campaign = replace(BASE, name="thieves", accounts=400, decoy=decoy)
    world = build("poison", (robbed, campaign), 1, size)
    truth = world.trace.truth
    assert truth.victim[world.klass == "robbed"].all()
    assert truth.honest[truth.victim].all()
    bad, theirs = requests_of(world, "thieves"), requests_of(world, "robbed")
    touching = np.isin(world.trace.ip64[bad], np.unique(world.trace.ip64[theirs])).mean()
    assert 0.1 < touching < 0.2  # three in ten requests of every other account
    stolen = np.isin(world.card[world.klass == "thieves"], world.card[world.klass == "robbed"]).mean()
    assert 0.05 < stolen < 0.16
    assert np.isin(np.unique(world.trace.client[theirs]), np.unique(world.trace.client[bad])).any()


def test_a_neighbour_is_in_the_network_and_not_at_the_address() -> None:
    campus = Group("campus", (Leg("office", exits=2),), accounts=60)
    decoy = Decoy("campus", among=60, touches=1.0, beside=True)
    world = build("poison", (campus, replace(BASE, name="near", decoy=decoy)), 2, replace(TINY, scale=1.0))
    bad, theirs = requests_of(world, "near"), requests_of(world, "campus")
    assert np.isin(world.trace.network[bad], np.unique(world.trace.network[theirs])).all()
    assert np.isin(world.trace.ip64[bad], np.unique(world.trace.ip64[theirs])).mean() < 0.05


def test_exits_in_homes_are_honest_homes_as_well_but_of_few() -> None:
    size = Size(accounts=2000, days=2.0, lead_h=12.0)
    world = alone(replace(BASE, legs=(replace(BASE.legs[0], shared=1.0),)), size=size)
    bad = requests_of(world, "base")
    honest = np.unique(world.trace.ip64[~bad])
    common = np.intersect1d(np.unique(world.trace.ip64[bad]), honest)
    assert 20 < len(common) < 0.12 * len(honest)


def test_the_file_says_when_accounts_were_created() -> None:
    world = NAMED["pairs"].world(1, TINY)
    pipe = io.BytesIO()
    write(world.trace, pipe)
    rows = [json.loads(line) for line in pipe.getvalue().splitlines()]
    assert len(rows) == len(world.trace)
    created = {account_name(number): when // 10**9 for number, when in enumerate(world.created_ns.tolist())}
    assert all(row["account_created"] == created[row["account"]] for row in rows)
    assert all(row["account_created"] <= row["time"] for row in rows)
    silent = io.BytesIO()
    write(replace(world.trace, created_ns=None), silent)
    assert b"account_created" not in silent.getvalue()


def test_merged_worlds_keep_their_accounts_ages() -> None:
    one, other = NAMED["pairs"].world(1, TINY), NAMED["mobile"].world(2, TINY)
    both = merge([one.trace, other.trace])
    assert np.array_equal(both.created_ns, np.concatenate([one.created_ns, other.created_ns]))
    assert merge([one.trace, replace(other.trace, created_ns=None)]).created_ns is None


def test_a_family_that_is_left_out_is_nowhere() -> None:
    for egress in ("privacy relay", "residential proxies"):
        for entry in random(40, 2, without=egress):
            assert all(egress not in group.name for group in entry.groups)
        assert all(
            any(egress in group.name for group in entry.groups) for entry in random(10, 2, only=egress)
        )


def test_classes_of_random_worlds_are_established_or_new() -> None:
    groups = [group for entry in random(60, 2) for group in entry.groups if not group.hostile]
    assert {group.new for group in groups} == {True, False}
    assert all(group.new is group.name.endswith(", new") for group in groups)


def test_no_group_has_more_legs_than_an_account_may_have() -> None:
    groups = [group for entry in NAMED.values() for group in entry.groups]
    assert all(1 <= len(group.legs) <= 4 for group in groups)
    assert all(campaign.hostile for campaigns in CAMPAIGNS.values() for campaign in campaigns)
