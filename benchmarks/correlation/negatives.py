"""Honest groups that look like one actor: each as it occurs, and labelled with its true actors.

Unrelated people are an actor each. A company, an agency, a family and one customer's
keys are one actor, as one pays for all. So finding them is no error, refusing them is.
Sizes are the published ones at every scale of the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.correlation.internet import Place
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS, SECOND_NS, START_NS, Ints, lognormal
from benchmarks.correlation.people import People
from benchmarks.correlation.population import global_leader, university
from benchmarks.correlation.trace import Events, joined
from benchmarks.correlation.world import World


@dataclass(frozen=True, slots=True)
class Group:
    """Honest accounts with a name, for `Stage.add`."""

    people: People
    storm_ns: int = 0
    """When an outage of `OUTAGE_NS` ends and all come back at once; 0: never."""

    def day(self, world: World, day: int, rng: np.random.Generator) -> Events:
        """Return one day's requests."""
        events = self.people.day(world, day, rng)
        if not self.storm_ns:
            return events
        down = (events.time_ns >= self.storm_ns - OUTAGE_NS) & (events.time_ns < self.storm_ns)
        events = events.where(~down)
        if (self.storm_ns - START_NS) // DAY_NS != day:
            return events
        return joined([events, self.people.moment(world, self.storm_ns, 90.0, 5.0, rng)])


OUTAGE_NS = 1200 * SECOND_NS


def _unrelated(
    world: World, klass: str, count: int, rng: np.random.Generator, *, paid: bool = True
) -> People:
    """Return people that have nothing to do with each other: own actor, own payment method (or none yet)."""
    cards = world.new_cards(count) if paid else np.zeros(count, dtype=np.int64)
    return People.of(world, world.enrol(klass, world.new_actors(count), cards), rng)


def _one_payer(world: World, klass: str, count: int, rng: np.random.Generator) -> People:
    """Return accounts that one payment method pays for."""
    actor, card = world.new_actors(1), world.new_cards(1)
    return People.of(world, world.enrol(klass, np.repeat(actor, count), np.repeat(card, count)), rng)


def _everybody(people: People) -> Ints:
    return np.arange(len(people))


def mobile_pool(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """600 phones of one carrier and nothing else: a new address every few minutes to hours."""
    people = _unrelated(world, "mobile-pool", 600, rng)
    people.put(0, Place.MOBILE, 3, 1.0, _everybody(people))
    return Group(people)


def carrier_nat(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """2,000 subscribers behind two addresses."""
    people = _unrelated(world, "carrier-nat-1000", 2000, rng)
    internet = world.internet
    for half in range(2):
        at = np.arange(half * 1000, (half + 1) * 1000)
        people.put(0, Place.SITE, internet.site(internet.fixed(internet.nats[0], 1)), 0.85, at)
    people.weight[:, 1] = 0.15
    return Group(people)


def university_lab(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """A course: 300 new accounts in an hour, one SDK, one template, one egress; afterwards homework."""
    people = _unrelated(world, "university-lab", 300, rng, paid=bool(rng.random() < 0.5))
    everybody = _everybody(people)
    internet = world.internet
    campus = university(world, rng)
    gateway = int(internet.sites[0][campus])
    lab = internet.site(internet.egress[1][gateway : gateway + 1])
    people.put(0, Place.SITE, lab, 0.9, everybody)
    people.put(2, Place.HOME, internet.add_homes(len(people), rng), 0.1, everybody)
    people.client[:] = world.clients.draw(rng, 1)[0]
    people.other[:] = 0.0
    people.template[:] = int(rng.integers(1 << 40))
    people.volume = np.minimum(lognormal(rng, 35, 0.35, len(people)), 200)
    people.active[:] = 0.97
    people.burst[:], people.pace_s[:] = 12.0, 60.0
    opens_ns = begin_ns + 2 * HOUR_NS
    people.peak[:] = (opens_ns - START_NS) / HOUR_NS % 24 + 0.4
    people.width[:], people.flat[:] = 0.25, 0.02
    people.since_ns[:] = opens_ns + (rng.random(len(people)) * 0.2 * HOUR_NS).astype(np.int64)
    return Group(people)


def company(
    world: World, begin_ns: int, rng: np.random.Generator, klass: str = "company", accounts: int = 500
) -> Group:
    """500 accounts: one card, one egress, managed clients."""
    people = _one_payer(world, klass, accounts, rng)
    everybody = _everybody(people)
    people.put(0, Place.SITE, global_leader(world, 50, rng), 0.9, everybody)
    people.put(2, Place.HOME, world.internet.add_homes(len(people), rng), 0.1, everybody)
    people.client[:] = world.clients.draw(rng, 1)[0]
    people.other = np.where(rng.random(len(people)) < 0.1, 0.5, 0.0)
    zone_peak = float(people.peak[0])
    people.peak = (zone_peak + 1.2 * rng.standard_normal(len(people))) % 24
    people.weekend *= 0.3
    return Group(people)


def agency(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """40 clients' accounts on an agency's card; each runs on the client's machines, and in the office."""
    people = _one_payer(world, "agency", 40, rng)
    internet = world.internet
    people.machines(rng, np.arange(0, 40, 2))
    home = global_leader(world, 20, rng)
    people.put(0, Place.SITE, home, 0.4, _everybody(people))
    for one in range(len(people)):
        pool = internet.hosters[one % len(internet.hosters)]
        people.put(2, Place.SITE, internet.place_for(pool, 1 + one % 2, rng), 0.6, np.array([one]))
    people.weight[:, 1] = 0.0
    return Group(people)


def vpn_exit(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """500 people on four exits of one VPN."""
    people = _unrelated(world, "vpn-exit", 500, rng)
    internet = world.internet
    pool = internet.hosters[0]
    exits = internet.site(internet.fixed(pool, 4))
    people.put(0, Place.SITE, exits, 0.8, _everybody(people))
    people.weight[:, 1] = 0.2
    return Group(people)


def ci_runners(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """Pipelines of 300 unrelated customers: cloud egress, one SDK, minute 0."""
    people = _unrelated(world, "ci-runners", 300, rng)
    everybody = _everybody(people)
    people.machines(rng, everybody)
    people.volume = np.minimum(lognormal(rng, 48, 0.6, len(people)), 600)
    people.put(0, Place.FUNCTION, 0, 1.0, everybody)
    people.client[:] = world.clients.draw(rng, 1)[0]
    people.on_the_hour[:], people.flat[:], people.burst[:] = 1.0, 1.0, 2.0
    return Group(people)


def hackathon(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """200 sign-ups in an hour behind one address; two days of work, mostly with the SDK handed out."""
    people = _unrelated(world, "hackathon", 200, rng, paid=bool(rng.random() < 0.5))
    everybody = _everybody(people)
    people.put(0, Place.SITE, global_leader(world, 50, rng), 0.92, everybody)
    people.weight[:, 1] = 0.08
    handed_out = world.clients.draw(rng, 1)[0]
    people.client = np.where(rng.random(len(people)) < 0.6, handed_out, people.client)
    opens_ns = begin_ns + 3 * HOUR_NS
    people.since_ns[:] = opens_ns + (rng.random(len(people)) * HOUR_NS).astype(np.int64)
    people.until_ns[:] = opens_ns + 2 * DAY_NS
    people.volume = np.minimum(lognormal(rng, 150, 0.9, len(people)), 3000)
    people.active[:], people.flat[:], people.weekend[:] = 1.0, 0.5, 1.0
    people.peak[:] = ((opens_ns - START_NS) / HOUR_NS + 4) % 24
    return Group(people)


def hosted_platform(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """500 customers' own keys on a platform: one egress pool, one client library."""
    people = _unrelated(world, "hosted-platform", 500, rng)
    internet = world.internet
    egress = internet.site(internet.fixed(internet.hosters[1], 8), hops=True)
    people.put(0, Place.SITE, egress, 1.0, _everybody(people))
    people.weight[:, 1] = 0.0
    people.client[:] = world.clients.add(rng, 1)[0]
    people.other[:] = 0.0
    return Group(people)


def popular_agent(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """800 people everywhere with one agent: same client, same template, long outputs."""
    people = _unrelated(world, "popular-agent", 800, rng)
    everybody = _everybody(people)
    people.put(0, Place.HOME, world.internet.add_homes(len(people), rng), 0.8, everybody)
    people.weight[:, 1] = 0.2
    people.client[:] = world.clients.add(rng, 1)[0]
    people.other[:] = 0.0
    people.template[:] = int(rng.integers(1 << 40))
    return Group(people)


def family(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """60 families of four: one card, one home, phones on the way."""
    count, size = 60, 4
    actor, card = np.repeat(world.new_actors(count), size), np.repeat(world.new_cards(count), size)
    people = People.of(world, world.enrol("family", actor, card), rng)
    homes = world.internet.add_homes(count, rng)
    people.put(0, Place.HOME, np.repeat(homes, size), 0.75, _everybody(people))
    people.weight[:, 1] = 0.25
    return Group(people)


def reconnect_storm(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """An outage of twenty minutes; then 1,500 people with the same app come back within 90 seconds."""
    people = _unrelated(world, "reconnect-storm", 1500, rng)
    split = rng.random(len(people))
    at_home, at_nat = np.flatnonzero(split < 0.5), np.flatnonzero((split >= 0.5) & (split < 0.7))
    people.put(0, Place.HOME, world.internet.add_homes(len(at_home), rng), 0.8, at_home)
    people.put(0, Place.NAT, rng.integers(len(world.internet.nats), size=len(at_nat)), 0.8, at_nat)
    people.weight[:, 1] = 0.2
    people.client = np.where(rng.random(len(people)) < 0.7, world.clients.draw(rng, 1)[0], people.client)
    return Group(people, begin_ns + 8 * HOUR_NS)


def own_keys(world: World, begin_ns: int, rng: np.random.Generator) -> Group:
    """One customer spreading 2,400 requests a day evenly over its own 20 keys, from its own three servers."""
    people = _one_payer(world, "own-keys", 20, rng)
    everybody = _everybody(people)
    people.machines(rng, everybody)
    people.volume[:], people.active[:], people.weekend[:] = 120.0, 1.0, 1.0
    people.mood[:] = 200.0
    people.burst[:], people.on_the_hour[:], people.flat[:] = 1.0, 0.0, 0.8
    internet = world.internet
    people.put(
        0, Place.SITE, internet.site(internet.fixed(internet.hosters[2], 3), hops=True), 1.0, everybody
    )
    people.weight[:, 1] = 0.0
    people.client[:] = world.clients.draw(rng, 1)[0]
    return Group(people)


NEGATIVES: dict[str, Callable[[World, int, np.random.Generator], Group]] = {
    "mobile-pool": mobile_pool,
    "carrier-nat-1000": carrier_nat,
    "university-lab": university_lab,
    "company": company,
    "agency": agency,
    "vpn-exit": vpn_exit,
    "ci-runners": ci_runners,
    "hackathon": hackathon,
    "hosted-platform": hosted_platform,
    "popular-agent": popular_agent,
    "family": family,
    "reconnect-storm": reconnect_storm,
    "own-keys": own_keys,
}
"""Builders by class name; each takes the world, when the campaign would begin, and a generator."""
