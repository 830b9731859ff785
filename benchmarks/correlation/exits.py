"""Exits of a campaign's requests, and the other accounts that share them."""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.correlation.campaign import Campaign
from benchmarks.correlation.internet import Place
from benchmarks.correlation.numbers import SECOND_NS, Ints
from benchmarks.correlation.people import People
from benchmarks.correlation.world import World

PER_NETWORK = 200
"""Data-centre exits a /24."""


def build(
    world: World, spec: Campaign, accounts: int, honest: People | None, rng: np.random.Generator
) -> int:
    """Return the number of new exits for a campaign of `accounts` accounts.

    Args:
        honest: the people with the homes and servers that a share of the exits is in.
    """
    count = max(8, round(spec.exits * accounts / 2500))
    kinds = [kind for kind, _ in spec.kinds]
    chosen = rng.choice(len(kinds), size=count, p=[share for _, share in spec.kinds])
    place, number = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    for which, kind in enumerate(kinds):
        at = np.flatnonzero(chosen == which)
        place[at], number[at] = _KINDS[kind](world, spec, len(at), honest, rng)
    return world.internet.add_proxy(place, number, spec.sticky_s * SECOND_NS)


def _in_use(world: World, honest: People | None, kind: Place, most: int, rng: np.random.Generator) -> Ints:
    """Return places of one kind where honest customers are."""
    if honest is None:
        return np.zeros(0, dtype=np.int64)
    found = np.unique(honest.number[(honest.place == kind) & (honest.weight > 0)])
    return rng.permutation(found)[:most]


def _residential(
    world: World, spec: Campaign, count: int, honest: People | None, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Homes: some with honest customers in them, the others next door.

    In a small world the pool would reach nearly every honest home; it gets at most as
    large a share of them as in the base one.
    """
    homes = _in_use(world, honest, Place.HOME, sys.maxsize, rng)
    known = homes[: min(round(count * spec.shared), round(len(homes) * min(0.8, spec.shared * 0.8)))]
    others = world.internet.add_homes(count - len(known), rng, v6=0.3)  # most exits speak IPv4 only
    return np.full(count, Place.HOME), np.concatenate([known, others])


def _data_centre(
    world: World, spec: Campaign, count: int, honest: People | None, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Servers, close together in a few /24s; the shared ones are exits of the honest people's VPNs."""
    internet = world.internet
    vpn = np.concatenate(
        [internet.sites[0][site] + np.arange(internet.sites[1][site]) for site in internet.vpns]
    )
    shared = rng.permutation(vpn)[: round(count * spec.shared)]
    own = count - len(shared)
    blocks = internet.space.blocks(-(-own // PER_NETWORK))
    lo = ((blocks[:, None] << 8) + 1 + np.arange(PER_NETWORK)).ravel()[:own].astype(np.uint64)
    rows = np.concatenate([internet.egress.add(np.zeros(own, dtype=np.uint64), lo), shared])
    return np.full(count, Place.SITE), internet.sites.add(rows, np.ones(count), np.zeros(count))


def _mobile(
    world: World, spec: Campaign, count: int, honest: People | None, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Modems in the carriers' pools: their addresses are shared by all."""
    carriers = world.internet.mobile_share
    return np.full(count, Place.MOBILE), rng.choice(len(carriers), size=count, p=carriers)


def _function(
    world: World, spec: Campaign, count: int, honest: People | None, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Functions in the clouds that honest customers use."""
    return np.full(count, Place.FUNCTION), rng.integers(len(world.internet.clouds), size=count)


def _fresh(
    world: World, spec: Campaign, count: int, honest: People | None, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """An IPv6 /64 that was never seen, for each request."""
    return np.full(count, Place.FRESH), np.zeros(count, dtype=np.int64)


_KINDS = {
    "fresh": _fresh,
    "residential": _residential,
    "data-centre": _data_centre,
    "mobile": _mobile,
    "function": _function,
}


def strangers(world: World, spec: Campaign, accounts: int, proxy: int, rng: np.random.Generator) -> People:
    """Return unrelated customers of the same proxy provider: honest, and never at home.

    They make `spec.mixed` of the accounts on these exits.
    """
    count = round(accounts * spec.mixed / (1 - spec.mixed))
    actor = world.new_actors(count)
    account = world.enrol("proxy-customer", actor, world.new_cards(count))
    people = People.of(world, account, rng)
    people.put(0, Place.PROXY, proxy, 0.85, np.arange(count))
    people.weight[:, 1] = 0.15
    return people


def histories(world: World, spec: Campaign, aged: Ints, until_ns: int, rng: np.random.Generator) -> People:
    """Return what aged accounts did before: half nearly nothing, half a little, like any account.

    They come from homes of their own, with a client of their own.
    """
    people = People.of(world, aged, rng)
    dormant = rng.random(len(aged)) < 0.5
    people.volume = np.where(dormant, 1.0, np.minimum(people.volume, 30) * 0.3)
    people.active = np.where(dormant, 0.3, people.active)
    people.put(0, Place.HOME, world.internet.add_homes(len(aged), rng), 0.9, np.arange(len(aged)))
    people.weight[:, 1] = 0.1
    people.until_ns[:] = until_ns
    return people
