"""Ways to divide a limit among hosts while the server is away, compared: `python -m benchmarks.redis.shares`.

Every honest caller uses a fifth of its limit, at random instants. The greedy caller asks without end, at all
hosts. A way is good if no honest caller is refused and the greedy one is let through little. Time is virtual.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

WORKERS = 2
"""A host has so many."""
MOVED_AT = 0.4
"""The part of the outage after which connections move."""
HONEST = 0.2
"""The part of its limit that an honest caller uses."""
CALLERS = 60


@dataclass(frozen=True, slots=True)
class Limit:
    """So many units in so many seconds: a token bucket with as large a burst, or a fixed window."""

    quota: int
    period_s: float
    is_bucket: bool

    def grants(self, seconds: float) -> float:
        """Return the most that it admits in so long."""
        windows = 1 + seconds / self.period_s if self.is_bucket else math.ceil(seconds / self.period_s)
        return self.quota * windows


class Counter:
    """One counter of a share of a limit."""

    __slots__ = ("_arrival", "_count", "_limit", "_window")

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._arrival = 0.0
        self._window = -1
        self._count = 0

    def admits(self, at_s: float, share: float) -> bool:
        """Charge one unit of a share, if there is room."""
        limit = self._limit
        units = max(1, math.ceil(limit.quota * share - 1e-9))
        if limit.is_bucket:
            interval_s = limit.period_s / (limit.quota * share)
            arrival = max(self._arrival, at_s) + interval_s
            if arrival > at_s + units * interval_s + 1e-9:
                return False
            self._arrival = arrival
            return True
        window = int(at_s // limit.period_s)
        if window != self._window:
            self._window, self._count = window, 0
        if self._count >= units:
            return False
        self._count += 1
        return True


@dataclass(frozen=True, slots=True)
class Traffic:
    """The knowledge that a host (or a worker) decides by: traffic by place, before the outage and now."""

    hosts: int
    before: Sequence[float]
    now: Sequence[float]


Way = Callable[[Traffic, int], float]
"""Returns a place's share; places are workers, host by host, where a way is of workers."""


def by_traffic(traffic: Traffic, place: int) -> float:
    """Return nine tenths by the traffic before, one tenth for all alike."""
    return 0.9 * traffic.before[place] + 0.1 / len(traffic.before)


def following(traffic: Traffic, place: int) -> float:
    """Return what the traffic now is of all traffic before, at most the whole limit."""
    return min(1.0, max(0.1 / len(traffic.before), traffic.now[place]))


def equal(traffic: Traffic, place: int) -> float:
    """Return the same for all."""
    return 1 / len(traffic.before)


def at_least(part: int) -> Way:
    """Return the way of equal shares that are never below one part of so many."""
    return lambda traffic, place: 1 / min(part, len(traffic.before))


def floored(part: int) -> Way:
    """Return the way of a share by traffic that is never below one part of so many."""
    return lambda traffic, place: max(traffic.before[place], 1 / min(part, len(traffic.before)))


WAYS: dict[str, tuple[Way, bool]] = {
    "a worker's, 9/10 by traffic (before)": (by_traffic, True),
    "a host's, 9/10 by traffic": (by_traffic, False),
    "a host's, follows its traffic": (following, False),
    "1/H": (equal, False),
    "at least 1/4": (at_least(4), False),
    "at least 1/3": (at_least(3), False),
    "at least 1/2": (at_least(2), False),
    "at least 1/3, or by traffic": (floored(3), False),
}
"""By name; and whether its places are workers instead of hosts."""

MOVES = ("sticky", "spread", "neighbour", "one host")


def place_of(
    move: str, caller: int, is_moved: bool, places: int, per_host: int, chance: random.Random
) -> int:
    """Return where a request of a caller goes: before they move, most are at the first worker of all."""
    hosts = places // per_host
    if move == "spread":
        return chance.randrange(places)
    home = caller % hosts if caller % 3 else 0
    if not is_moved or move == "sticky":
        return home * per_host
    if move == "neighbour":
        return home * per_host + per_host - 1  # of a way of hosts it is the same place
    return (hosts - 1) * per_host + per_host - 1


def refused(
    way: Way, of_workers: bool, limit: Limit, hosts: int, move: str, seconds: float, seed: int
) -> float:
    """Return the part of the honest callers' requests that is refused."""
    chance = random.Random(seed)
    per_host = WORKERS if of_workers else 1
    places = hosts * per_host
    before, after = [0.0] * places, [0.0] * places
    for caller in range(CALLERS):
        for is_moved, traffic in ((False, before), (True, after)):
            draws = places * 4 if move == "spread" else 1
            for _ in range(draws):
                traffic[place_of(move, caller, is_moved, places, per_host, chance)] += 1 / CALLERS / draws
    asked = denied = 0
    for caller in range(CALLERS):
        counters = [Counter(limit) for _ in range(places)]
        for at_s in arrivals(limit, seconds, chance):
            is_moved = at_s > MOVED_AT * seconds
            place = place_of(move, caller, is_moved, places, per_host, chance)
            share = way(Traffic(hosts, before, after if is_moved else before), place)
            asked += 1
            denied += not counters[place].admits(at_s, share)
    return denied / asked if asked else 0.0


def arrivals(limit: Limit, seconds: float, chance: random.Random) -> Iterator[float]:
    """Yield an honest caller's instants."""
    at_s = 0.0
    while (at_s := at_s + chance.expovariate(HONEST * limit.quota / limit.period_s)) < seconds:
        yield at_s


def let_through(way: Way, of_workers: bool, limit: Limit, hosts: int, seconds: float) -> float:
    """Return what the greedy caller gets at all hosts, in limits: with the traffic that suits it best."""
    places = hosts * (WORKERS if of_workers else 1)
    before = [1 / places] * places
    flood = Traffic(hosts, before, [1.0] * places)
    skewed = Traffic(hosts, [1.0] + [0.0] * (places - 1), [1.0] * places)
    worst = max(sum(way(each, place) for place in range(places)) for each in (flood, skewed))
    return max(worst, places / limit.quota if limit.quota < places else 0)


def main() -> None:
    """Print the frontier."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    seconds = parser.parse_args().seconds
    limits = [
        Limit(60, 60, True),
        Limit(60, 60, False),
        Limit(20, 60, True),
        Limit(20, 60, False),
        Limit(600, 60, True),
    ]
    print(
        f"honest callers at {HONEST:.0%} of their limit for {seconds:.0f} s; "
        f"connections move at {MOVED_AT:.0%} of it"
    )
    print(f"{'':38}{'greedy: limits':>16}   honest refused in %: " + " / ".join(MOVES))
    for hosts in (2, 4, 12):
        print(f"{hosts} hosts")
        for name, (way, of_workers) in WAYS.items():
            greedy = max(let_through(way, of_workers, limit, hosts, seconds) for limit in limits)
            worst = [
                max(refused(way, of_workers, limit, hosts, move, seconds, 1) for limit in limits)
                for move in MOVES
            ]
            cells = " / ".join(f"{part * 100:.2f}" for part in worst)
            print(f"  {name:36}{greedy:16.2f}   {cells}")


if __name__ == "__main__":
    main()
