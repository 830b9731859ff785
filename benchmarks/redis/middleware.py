"""The cost of a middleware with its counters in a Redis to a request.

The application of one route is called in process, request after request from a thousand clients:
behind each middleware with one limit and with three, and in turn with it alone and behind calls
by a bare client (`bare`). Each round of requests is compared by itself (`paired`): by the clock on the
wall, since a request waits for the server, and by the processor time of the client and of the server.
An event loop does nothing else in the client's time. All middlewares are compared in the same way.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.hosted import Hosted
from benchmarks.redis.apps import OURS, PEERS
from benchmarks.redis.paired import MIDDLEWARE, ROUND_TRIP, ROUTE, SAME_CALL, Cost, Paired, Spread
from benchmarks.redis.servers import describe, running
from benchmarks.report import Answer, Row, best, number
from benchmarks.rounds import Sample
from benchmarks.scenarios import MOST_IN_A_WINDOW
from benchmarks.settings import Settings

NAME = "Redis, as middleware"
FEW = 5
LIMITS = (1, 3)
AIMS = {1: 12, 3: 18}
ROUND_NS = 500_000
"""About what a round takes, of each of its applications once and once more for the server's time."""
OVER, OVER_SAME = "over a bare round trip", "over the same call, ready-made"

Which = tuple[str, int]
"""A middleware, and how many limits it has."""
Found = dict[Which, dict[tuple[str, str], Spread]]


def answer(settings: Settings) -> Answer:
    """Time one request through each middleware."""
    found = Answer(NAME, "Counters in a Redis: what does a middleware add to a request?")
    with running() as server, ExitStack() as stack:
        hosts: dict[Which, Hosted] = {}
        absent = []
        for name in (OURS, *PEERS):
            try:
                for limits in LIMITS:
                    server.client.flushall()
                    _check_exact(name, server.url, limits)
                    hosts[name, limits] = stack.enter_context(
                        Hosted(Paired, name, server.url, limits, MOST_IN_A_WINDOW)
                    )
            except ImportError:
                absent.append(name)
        server.client.flushall()
        costs = _race(hosts, settings)
        found.notes.append(describe(server))
    names = [name for name in (OURS, *PEERS) if name not in absent]
    for limits in LIMITS:
        _add_rows(found, costs, names, limits)
    found.columns = (
        "middleware",
        "limits",
        "µs added to the route: wait",
        f"{OVER}: wait",
        "client's processor",
        "server's processor",
    )
    for which, spreads in costs.items():
        trip = spreads[MIDDLEWARE, ROUND_TRIP]
        added = spreads[MIDDLEWARE, ROUTE].wait
        cells = [_text(one) for one in (added, trip.wait, trip.client, trip.server)]
        found.measured.append((which[0], str(which[1]), *cells))
    found.notes += [f"not installed: {name}" for name in absent]
    found.notes += [
        "medians of turns, and their quartiles; a turn's is the median of differences within rounds of one "
        "request through each application; the server's processor is read before and after a turn's requests",
        "a bare round trip: one call of a script of one limit, which a bare client makes of the request; "
        "the same call: what ratelimit sends for the request, by a client that has the bytes beforehand",
        "what a wait has beyond both processors' time is the wire and the system: waking up, and bytes",
        "others count all limits by one identity, the API key; fastapi-limiter beside a bare FastAPI",
    ]
    return found


def _check_exact(name: str, url: str, limits: int) -> None:
    """Raise unless exactly the quota is admitted."""
    with Hosted(Paired, name, url, limits, FEW) as host:
        said = host.ask("statuses", 2 * FEW)
    if said != [200] * FEW + [429] * FEW:
        raise AssertionError(f"{name} answers {said} to {2 * FEW} requests of {FEW} an hour")


def _race(hosts: dict[Which, Hosted], settings: Settings) -> Found:
    """Give each middleware its turns, in rotation."""
    count = max(2 * settings.slice_ns // ROUND_NS, 8)
    turns: dict[Which, list[dict[tuple[str, str], Cost]]] = {which: [] for which in hosts}
    for host in hosts.values():
        host.ask("turn", 4 * count)  # builds what is built late
    order = list(hosts.items())
    for turn in range(settings.rounds):
        start = turn % len(order)
        for which, host in (*order[start:], *order[:start]):
            turns[which].append(host.ask("turn", count))
    return {
        which: {pair: Spread.of([one[pair] for one in costs]) for pair in costs[0]}
        for which, costs in turns.items()
    }


def _add_rows(found: Answer, costs: Found, names: list[str], limits: int) -> None:
    ours = costs[OURS, limits]
    what = f"added with {limits} limit{'s' * (limits > 1)}"
    added = {name: costs[name, limits][MIDDLEWARE, ROUTE].wait.median / 1000 for name in names}
    peer, value = best({name: added[name] for name in names if name != OURS})
    trip, own = ours[MIDDLEWARE, ROUND_TRIP], ours[MIDDLEWARE, SAME_CALL]
    found.rows += [
        Row(what, added[OURS], "µs", peer=peer, peer_value=value),
        Row(f"{what}, {OVER}", trip.wait.median / 1000, "µs", AIMS[limits]),
        Row("… of it processor time of the client", trip.client.median / 1000, "µs"),
        Row("… of it processor time of the server", trip.server.median / 1000, "µs"),
        Row(f"{what}, {OVER_SAME}", own.wait.median / 1000, "µs"),
        Row("… of it processor time of the client", own.client.median / 1000, "µs"),
    ]
    found.notes.append(
        f"{what}, {OVER_SAME}, µs: wait {_text(own.wait)}, client's processor {_text(own.client)}"
    )


def _text(sample: Sample) -> str:
    median, lower, upper = (number(each / 1000) for each in (sample.median, sample.lower, sample.upper))
    return f"{median} ({lower} to {upper})"
