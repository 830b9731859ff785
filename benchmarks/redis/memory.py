"""The memory of a key in the server, by algorithm.

`used_memory` before and after one decision for each of many accounts, on each server there
is: names, values, expiry and the server's own tables, all of it. Under the default prefix.

Beside it the floor: the least value a server can keep, a small whole number, under names as
long and with an expiry as well.
"""

from __future__ import annotations

import asyncio

from benchmarks.redis.contenders import ACCOUNT, store_text
from benchmarks.redis.servers import describe, running
from benchmarks.report import Answer, Row
from benchmarks.scenarios import keys
from benchmarks.settings import Settings
from ratelimit import Limiter, Policy
from tests.support.redis.binary import binaries
from tests.support.redis.server import Server

NAME = "Redis, memory"
AIM_BYTES = 120
AT_ONCE = 256
LIMITS = {
    "token bucket": 'rate = "100/hour"',
    "fixed window": 'rate = "100/hour"\nalgorithm = "fixed-window"',
    "sliding window": 'rate = "100/hour"\nalgorithm = "sliding-window"',
    "sliding log, one request": 'rate = "100/hour"\nalgorithm = "sliding-log"',
    "concurrency, one slot": "concurrent = 10",
    "distinct, one of 12": 'unit = "distinct:network"\nrate = "12/day"',
}
WORDS = 3
"""How many of them keep their state in a word: those the aim is for."""


def answer(settings: Settings) -> Answer:
    """Fill servers."""
    count = 20_000 if settings.quick else 100_000
    found = Answer(NAME, f"{count:,} keys of one limit: how many bytes does each take in the server?")
    found.columns = ("limit", "server", "bytes a key")
    for binary in binaries():
        with running(binary) as server:
            name = describe(server)
            for number, (limit, text) in enumerate(LIMITS.items()):
                taken = asyncio.run(_bytes(server, text, count))
                found.measured.append((limit, name, f"{taken:.0f}"))
                if number < WORDS:
                    found.rows.append(Row(f"{limit}, {name}", taken, "bytes a key", AIM_BYTES))
            key = server.client.randomkey()
            assert key is not None  # all of them are there
            length = len(key)
        with running(binary) as server:
            floor = _floor(server, length, count)
            found.measured.append(("no limit: the number 1, with an expiry", name, f"{floor:.0f}"))
    return found


def _floor(server: Server, length: int, count: int) -> float:
    before = int(server.client.info("memory")["used_memory"])
    with server.client.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.set(f"{number:0{length}d}", 1, ex=3600)
        pipeline.execute()
    return (int(server.client.info("memory")["used_memory"]) - before) / count


async def _bytes(server: Server, limit: str, count: int) -> float:
    server.client.flushall()
    text = f'{ACCOUNT}\n[[limit]]\nname = "one"\nper = "account"\n{limit}\n{store_text(server.url)}'
    limiter = Limiter(Policy.from_toml(text))
    accounts = keys(count + 1)

    async def decide(number: int) -> None:
        decision = await limiter.adecide(identities={"account": accounts[number]}, client="192.0.2.1")
        if not decision.allowed:
            raise AssertionError(f"{limit}: {accounts[number]} is refused")

    try:
        await decide(count)  # connections and the script's text are not the keys'
        before = int(server.client.info("memory")["used_memory"]), server.client.dbsize()
        for start in range(0, count, AT_ONCE):
            await asyncio.gather(*(decide(n) for n in range(start, min(start + AT_ONCE, count))))
        after = int(server.client.info("memory")["used_memory"]), server.client.dbsize()
    finally:
        await limiter.aclose_connections()
        limiter.close()
    made = after[1] - before[1]
    if made < count:
        raise AssertionError(f"{limit}: {made} keys for {count} accounts")
    return (after[0] - before[0]) / made
