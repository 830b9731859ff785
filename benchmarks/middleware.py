"""The cost of the middleware to a request.

A Starlette application of one route, called in process, bare and behind each middleware.
Three limits (token bucket by API key, sliding window by address, fixed window by
network) come from a policy file in shared memory, with headers and metrics. The headers
are wrk's from one client, and a browser's from a thousand clients in turn. At last every
request comes from an address never seen before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import cycle
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from benchmarks.apps import APPS, BARE, NO_OP, OURS, PEERS, App, installed
from benchmarks.hosted import Hosted
from benchmarks.report import Answer, Row, best, number
from benchmarks.rounds import Contender, Sample, race
from benchmarks.scenarios import MOST_IN_A_WINDOW, PATH, Headers, addresses, few_headers, many_headers
from benchmarks.settings import Settings

NAME = "middleware"
CLIENTS = 1000
ADDRESSES = 100_000
ONE_CLIENT = "2 headers, one client"
THOUSAND_CLIENTS = "12 headers, 1,000 clients"
STRANGERS = "12 headers, every address new"
AIM_US = 3.0
FEW = 5
NOTHING = "making the request"


def answer(settings: Settings) -> Answer:
    """Time one request through each middleware."""
    found = Answer(NAME, "Three limits, headers and metrics: what is added to a bare Starlette route?")
    names, absent = installed()
    for name in names:
        if name not in (BARE, NO_OP):
            _check_exact(name)
    for title in _TRAFFIC:
        samples = _race(names, title, settings)
        bare = samples[BARE].median
        added = {name: (sample.median - bare) / 1000 for name, sample in samples.items()}
        peer, value = best({name: added[name] for name in PEERS if name in added})
        aim = AIM_US if title != STRANGERS else None
        found.rows.append(Row(f"added, {title}", added[OURS], "µs", aim, peer=peer, peer_value=value))
        found.samples(title, samples, "µs", 1000)
        others = ", ".join(f"{name} {number(added[name])}" for name in names if name not in (BARE, OURS))
        found.notes.append(f"µs added, {title}: {others}; ratelimit {number(added[OURS])}")
    found.notes += [f"not installed: {name}" for name in absent]
    found.notes.append("slowapi and asgi-ratelimit count three limits by one identity, the API key")
    return found


def _one_client() -> list[dict[str, Any]]:
    return [scope_of(few_headers(), "192.0.2.1")]


def _thousand_clients() -> list[dict[str, Any]]:
    return [scope_of(many_headers(f"account-{n:07d}"), one) for n, one in enumerate(addresses(CLIENTS))]


def _strangers() -> list[dict[str, Any]]:
    return [scope_of(many_headers(), one) for one in addresses(ADDRESSES)]


_TRAFFIC: dict[str, Callable[[], list[dict[str, Any]]]] = {
    ONE_CLIENT: _one_client,
    THOUSAND_CLIENTS: _thousand_clients,
    STRANGERS: _strangers,
}


def scope_of(headers: Headers, address: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": (address, 50_000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": headers,
        "state": {},
    }


class Behind:
    """One application and the traffic it gets; lives in a process of its own."""

    def __init__(self, name: str, traffic: str) -> None:
        self._app = App(_nowhere) if name == NOTHING else APPS[name](MOST_IN_A_WINDOW)
        self._scopes = cycle(_TRAFFIC[traffic]())
        self._runner = asyncio.Runner()
        self.turn(2 * CLIENTS)  # every client of the crowd has been seen; strangers never are

    def turn(self, count: int) -> float:
        """Return nanoseconds a request, over `count` of them."""
        chosen = [next(self._scopes) for _ in range(count)]
        return self._runner.run(self._requests(chosen))

    async def _requests(self, chosen: Sequence[dict[str, Any]]) -> float:
        app = self._app.asgi
        begin = time.process_time_ns()
        for one in chosen:
            await app(one.copy(), receive, send)  # a server makes a new scope for each request
        return (time.process_time_ns() - begin) / len(chosen)

    def close(self) -> None:
        """Let go of the application."""
        self._app.close()


def _race(names: Sequence[str], traffic: str, settings: Settings) -> dict[str, Sample]:
    with ExitStack() as stack:
        hosts = {name: stack.enter_context(Hosted(Behind, name, traffic)) for name in (NOTHING, *names)}
        contenders = [_contender(*one) for one in hosts.items()]
        samples = race(contenders, rounds=settings.rounds, slice_ns=settings.slice_ns)
        for host in hosts.values():
            host.ask("close")
    return samples


def _contender(name: str, host: Hosted) -> Contender:
    return Contender(name, lambda count: float(host.ask("turn", count)))


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Message) -> None:
    pass


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    pass


def _check_exact(name: str) -> None:
    """Raise unless exactly the quota is admitted."""
    app = APPS[name](FEW)
    statuses: list[int] = []

    async def note(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def requests() -> None:
        for _ in range(2 * FEW):
            await app.asgi(scope_of(few_headers(), "192.0.2.1"), receive, note)

    asyncio.run(requests())
    app.close()
    if statuses != [200] * FEW + [429] * FEW:
        raise AssertionError(f"{name} answers {statuses} to {2 * FEW} requests of {FEW} an hour")
