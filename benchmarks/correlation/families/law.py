"""The one law of all that is free: how much, when, with which program, how long the answers.

An attacker changes these for nothing. So honest groups and campaigns draw them from the
same law (`draw`), and a test holds that their marginals are equal. A named family may fix
some of them where its name says so; a free change of a campaign replaces others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.correlation.clients import BUILDS, COMMON, Clients
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS, SECOND_NS, START_NS, Floats, Ints, mix, unit

Rhythm = Literal["flat", "sessions", "diurnal", "office", "cron", "together"]
Programs = Literal["population", "one", "few", "own", "each"]
RHYTHMS: tuple[Rhythm, ...] = ("flat", "sessions", "diurnal", "office", "cron", "together")
PROGRAMS: tuple[Programs, ...] = ("population", "one", "few", "own", "each")

_DIURNAL = 1 + 0.65 * np.cos(2 * np.pi * (np.arange(24) + 0.5 - 15) / 24)
_OFFICE = np.where((np.arange(24) >= 8) & (np.arange(24) < 18), 1.0, 0.03)
_SESSION_REQUESTS = 8
_SESSION_NS = 40 * 60 * SECOND_NS
_LESSON_NS = 30 * 60 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Habits:
    """What the accounts of one group do.

    Args:
        per_day: requests an account and day, the mean.
        spread: coefficient of variation of the accounts' volumes; they are lognormal.
        quota: requests after which an account stops for the day; 0: none.
        rhythm: flat, in sessions, by day and night, in office hours, by cron; or all at the same few times.
        hour: by how many hours the group's days are shifted.
        programs: as the population has them, one or few common ones, one of its own, one an account.
        length: median output tokens.
        length_spread: sigma of their logarithm.
    """

    per_day: float
    spread: float
    quota: int
    rhythm: Rhythm
    hour: int
    programs: Programs
    length: float
    length_spread: float


def draw(rng: np.random.Generator) -> Habits:
    """Return the habits of a group, honest or hostile."""
    per_day = float(np.exp(rng.uniform(np.log(6), np.log(90))))
    return Habits(
        per_day=per_day,
        spread=float(rng.uniform(0, 3)) if rng.random() < 0.8 else 0.0,
        quota=int(per_day * rng.uniform(1, 2)) + 1 if rng.random() < 0.25 else 0,
        rhythm=RHYTHMS[rng.integers(len(RHYTHMS))],
        hour=int(rng.integers(24)),
        programs=PROGRAMS[rng.integers(len(PROGRAMS))],
        length=float(np.exp(rng.normal(np.log(300), 0.8))),
        length_spread=float(rng.uniform(0.1, 1.2)),
    )


def volumes(habits: Habits, count: int, rng: np.random.Generator) -> Floats:
    """Return the mean requests a day of some accounts."""
    sigma = np.sqrt(np.log1p(habits.spread**2))
    drawn: Floats = habits.per_day * np.exp(sigma * rng.standard_normal(count) - sigma**2 / 2)
    return drawn


def times(
    habits: Habits, volume: Floats, begin_ns: Ints, end_ns: Ints, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return the requests of some accounts: the row of each, and its time.

    Args:
        volume: mean requests a day, by account.
        begin_ns, end_ns: when each account is there.
    """
    clock = _Clock(habits)
    day = np.arange(int((end_ns.max(initial=START_NS) - START_NS + DAY_NS - 1) // DAY_NS) + 2) - 1
    midnight = START_NS + day * DAY_NS
    low = np.maximum(begin_ns[:, None], midnight)
    high = np.minimum(end_ns[:, None], midnight + DAY_NS)
    row, column = np.nonzero(high > low)
    begin, end = clock.mass(low[row, column]), clock.mass(high[row, column])
    counts = rng.poisson(volume[row] * (end - begin))
    if habits.quota:
        counts = np.minimum(counts, habits.quota)
    if habits.rhythm == "cron":
        # An even pace, as jobs have it: so many a day, a few seconds late.
        counts = np.floor(volume[row] * (end - begin) + rng.random(len(row))).astype(np.int64)
        counts = np.minimum(counts, habits.quota) if habits.quota else counts
    which = np.repeat(np.arange(len(row)), counts)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    account = row[which]
    if habits.rhythm == "cron":
        place = (nth + unit(mix(account, 31))) / np.maximum(counts[which], 1)
        when = clock.when(begin[which] + place * (end - begin)[which])
        when = when // (60 * SECOND_NS) * 60 * SECOND_NS + (rng.random(len(when)) * 4e9).astype(np.int64)
    elif habits.rhythm == "sessions":
        sessions = np.maximum(1, counts // _SESSION_REQUESTS)[which]
        session = np.floor(rng.random(len(which)) * sessions).astype(np.int64)
        place = unit(mix(which, session, int(rng.integers(1 << 62))))
        when = clock.when(begin[which] + place * (end - begin)[which])
        when += (rng.random(len(when)) * _SESSION_NS).astype(np.int64)
    elif habits.rhythm == "together":
        # A lesson, a batch, an outage's end: the group's times, on each day three.
        lesson = np.floor(rng.random(len(which)) * 3).astype(np.int64)
        today = (begin[which] + 1e-9).astype(np.int64)
        when = clock.when(today + unit(mix(today, lesson, int(rng.integers(1 << 62)))))
        when += (rng.random(len(when)) * _LESSON_NS).astype(np.int64)
    else:
        when = clock.when(begin[which] + rng.random(len(which)) * (end - begin)[which])
    kept = (when >= begin_ns[account]) & (when < end_ns[account])
    return account[kept], when[kept]


def programs(habits: Habits, clients: Clients, count: int, rng: np.random.Generator) -> Ints:
    """Return the client build of each of some accounts."""
    kind = habits.programs
    if kind == "population":
        return clients.draw(rng, count)
    if kind == "one":
        return np.full(count, rng.integers(COMMON))
    if kind == "few":
        return rng.choice(rng.integers(BUILDS, size=8), size=count)
    if kind == "own":
        return np.full(count, clients.add(rng, 1)[0])
    return clients.add(rng, count)


def lengths(habits: Habits, account: Ints, rng: np.random.Generator) -> Ints:
    """Return the output tokens of requests; an account has a length of its own."""
    own = np.exp(0.4 * (unit(mix(account, 41)) + unit(mix(account, 42)) - 1) * 2.4)
    drawn = habits.length * own * np.exp(habits.length_spread * rng.standard_normal(len(account)))
    return np.clip(np.rint(drawn), 1, 32_000).astype(np.int64)


class _Clock:
    """Days by the part of a day's requests that have come, and back."""

    def __init__(self, habits: Habits) -> None:
        profile = np.ones(24)
        if habits.rhythm in ("diurnal", "sessions"):
            profile = _DIURNAL
        elif habits.rhythm == "office":
            profile = _OFFICE
        profile = np.roll(profile, habits.hour)
        self._come = np.r_[0.0, np.cumsum(profile) / profile.sum()]
        self._hours = np.arange(25) * float(HOUR_NS)

    def mass(self, time_ns: Ints) -> Floats:
        """Return days and parts of them."""
        day, rest = np.divmod(time_ns - START_NS, DAY_NS)
        come: Floats = day + np.interp(rest.astype(float), self._hours, self._come)
        return come

    def when(self, mass: Floats) -> Ints:
        """Return the time at which so much has come."""
        day = np.floor(mass)
        rest = np.interp(mass - day, self._come, self._hours)
        reached: Ints = START_NS + day.astype(np.int64) * DAY_NS + rest.astype(np.int64)
        return reached
