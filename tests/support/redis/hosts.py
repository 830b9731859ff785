"""Hosts and their workers in virtual time, before a server that is made up and fails on command.

The stores are the product's own, with their hosts' shared memory. Only the way to the server is played.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from ratelimit import Policy
from ratelimit.clock import ManualClock
from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.decision.engine import Outcome
from ratelimit.core.decision.use import add_use
from ratelimit.errors import StoreError
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.redis.decision.plan import RedisPlan
from ratelimit.stores.redis.fallback.fair_share import GONE_AFTER_US
from ratelimit.stores.redis.store import RedisStore
from ratelimit.stores.redis.transport.breaker import Breaker
from ratelimit.stores.redis.transport.errors import NothingCharged
from ratelimit.stores.redis.transport.pending import PendingWork
from ratelimit.telemetry.counters import RemoteCounters
from tests.support.redis.live import KEY, rules

NS = 1_000_000_000
START_NS = 1_800_000_000 * NS


class MadeUpServer:
    """A server with one limit for each account, in memory."""

    def __init__(self, clock: ManualClock, rule: Rule) -> None:
        self._clock = clock
        self._rule = rule
        self.is_lost: Callable[[int], bool] = lambda host: False
        """Whether a host's questions do not arrive."""
        self.is_full = False
        """Whether it can write nothing."""
        self.is_slow: Callable[[], bool] = lambda: False
        """Whether answers come too late, although what was asked is done."""
        self.forget()

    def forget(self) -> None:
        """Lose everything, as a replica that had heard of nothing."""
        store = EmbeddedStore.private(keys=20_000, key=KEY, clock=self._clock)
        self.plan = store.plan([self._rule], [[0]])
        self.signs: dict[str, tuple[int, str]] = {}

    def charge(self, account: int, units: int) -> None:
        """Charge what was used elsewhere, without asking."""
        row, now_ns = [account, -1], self._clock.now_ns()
        if self._rule.algorithm != "sliding-log":
            add_use(self.plan, 0, row, units, now_ns)
        else:
            for _ in range(units):
                self.plan.decide(row, now_ns)

    def left(self, account: int) -> int:
        return self.plan.peek([account, -1], self._clock.now_ns()).remaining(0)


class Way:
    """One worker's way to it: what `BatchClient` is to a store."""

    def __init__(self, server: MadeUpServer, host: int, accounts: dict[int, int]) -> None:
        self.loop = asyncio.get_running_loop()
        self.breaker = Breaker(lambda: 1.0)
        self.pending = PendingWork()
        self.is_closed = False
        self._server = server
        self._host = host
        self._accounts = accounts
        self._tasks: set[asyncio.Task[None]] = set()
        self.breaker.close_circuit()

    def _fail(self, *, is_slow: bool = False) -> StoreError:
        self.breaker.trip()
        return (StoreError if is_slow else NothingCharged)("away", code="redis-away", transient=True)

    async def ask(
        self, plan: RedisPlan, identities: Sequence[int], costs: Any, now_ns: int, *, commit: bool
    ) -> Outcome:
        server = self._server
        self._accounts[plan.core.key(0, identities)] = identities[0]
        if self.breaker.is_open or server.is_lost(self._host) or server.is_full:
            raise self._fail()
        outcome = (server.plan.decide if commit else server.plan.peek)([identities[0], -1], now_ns)
        if server.is_slow():
            raise self._fail(is_slow=True)
        return outcome

    def carry(
        self, plan: RedisPlan, index: int, key: int, used: int, now_ns: int
    ) -> asyncio.Future[list[int]]:
        answer: asyncio.Future[list[int]] = self.loop.create_future()
        if self._server.is_lost(self._host) or self._server.is_full:
            answer.set_exception(self._fail())
        else:
            self._server.charge(self._accounts[key], used)
            answer.set_result([0, used])
        return answer

    async def evaluate(self, script: bytes, keys: Sequence[bytes], arguments: Sequence[str]) -> Any:
        server = self._server
        if server.is_lost(self._host) or server.is_full or server.is_slow():
            raise OSError("away")
        now_us = server._clock.now_ns() // 1000
        server.signs = {
            worker: sign for worker, sign in server.signs.items() if now_us - sign[0] <= GONE_AFTER_US
        }
        server.signs[arguments[0]] = (now_us, arguments[1])
        return [len(server.signs), len({host for _, host in server.signs.values()}), 0]

    def soon(self, call: Callable[[Any], None]) -> None:
        self.loop.call_soon(call, self)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class HostWorker(RedisStore):
    """One worker of a host."""

    def __init__(self, place: Path, clock: ManualClock, rule: Rule, server: MadeUpServer, host: int) -> None:
        spec = Policy.from_toml(
            rules("redis://127.0.0.1:1/0", 'per = "account"\nrate = "1/second"')
        ).compiled.remote
        assert spec is not None
        embedded = EmbeddedStore.shared(str(place), path=place, keys=20_000, key=KEY, clock=clock)
        super().__init__(spec, embedded, metrics=RemoteCounters(embedded.table))
        self._accounts: dict[int, int] = {}
        self.way: Any = Way(server, host, self._accounts)
        self.limits = self.plan([rule], [[0]])

    def batch_client(self) -> Any:
        return self.way

    async def admits(self, account: int) -> bool:
        """Decide one request of an account."""
        return (await self.limits.adecide([account], self.clock.now_ns())).allowed

    async def live_on(self) -> None:
        """Do what is due every second: a sign of life, or a try whether the server is back."""
        try:
            if self.way.breaker.is_open:
                await self._recover(self.way)
                self.way.breaker.close_circuit()
            else:
                await self._beat(self.way)
        except (StoreError, OSError):
            pass


class Hosts:
    """Hosts of two workers each."""

    WORKERS = 2

    def __init__(self, folder: Path, count: int, rule: Rule) -> None:
        self.clock = ManualClock(START_NS)
        self.server = MadeUpServer(self.clock, rule)
        self._folder, self._rule = folder, rule
        self.workers = [self.worker(host) for host in range(count) for _ in range(self.WORKERS)]
        self.count = count

    def worker(self, host: int) -> HostWorker:
        """Return one more worker of a host."""
        return HostWorker(self._folder / f"table{host}", self.clock, self._rule, self.server, host)

    async def pass_seconds(self, seconds: float = 1.0) -> None:
        """Let time pass, and each worker do what is due."""
        self.clock.set_ns(self.clock.now_ns() + round(seconds * NS))
        for worker in self.workers:
            await worker.live_on()
        await asyncio.sleep(0)

    def close(self) -> None:
        for worker in self.workers:
            worker._batch_clients.clear()
            worker.close()
