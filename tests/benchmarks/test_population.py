"""The honest population has the marginals of the published table."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.correlation.cards import group_sizes
from benchmarks.correlation.clients import BUILDS, EXPONENT
from benchmarks.correlation.internet import Place
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS, START_NS
from benchmarks.correlation.people import People
from benchmarks.correlation.trace import Trace
from benchmarks.correlation.world import World


def requests_each(trace: Trace) -> np.ndarray:
    return np.bincount(trace.account, minlength=trace.accounts)


def test_payment_methods_are_shared_as_published() -> None:
    sizes = group_sizes(200_000, np.random.default_rng(1))
    assert sizes.sum() == 200_000
    within = [(sizes >= low) & (sizes <= high) for low, high in ((1, 1), (2, 3), (4, 20), (21, 500))]
    shares = [float(one.mean()) for one in within]
    assert shares == pytest.approx([0.93, 0.05, 0.018, 0.002], rel=0.1)


def test_a_payer_is_one_actor(world: World, population: People) -> None:
    truth = world.truth()
    cards = world.payment_of(population.account)
    pairs = np.unique(np.stack([cards, truth.actor[population.account]]), axis=1)
    assert len(pairs[0]) == len(np.unique(cards)) == len(np.unique(pairs[1]))


def test_two_fifths_of_requests_come_over_ipv6(honest_days: Trace) -> None:
    assert honest_days.addresses.is_v6[honest_days.ip].mean() == pytest.approx(0.4, abs=0.07)


def test_a_home_keeps_its_64_and_changes_its_128_daily(world: World) -> None:
    home = world.internet.add_homes(1, world.rng("one"), v6=1.0)[0]
    noons = START_NS + np.arange(4) * DAY_NS + 12 * HOUR_NS
    hi, lo = world.internet.addresses(
        np.full(4, Place.HOME), np.full(4, home), np.full(4, 9, np.uint64), noons, np.zeros(4, np.uint64)
    )
    assert len(set(hi.tolist())) == 1
    assert len(set(lo.tolist())) == 4


def test_a_third_of_homes_is_renumbered_daily(world: World) -> None:
    homes = world.internet.add_homes(3000, world.rng("many"), v6=0.0)
    place, who, chance = np.full(3000, Place.HOME), np.zeros(3000, np.uint64), np.zeros(3000, np.uint64)
    today, tomorrow = (
        world.internet.addresses(place, homes, who, np.full(3000, START_NS + at), chance)[1]
        for at in (12 * HOUR_NS, 36 * HOUR_NS)
    )
    assert (today != tomorrow).mean() == pytest.approx(1 / 3, abs=0.04)


def test_phones_change_addresses_every_few_minutes_to_hours(world: World) -> None:
    minutes = np.arange(0, 24 * 60)
    changes = []
    for phone in range(200):
        hi, lo = world.internet.addresses(
            np.full(len(minutes), Place.MOBILE),
            np.zeros(len(minutes), dtype=np.int64),
            np.full(len(minutes), 1000 + phone, dtype=np.uint64),
            START_NS + minutes * 60 * 10**9,
            np.zeros(len(minutes), dtype=np.uint64),
        )
        changes.append(1 + int(((hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1])).sum()))
    assert min(changes) >= 3
    assert max(changes) <= 24 * 60 / 3 + 1
    assert 20 < np.median(changes) < 60


def test_clients_follow_zipf(honest_days: Trace) -> None:
    pairs = np.unique(np.stack([honest_days.account, honest_days.client]), axis=1)
    counts = np.sort(np.bincount(pairs[1]))[::-1]
    assert len(counts[counts > 0]) > BUILDS * 0.9
    ranks = np.arange(3, 60)
    slope = np.polyfit(np.log(ranks + 1), np.log(counts[ranks]), 1)[0]
    assert -slope == pytest.approx(EXPONENT, abs=0.25)


def test_volumes_are_uneven_with_a_heavy_tail(world: World, honest_days: Trace) -> None:
    each = requests_each(honest_days)
    each = each[each > 0] / 2
    assert 10 < np.median(each) < 200
    assert each.std() / each.mean() > 1.5
    assert np.sort(each)[-len(each) // 100 :].sum() > 0.1 * each.sum()


def test_nights_are_quieter(honest_days: Trace) -> None:
    hours = np.bincount((honest_days.time_ns - START_NS) // HOUR_NS % 24)
    assert 1.4 <= hours.max() / hours.min() <= 4.9


def test_hardly_anybody_meets_the_limit_of_an_account(honest_days: Trace) -> None:
    from benchmarks.correlation.budget import ACCOUNT

    admitted = ACCOUNT.admit(honest_days.account.astype(np.int64), honest_days.time_ns)
    assert (~admitted).mean() < 0.005


def test_people_use_several_networks(honest_days: Trace) -> None:
    homes = honest_days.truth.klasses.index("home")
    pairs = np.unique(np.stack([honest_days.account.astype(np.uint64), honest_days.network]), axis=1)
    networks = np.bincount(pairs[0].astype(np.int64), minlength=honest_days.accounts)
    of_homes = networks[(honest_days.truth.klass == homes) & (networks > 0)]
    assert 0.3 < (of_homes > 1).mean() < 0.9
