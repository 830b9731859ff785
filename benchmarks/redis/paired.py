"""One middleware over a Redis beside what it is compared with, in one process: request by request, in turn.

Two processes differ by more than a middleware costs: by where their memory lies, by what the
processor does between their turns. Here each request is followed by the same one through the next
application, on the same event loop and over the same server, and only the differences within such
a round are kept. Their median is a turn's; the medians of many turns say how steady it is.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from redis import Redis
from starlette.types import Message

from benchmarks.middleware import receive, scope_of, send
from benchmarks.redis.apps import APPS, FASTAPI, OURS, base
from benchmarks.redis.bare import calls_of, connect, round_trip, same_call
from benchmarks.redis.servers import Work
from benchmarks.rounds import Sample
from benchmarks.scenarios import addresses, many_headers

CLIENTS = 1000
LEAST_SERVED = 100
"""Requests that the server's time is read for: what it says of its own costs some as well."""
ROUTE = "the route alone"
ROUND_TRIP = "a bare round trip, then the route"
SAME_CALL = "the same call, ready-made, by a bare client, then the route"
MIDDLEWARE = "the middleware"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a request through one application, beyond its cost through another or by itself.

    Attributes:
        wait_ns: by the clock on the wall: what a request waits, for the server and for this process.
        client_ns: processor time of the process that the application runs in.
        server_ns: processor time of the server.
    """

    wait_ns: float
    client_ns: float
    server_ns: float


@dataclass(frozen=True, slots=True)
class Spread:
    """The same over all turns."""

    wait: Sample
    client: Sample
    server: Sample

    @classmethod
    def of(cls, costs: Sequence[Cost]) -> Spread:
        """Return medians and quartiles of the turns'."""
        return cls(
            Sample.of([one.wait_ns for one in costs]),
            Sample.of([one.client_ns for one in costs]),
            Sample.of([one.server_ns for one in costs]),
        )


class Paired:
    """A middleware and its comparisons; lives in a process of its own.

    Args:
        name: the middleware, see `apps.APPS`.
        url: the server's.
        limits: one or three.
        quota: of the first.
    """

    def __init__(self, name: str, url: str, limits: int, quota: int) -> None:
        self._runner = asyncio.Runner()
        self._server = Redis.from_url(url)
        run, is_fastapi = self._runner.run, name == FASTAPI
        self._apps = {
            ROUTE: base(is_fastapi=is_fastapi),
            ROUND_TRIP: run(round_trip(url, base(is_fastapi=is_fastapi))),
        }
        scopes = [scope_of(many_headers(f"account-{n:07d}"), one) for n, one in enumerate(addresses(CLIENTS))]
        if name == OURS:
            calls = run(calls_of(url, scopes, limits, quota))
            self._apps[SAME_CALL] = same_call(run(connect(url)), calls, base())
        self._apps[MIDDLEWARE] = run(APPS[name](url, limits, quota))
        self._scopes = cycle(scopes)
        self._begin = 0

    def turn(self, count: int) -> dict[tuple[str, str], Cost]:
        """Return what a request costs more through one application than another, of `count` rounds."""
        waits, busy = self._runner.run(self._rounds(count))
        server = {name: self._served(name, max(count, LEAST_SERVED)) for name in self._apps}
        return {
            (name, other): Cost(
                _median_difference(waits[name], waits[other]),
                _median_difference(busy[name], busy[other]),
                server[name] - server[other],
            )
            for name in self._apps
            for other in self._apps
            if name != other
        }

    def statuses(self, count: int) -> list[int]:
        """Return what one client of the middleware is answered."""
        found: list[int] = []

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                found.append(message["status"])

        async def requests() -> None:
            for _ in range(count):
                await self._apps[MIDDLEWARE](
                    scope_of(many_headers("account-asked"), "192.0.2.1"), receive, note
                )

        self._runner.run(requests())
        return found

    async def _rounds(self, count: int) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        waits: dict[str, list[int]] = {name: [] for name in self._apps}
        busy: dict[str, list[int]] = {name: [] for name in self._apps}
        order = list(self._apps.items())
        wall, processor = time.perf_counter_ns, time.process_time_ns
        for _ in range(count):
            self._begin = (self._begin + 1) % len(order)  # each comes first, and after each, equally often
            chosen = next(self._scopes)
            for name, app in (*order[self._begin :], *order[: self._begin]):
                scope = chosen.copy()
                worked, begun = processor(), wall()
                await app(scope, receive, send)
                waits[name].append(wall() - begun)
                busy[name].append(processor() - worked)
        return waits, busy

    def _served(self, name: str, count: int) -> float:
        """Return nanoseconds of the server's processor a request: it does not say them of each by itself."""
        app = self._apps[name]

        async def requests() -> None:
            for _ in range(count):
                await app(next(self._scopes).copy(), receive, send)

        before = Work.of(self._server)
        self._runner.run(requests())
        return 1000 * Work.of(self._server).since(before).processor_us / count


def _median_difference(ones: Sequence[int], others: Sequence[int]) -> float:
    return statistics.median(one - other for one, other in zip(ones, others, strict=True))
