"""Honest accounts and their days: how much, when, from where, with what.

Theory of operation. A `People` is columns, one row an account. A day is drawn in one
go: a number of requests for each account, gathered in sessions. A session has one
place and one client, and begins when its owner is awake. Only addresses and payment
tell accounts apart, and both repeat as they do in life.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from benchmarks.correlation.internet import Place, shares
from benchmarks.correlation.numbers import (
    DAY_NS,
    HOUR_NS,
    SECOND_NS,
    START_NS,
    Floats,
    Ints,
    lognormal,
    mix,
    positions,
)
from benchmarks.correlation.trace import Events
from benchmarks.correlation.world import World

PLACES = 3
MOST_A_DAY = 15_000
ZONES = ((-6, 0.5), (1, 0.35), (8, 0.15))
"""Where customers live, hours east of UTC: what is left of the night is a factor of two or three."""
FRIDAY = 2
"""The first day of a trace is a Wednesday; days 3 and 4 of each week are a weekend."""


@dataclass(slots=True)
class People:
    """Honest accounts.

    Args:
        account: numbers in the world's book.
        volume: requests on an active day.
        mood: how alike its days are (shape of a gamma distribution): 2.5 for people, hundreds for programs.
        active: share of days with any.
        burst: requests a session.
        pace_s: mean seconds between the requests of a session.
        peak: hour of the day (UTC) around which sessions lie.
        width: hours around it (standard deviation).
        flat: share of sessions at any hour: 1 for machines.
        weekend: factor on Saturdays and Sundays.
        on_the_hour: share of sessions that a timetable starts at minute 0.
        place, number, weight: up to three places each, and the share of sessions there.
        client, second, other: two builds and how often the second is used.
        template: what all prompts are made from, by number; -1 for people that type.
        since_ns, until_ns: when the account is opened, and closed.
    """

    account: Ints
    volume: Floats
    mood: Floats
    active: Floats
    burst: Floats
    pace_s: Floats
    peak: Floats
    width: Floats
    flat: Floats
    weekend: Floats
    on_the_hour: Floats
    place: Ints
    number: Ints
    weight: Floats
    client: Ints
    second: Ints
    other: Floats
    template: Ints
    since_ns: Ints
    until_ns: Ints

    def __len__(self) -> int:
        return len(self.account)

    @classmethod
    def of(cls, world: World, account: Ints, rng: np.random.Generator) -> Self:
        """Return ordinary people, at home on their phones until `put` says where they are."""
        count = len(account)
        zone = rng.choice([hours for hours, _ in ZONES], size=count, p=[share for _, share in ZONES])
        carrier = rng.choice(len(world.internet.mobile_share), size=count, p=world.internet.mobile_share)
        place = np.full((count, PLACES), Place.MOBILE, dtype=np.int64)
        return cls(
            account=account,
            volume=np.minimum(lognormal(rng, 32, 1.25, count), MOST_A_DAY),
            mood=np.full(count, 2.5),
            active=rng.beta(2.2, 1.0, size=count),
            burst=np.clip(lognormal(rng, 5, 0.7, count), 1, 60),
            pace_s=lognormal(rng, 40, 0.6, count),
            peak=(15 - zone + 2.0 * rng.standard_normal(count)) % 24,
            width=np.full(count, 3.2),
            flat=np.full(count, 0.12),
            weekend=rng.uniform(0.3, 1.1, size=count),
            on_the_hour=np.zeros(count),
            place=place,
            number=np.repeat(carrier[:, None], PLACES, axis=1),
            weight=np.tile([1.0, 0.0, 0.0], (count, 1)),
            client=world.clients.draw(rng, count),
            second=world.clients.draw(rng, count),
            other=np.where(rng.random(count) < 0.3, rng.uniform(0.05, 0.5, size=count), 0.0),
            template=np.full(count, -1),
            since_ns=np.full(count, np.iinfo(np.int64).min),
            until_ns=np.full(count, np.iinfo(np.int64).max),
        )

    def put(self, slot: int, place: Place, number: Ints | int, share: Floats | float, at: Ints) -> None:
        """Give some of them (rows `at`) a place, in one of three slots."""
        self.place[at, slot] = int(place)
        self.number[at, slot] = number
        self.weight[at, slot] = share

    def machines(self, rng: np.random.Generator, at: Ints, median: float = 80.0) -> None:
        """Make some of them programs: awake at any hour, uneven, some by timetable."""
        count = len(at)
        self.volume[at] = np.minimum(lognormal(rng, median, 1.35, count), MOST_A_DAY)
        self.active[at] = rng.beta(8, 1, size=count)
        self.flat[at] = rng.uniform(0.25, 1.0, size=count)
        self.burst[at] = np.clip(lognormal(rng, 3, 1.0, count), 1, 40)
        self.pace_s[at] = np.maximum(lognormal(rng, 8, 1.0, count), 3.0)  # they know the limit
        self.weekend[at] = rng.uniform(0.6, 1.0, size=count)
        self.on_the_hour[at] = np.where((rng.random(count) < 0.3) & (self.volume[at] < 500), 0.7, 0.0)
        self.other[at] = 0.0

    def day(self, world: World, day: int, rng: np.random.Generator) -> Events:
        """Return one day's requests (day 0 begins at the trace's start)."""
        count = len(self)
        begin_ns = START_NS + day * DAY_NS
        weekend = day % 7 in (FRIDAY + 1, FRIDAY + 2)
        # Some days more than others; never a fixed number.
        mood = rng.gamma(self.mood, 1 / self.mood)
        expected = self.volume * mood * (self.weekend if weekend else 1.0)
        asked = rng.poisson(expected) * (rng.random(count) < self.active)
        asked *= (self.since_ns < begin_ns + DAY_NS) & (self.until_ns > begin_ns)
        sessions = np.where(asked > 0, 1 + rng.poisson(np.maximum(asked / self.burst - 1, 0)), 0)
        owner, _ = positions(sessions)
        # When: around the owner's peak, or at any hour.
        awake = self.peak[owner] + self.width[owner] * rng.standard_normal(len(owner))
        hour = np.where(rng.random(len(owner)) < self.flat[owner], rng.uniform(0, 24, len(owner)), awake) % 24
        sharp = rng.random(len(owner)) < self.on_the_hour[owner]
        hour = np.where(sharp, np.floor(hour) + rng.exponential(20 / 3600, len(owner)), hour)
        # Where, with what: once a session.
        slot, client = self._circumstances(owner, rng)
        # Which request belongs to which session, and how long after its beginning.
        person, _ = positions(asked)
        first = np.cumsum(sessions) - sessions
        session = first[person] + (rng.random(len(person)) * sessions[person]).astype(np.int64)
        lasting = (
            self.burst[person] * self.pace_s[person] * np.exp(0.5 * rng.standard_normal(len(owner)))[session]
        )
        within_s = rng.random(len(person)) ** 1.3 * lasting
        time_ns = (hour[session] * HOUR_NS + within_s * SECOND_NS).astype(np.int64) % DAY_NS + begin_ns
        return self._requests(world, person, time_ns, slot[session], client[session], rng)

    def moment(
        self, world: World, at_ns: int, within_s: float, each: float, rng: np.random.Generator
    ) -> Events:
        """Return what they send when all of them come at once: `each` requests on average."""
        person, _ = positions(rng.poisson(each, size=len(self)))
        slot, client = self._circumstances(np.arange(len(self)), rng)
        time_ns = at_ns + (rng.random(len(person)) * within_s * SECOND_NS).astype(np.int64)
        return self._requests(world, person, time_ns, slot[person], client[person], rng)

    def _circumstances(self, owner: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Return which of its places and which client each session has."""
        cumulative = shares(*self.weight.T)[owner]
        slot = (rng.random(len(owner))[:, None] > cumulative).sum(axis=1).clip(max=PLACES - 1)
        client = np.where(rng.random(len(owner)) < self.other[owner], self.second[owner], self.client[owner])
        return slot, client

    def _requests(
        self, world: World, person: Ints, time_ns: Ints, slot: Ints, client: Ints, rng: np.random.Generator
    ) -> Events:
        """Return requests with all that belongs to them, of accounts that exist at the time."""
        account = self.account[person]
        sent, came = world.tokens.draw(account, rng)
        same = np.flatnonzero(self.template[person] >= 0)
        if len(same):
            sent[same], came[same] = world.tokens.harvest(self.template[person][same], 700.0, 0.5, rng)
        hi, lo = world.internet.addresses(
            self.place[person, slot],
            self.number[person, slot],
            mix(account, slot),
            time_ns,
            rng.integers(1 << 63, size=len(person)).astype(np.uint64),
        )
        events = Events(time_ns, account.astype(np.uint32), hi, lo, client.astype(np.uint32), sent, came)
        return events.where((time_ns >= self.since_ns[person]) & (time_ns < self.until_ns[person]))


def together(groups: list[People]) -> People:
    """Return several groups as one."""
    return People(
        *(np.concatenate([getattr(group, column.name) for group in groups]) for column in fields(People))
    )
