"""The cost of a middleware with its counters in a Redis to a request.

The application of one route is called in process, request after request from a thousand
clients, bare and behind each middleware with one limit and with three. The median wait of
a request, by the clock on the wall: it waits for the server. Of a contender's turns the
lower quartile is compared: what else runs on the machine only ever adds to a wait.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import ExitStack
from itertools import cycle

from starlette.types import Message

from benchmarks.hosted import Hosted
from benchmarks.middleware import receive, scope_of, send
from benchmarks.redis.apps import APPS, BARE, BARE_FASTAPI, FASTAPI, OURS, PEERS, ROUND_TRIP
from benchmarks.redis.servers import describe, running
from benchmarks.report import Answer, Row, best
from benchmarks.rounds import Contender, race
from benchmarks.scenarios import MOST_IN_A_WINDOW, addresses, many_headers
from benchmarks.settings import Settings

NAME = "Redis, as middleware"
CLIENTS = 1000
FEW = 5
AIMS = {1: 12, 3: 18}
NOTHING = "making the request"


class Behind:
    """One application; lives in a process of its own."""

    def __init__(self, name: str, url: str, limits: int, quota: int) -> None:
        self._runner = asyncio.Runner()
        self._app = _nowhere if name == NOTHING else self._runner.run(APPS[name](url, limits, quota))
        self._scopes = cycle(
            [scope_of(many_headers(f"account-{n:07d}"), one) for n, one in enumerate(addresses(CLIENTS))]
        )

    def turn(self, count: int) -> float:
        """Return nanoseconds a request: the median of `count`."""

        async def requests() -> float:
            waits = []
            for _ in range(count):
                scope = next(self._scopes).copy()
                begin = time.perf_counter_ns()
                await self._app(scope, receive, send)
                waits.append(time.perf_counter_ns() - begin)
            return statistics.median(waits)

        return self._runner.run(requests())

    def statuses(self) -> list[int]:
        """Return what one client is answered to twice the quota."""
        found: list[int] = []

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                found.append(message["status"])

        async def requests() -> None:
            for _ in range(2 * FEW):
                await self._app(scope_of(many_headers(), "192.0.2.1"), receive, note)

        self._runner.run(requests())
        return found


def answer(settings: Settings) -> Answer:
    """Time one request through each middleware."""
    found = Answer(NAME, "Counters in a Redis: what does a middleware add to a request?")
    with running() as server, ExitStack() as stack:
        names, absent = [], []
        for name in (OURS, *PEERS):
            try:
                for limits in (1, 3):
                    server.client.flushall()
                    with Hosted(Behind, name, server.url, limits, FEW) as host:
                        said = host.ask("statuses")
                    if said != [200] * FEW + [429] * FEW:
                        raise AssertionError(f"{name} answers {said} to {2 * FEW} requests of {FEW} an hour")
            except ImportError:
                absent.append(name)
            else:
                names.append(name)
        server.client.flushall()
        chosen = [(NOTHING, 0), (BARE, 0), (ROUND_TRIP, 0), (BARE_FASTAPI, 0)]
        chosen += [(name, limits) for name in names for limits in (1, 3)]
        hosts = {
            one: stack.enter_context(Hosted(Behind, one[0], server.url, one[1], MOST_IN_A_WINDOW))
            for one in chosen
        }
        samples = race(
            [_contender(_label(*one), host) for one, host in hosts.items()],
            rounds=settings.rounds,
            slice_ns=2 * settings.slice_ns,
        )
        found.notes.append(describe(server))
    added = {}
    for name in names:
        base = samples[_label(BARE_FASTAPI if name == FASTAPI else BARE, 0)].lower
        for limits in (1, 3):
            added[name, limits] = (samples[_label(name, limits)].lower - base) / 1000
    for limits in (1, 3):
        peer, value = best({name: added[name, limits] for name in names if name != OURS})
        what = f"added with {limits} limit{'s' * (limits > 1)}"
        found.rows.append(Row(what, added[OURS, limits], "µs", value, peer=peer, peer_value=value))
        over = (samples[_label(OURS, limits)].lower - samples[ROUND_TRIP].lower) / 1000
        found.rows.append(Row(f"{what}, over a bare round trip", over, "µs", AIMS[limits]))
    found.columns = ("middleware", "µs added, one limit", "three limits")
    found.measured = [(name, f"{added[name, 1]:.0f}", f"{added[name, 3]:.0f}") for name in names]
    found.notes += [f"not installed: {name}" for name in absent]
    found.notes.append(
        "others count all limits by one identity, the API key; fastapi-limiter beside a bare FastAPI"
    )
    return found


def _label(name: str, limits: int) -> str:
    return f"{name}: {limits}" if limits else name


def _contender(name: str, host: Hosted) -> Contender:
    return Contender(name, lambda count: float(host.ask("turn", count)))


async def _nowhere(scope: object, receive: object, send: object) -> None:
    pass
