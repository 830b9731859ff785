"""A middleware over a Redis is compared, in one process, with the same call by a bare client."""

from __future__ import annotations

import re

from starlette.types import Message

from benchmarks.hosted import Hosted
from benchmarks.middleware import receive, scope_of
from benchmarks.redis.apps import OURS, base, ours
from benchmarks.redis.bare import calls_of, connect, same_call
from benchmarks.redis.paired import MIDDLEWARE, ROUND_TRIP, ROUTE, SAME_CALL, Paired
from benchmarks.scenarios import many_headers
from tests.asgi.driver import lifespan
from tests.support.redis.server import Server

QUOTA = 1000
CALLS = 3


async def test_the_call_that_is_there_beforehand_charges_what_the_middleware_charges(server: Server) -> None:
    scope = scope_of(many_headers(), "192.0.2.1")
    left: list[int] = []

    async def note(message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = {name: value.decode() for name, value in message["headers"]}
            found = re.search(r"r=(\d+)", fields.get(b"ratelimit", ""))
            if found:
                left.append(int(found[1]))

    calls, connection = await calls_of(server.url, [scope], 3, QUOTA), await connect(server.url)
    behind = same_call(connection, calls, base())
    middleware = await ours(server.url, 3, QUOTA)
    await middleware(scope.copy(), receive, note)
    for _ in range(CALLS):
        await behind(scope.copy(), receive, note)
    await middleware(scope.copy(), receive, note)
    await lifespan(middleware)
    connection.close()
    assert left[0] - left[1] == CALLS + 1


def test_each_is_compared_with_each(server: Server) -> None:
    with Hosted(Paired, OURS, server.url, 1, 1_000_000) as host:
        costs = host.ask("turn", 4)
    names = (ROUTE, ROUND_TRIP, SAME_CALL, MIDDLEWARE)
    assert set(costs) == {(one, other) for one in names for other in names if one != other}
    assert costs[MIDDLEWARE, ROUTE].wait_ns == -costs[ROUTE, MIDDLEWARE].wait_ns
    assert costs[MIDDLEWARE, ROUTE].server_ns > 0
