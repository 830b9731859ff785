"""Campaigns that want another account to be refused, or the correlator to be misled.

Each designates its victims; their service is what is measured, beside how far the
campaign itself gets. A stage is asked for what it needs; the campaign is the base one
unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.campaign import NEVER
from benchmarks.correlation.campaigns import BASE
from benchmarks.correlation.internet import Place
from benchmarks.correlation.negatives import Group, company
from benchmarks.correlation.numbers import Ints
from benchmarks.correlation.people import People

if TYPE_CHECKING:
    from benchmarks.correlation.scenario import Stage


def touches_victims_address(stage: Stage) -> None:
    """A tenth of the campaign's accounts makes a third of its requests from victims' homes and an office."""
    people, rng = stage.population, stage.world.rng("poison")
    internet = stage.world.internet
    homes = rng.permutation(_used(people, Place.HOME))[:30]
    site = _largest(people, "office", stage)
    victims = _at(people, Place.HOME, homes) | _at(people, Place.SITE, np.array([site]))
    stage.world.name_victims(people.account[victims])
    places = np.r_[np.full(len(homes), Place.HOME), Place.SITE]
    proxy = internet.add_proxy(places, np.r_[homes, site], 0)
    (troop,) = stage.attack(stage.scale.sized(replace(BASE, name="touches-victims-address")))
    troop.detour = np.where(rng.random(len(troop.account)) < 0.1, proxy, -1)
    troop.detour_share = 0.33


def campus_24(stage: Stage) -> None:
    """300 accounts live on a campus: on thirty addresses of its /24, a fifth of the time on its gateways."""
    world, people = stage.world, stage.population
    internet, rng = world.internet, world.rng("poison")
    site = _largest(people, "university", stage)
    world.name_victims(people.account[_at(people, Place.SITE, np.array([site]))])
    block = internet.egress[1][int(internet.sites[0][site])] >> np.uint64(8)
    hosts = (block << np.uint64(8)) + rng.choice(np.arange(1, 255), size=30, replace=False).astype(np.uint64)
    rows = internet.egress.add(np.zeros(30, dtype=np.uint64), hosts)
    own = internet.sites.add(rows, np.ones(30), np.zeros(30))
    numbers = np.r_[own, np.repeat(site, 8)]
    proxy = internet.add_proxy(np.full(len(numbers), Place.SITE), numbers, 600 * 10**9)
    spec = replace(BASE, name="campus-24", accounts=300, requests=150.0, mixed=0.0)
    stage.attack(spec, proxy=proxy)


def copies_tenant_client(stage: Stage) -> None:
    """The campaign has no client but the managed one of a tenant with 500 accounts."""
    group = company(stage.world, stage.scale.begin_ns, stage.world.rng("tenant"), "tenant")
    own = stage.world.clients.add(stage.world.rng("tenant client"), 1)[0]
    group.people.client[:] = own
    _victims(stage, group)
    (troop,) = stage.attack(stage.scale.sized(replace(BASE, name="copies-tenant-client")))
    troop.client[:] = own


def bridges_two_companies(stage: Stage) -> None:
    """40 accounts are now in one company's network, with its client, now in another's."""
    world, rng = stage.world, stage.world.rng("poison")
    sites, clients = [], []
    for name in ("left", "right"):
        group = company(world, stage.scale.begin_ns, world.rng(name), f"bridged-{name}")
        sites.append(int(group.people.number[0, 0]))
        clients.append(int(group.people.client[0]))
        _victims(stage, group)
    proxy = world.internet.add_proxy(np.full(2, Place.SITE), np.array(sites), 3600 * 10**9)
    (troop,) = stage.attack(stage.scale.sized(replace(BASE, name="bridges-two-companies")))
    bridge = rng.permutation(np.flatnonzero(troop.bound == 0))[:40]
    troop.detour = np.full(len(troop.account), -1)
    troop.detour[bridge] = proxy
    troop.detour_share = 0.6
    troop.client[bridge] = rng.choice(clients, size=len(bridge))


def stolen_card(stage: Stage) -> None:
    """200 accounts pay with the cards of 40 honest people, and of a company with 60 accounts."""
    world, people = stage.world, stage.population
    rng = world.rng("poison")
    group = company(world, stage.scale.begin_ns, world.rng("robbed"), "robbed-company", 60)
    _victims(stage, group)
    robbed = rng.permutation(people.account)[:40]
    world.name_victims(robbed)
    cards = np.r_[world.payment_of(robbed), np.repeat(world.payment_of(group.people.account[:1]), 8)]
    (troop,) = stage.attack(stage.scale.sized(replace(BASE, name="stolen-card")))
    thieves = rng.permutation(np.flatnonzero(troop.bound == 0))[:200]
    world.repay(troop.account[thieves], rng.choice(cards, size=len(thieves)))


def floods_fresh_identifiers(stage: Stage) -> None:
    """Every request has a client and an IPv6 /64 that were never seen; accounts and cards last six hours.

    The victims are ordinary people: what was known of them must not be pushed out.
    """
    rng = stage.world.rng("poison")
    stage.world.name_victims(rng.permutation(stage.population.account)[:500])
    spec = replace(
        BASE,
        name="floods-fresh-identifiers",
        clients="fresh",
        per_card=1,
        requests=80.0,
        kinds=(("fresh", 1.0),),
        sticky_s=0,
        life_days=0.25,
        replaced_s=0.0,
        reuse="nothing",
        mixed=0.0,
        aged=0.0,
    )
    stage.attack(replace(spec, accounts=stage.scale.sized(spec).accounts // 2))


def slow_hub(stage: Stage) -> None:
    """One hosting network fills for the whole month, a few accounts a day; in the last days all of it wakes.

    A tenth of those on its exits are strangers, and they are the victims.
    """
    spec = replace(
        BASE,
        name="slow-hub",
        accounts=600,
        requests=3.0,
        per_card=2,
        exits=200,
        kinds=(("data-centre", 1.0),),
        shared=0.0,
        life_days=NEVER,
        mixed=0.1,
        aged=0.0,
        ramp_days=stage.scale.days,
        ramp="steady",
        surge=20.0,
        surge_after_days=stage.scale.days * 0.87,
    )
    stage.attack(spec)
    stage.world.name_victims(stage.world.accounts_of("proxy-customer"))


def _victims(stage: Stage, group: Group) -> None:
    stage.add("victims", group)
    stage.world.name_victims(group.people.account)


def _used(people: People, place: Place) -> Ints:
    return np.unique(people.number[(people.place == place) & (people.weight > 0)])


def _at(people: People, place: Place, numbers: Ints) -> NDArray[np.bool_]:
    """Return which accounts are at one of these places (a mask)."""
    there: NDArray[np.bool_] = (people.place == place) & (people.weight > 0) & np.isin(people.number, numbers)
    mask: NDArray[np.bool_] = np.any(there, axis=1)
    return mask


def _largest(people: People, klass: str, stage: Stage) -> int:
    """Return the site where most accounts of a class are."""
    rows = stage.world.klass_of(people.account) == klass
    sites, count = np.unique(people.number[rows, 0], return_counts=True)
    return int(sites[count.argmax()])


POISON: dict[str, Callable[[Stage], None]] = {
    "touches-victims-address": touches_victims_address,
    "campus-24": campus_24,
    "copies-tenant-client": copies_tenant_client,
    "bridges-two-companies": bridges_two_companies,
    "stolen-card": stolen_card,
    "floods-fresh-identifiers": floods_fresh_identifiers,
    "slow-hub": slow_hub,
}
