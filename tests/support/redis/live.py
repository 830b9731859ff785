"""Limiters over live servers: policies for tests, and what is asked of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

import redis.asyncio

from ratelimit import Decision, Limiter, Policy
from ratelimit.events import NullObserver
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.redis.store import RedisStore
from ratelimit.stores.redis.transport.client import BatchClient
from ratelimit.telemetry.counters import RemoteCounters
from tests.support.redis.patience import PATIENCE_S
from tests.support.stopwatch import Stopwatch

KEY = bytes(range(16))
VARIABLE = "KINLIMIT_TEST_KEY"
os.environ[VARIABLE] = KEY.hex()


def rules(url: str, *limits: str, top: str = "", **store: object) -> str:
    """Return a policy with limits that count in the server of a URL.

    Args:
        limits: the lines of each `[[limit]]` after its name, which is `l0`, `l1` and so on.
        top: lines above the first table.
        store: further keys of `[store]`.
    """
    # Patient, unless a test is about patience: machines that run tests are busy.
    settings = "".join(f'{name} = "{value}"\n' for name, value in {"timeout": "2s", **store}.items())
    tables = "".join(f'\n[[limit]]\nname = "l{number}"\n{lines}\n' for number, lines in enumerate(limits))
    return f"""version = 1
{top}
[identities]
account = {{ from = "header:x-account" }}
ip = {{ from = "header:x-ip" }}
[hashing]
key = "env:{VARIABLE}"
[store]
url = "{url}"
{settings}{tables}"""


class Watcher(NullObserver):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.codes: list[str] = []

    def store_failed(self, error: Any) -> None:
        self.faults.append(error.code)

    def diagnosed(self, code: str, message: str) -> None:
        self.codes.append(code)


class Live(Limiter):
    """A limiter over a server, in private memory.

    Args:
        text: the policy.
        now_us: the server's time instead of its own.
        key: the hash key.
    """

    store: RedisStore

    def __init__(self, text: str, *, now_us: Callable[[], int] | None = None, key: bytes = KEY) -> None:
        policy = Policy.from_toml(text)
        assert policy.compiled.remote is not None
        self.watcher = Watcher()
        embedded = EmbeddedStore.private(keys=20_000, block_bytes=1 << 22, key=key)
        super().__init__(
            policy,
            store=RedisStore(
                policy.compiled.remote, embedded, metrics=RemoteCounters(embedded.table), now_us=now_us
            ),
            observer=self.watcher,
        )

    @property
    def batch_client(self) -> BatchClient:
        """This loop's way to the server."""
        return self.store.batch_client()

    async def ask(self, account: str = "a", ip: str = "i", costs: dict[str, int] | None = None) -> Decision:
        """Decide one request."""
        return await self.adecide(identities={"account": account, "ip": ip}, costs=costs)

    async def look(self, account: str = "a", ip: str = "i") -> Decision:
        """Return what `ask` would."""
        return await self.apeek(identities={"account": account, "ip": ip})

    async def left(self, account: str = "a", ip: str = "i") -> list[int]:
        """Return what remains of each limit."""
        return [verdict.remaining for verdict in (await self.look(account, ip)).verdicts]

    async def admitted(self, count: int, account: str = "a", ip: str = "i") -> int:
        """Return how many of so many requests at once are allowed."""
        return sum(
            found.allowed for found in await asyncio.gather(*(self.ask(account, ip) for _ in range(count)))
        )

    async def connected(self, is_open: bool = False) -> None:
        """Wait until the breaker is closed, or open."""
        await eventually(
            lambda: self.batch_client.breaker.is_open == is_open, f"a breaker that is open: {is_open}"
        )

    def wait_for_answers(self, seconds: float) -> None:
        """Give answers so long from now on: a busy machine's own pause is no outage."""
        client, pipelines = self.batch_client, self.batch_client._pipelines
        client._timeout_s = pipelines.timeout_s = seconds
        pipelines.patience_s = 0.92 * seconds
        if pipelines.watch is not None:
            pipelines.watch.cancel()
            pipelines.look()

    def hush(self) -> None:
        """Send no more signs of life: what a proxy does next is done to an answer."""
        self.store.fair_share.pause(1_000_000)

    async def aclose(self) -> None:
        """Close everything."""
        await self.store.aclose()


async def eventually(condition: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Wait, with the event loop at work, until a condition holds."""
    with Stopwatch() as watch:
        while not condition():
            if watch.s > patience_s:
                raise TimeoutError(f"waited {patience_s} s in vain: {what}")
            await turns()


async def turns(count: int = 3) -> None:
    """Let the event loop look at its sockets so many times, and rest in between."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        passed = loop.create_future()
        loop.call_later(0.001, passed.set_result, None)
        await passed


async def waits_ms(limiter: Live, count: int, ask: Callable[[int], Any] | None = None) -> Sequence[float]:
    """Return how long each of so many requests waited, one after another, by the loop's own clock."""
    loop = asyncio.get_running_loop()
    found = []
    for number in range(count):
        begun = loop.time()
        await (limiter.ask() if ask is None else ask(number))
        found.append((loop.time() - begun) * 1e3)
    return found


def plain(url: str) -> redis.asyncio.Redis:
    """Return a client of the test's own."""
    return redis.asyncio.Redis.from_url(url)


LiveLimiter = Callable[..., Live]


def patient(text: str, **more: Any) -> Live:
    """Return a limiter for which a pause of a busy machine is no outage, in which each counts alone."""
    limiter = Live(text, **more)
    limiter.wait_for_answers(60)
    return limiter
