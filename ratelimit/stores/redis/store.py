"""The store of many hosts: limits' state in a Redis or Valkey, decided there in one call.

It brings together the host's own table, the client that reaches the server, and a batch client
for each event loop. The table has keys, counters, and enforcement while the server is away. Nothing here
blocks: decisions are awaited, everything else is sent off and not waited for.

In one file, since it is the store's contract in its order; each method hands on to the part that does it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import secrets
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from redis.exceptions import RedisError, ResponseError

from ratelimit.algorithms import IN_WORDS, OF_SLOTS
from ratelimit.clock import Clock
from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.decision.engine import Outcome, Plan
from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.memory.host import owe, take_orphans
from ratelimit.core.memory.table import Table
from ratelimit.errors import StoreError
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.redis.decision.plan import RedisPlan
from ratelimit.stores.redis.decision.script import SCRIPTED
from ratelimit.stores.redis.decision.transfer import Transfer
from ratelimit.stores.redis.fallback.fair_share import FairShare
from ratelimit.stores.redis.fallback.local import LocalFallback
from ratelimit.stores.redis.leases import LeaseClient
from ratelimit.stores.redis.transport.client import BatchClient
from ratelimit.stores.redis.transport.cluster import ClusterClient
from ratelimit.stores.redis.transport.connect import resolve
from ratelimit.stores.redis.transport.dial import Dialer
from ratelimit.stores.redis.transport.metrics import MetricsSink, Uncounted

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

WORKER_BITS = 52
MOST_CARRIES = 10_000
LONGEST_BEAT_NS = 60_000_000_000
"""A worker that gave no sign of life for longer was stopped, and no request waited for the server."""


class RedisStore:
    """Limits kept by a server that many hosts share.

    Args:
        spec: how the server is reached, and how patiently.
        embedded: the host's own store; closed with this one.
        metrics: counts what happens on the way to the server.
        now_us: a clock to use instead of the server's, for tests.

    Raises:
        StoreError: the policy's URL or secrets cannot be had, or the client library is missing.
    """

    decides_here = False
    counts_alone = False
    algorithms = SCRIPTED

    def __init__(
        self,
        spec: RemoteSpec,
        embedded: EmbeddedStore,
        *,
        metrics: MetricsSink | None = None,
        now_us: Callable[[], int] | None = None,
    ) -> None:
        self.spec = resolve(spec)
        self.embedded = embedded
        self.table: Table = embedded.table
        self.hasher: Hasher = embedded.hasher
        self.clock: Clock = embedded.clock
        self.is_cluster = self.spec.topology == "cluster"
        self._nodes = list(self.spec.nodes)
        self.key_prefix = self.spec.prefix.encode() + b":"
        self.worker = secrets.randbits(WORKER_BITS)
        """Names this process to the server."""
        self.fair_share = FairShare(self)
        self.lease_client = LeaseClient(self) if self.spec.mode == "leased" else None
        """Leases, in leased mode."""
        self.local_fallback = LocalFallback(self)
        self.listener: Callable[[StoreError], None] | None = None
        """Receives each decision that the server could not make."""
        self.diagnose: Callable[[str], None] | None = None
        """Receives codes of events that the operator should hear of."""
        self.tally: MetricsSink = Uncounted() if metrics is None else metrics
        """Counts what happens on the way to the server."""
        self.units: dict[int, str] = {}
        """The units of rules, by their salts: see `name_unit`."""
        self._is_examined = False
        self._now_us = now_us
        self._batch_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, BatchClient] = (
            weakref.WeakKeyDictionary()
        )
        self._last: BatchClient | None = None
        self._carries: deque[Transfer] = deque()
        self._debts: deque[Transfer] = deque()
        self._is_carrying = False
        self._held: list[tuple[int, int, RedisPlan, Outcome, int]] = []
        self._numbers = itertools.count()
        self._is_closed = False
        self._beaten_ns = 0
        _STORES.add(self)

    # -- the contract ------------------------------------------------------------------------------

    @property
    def place(self) -> Path | None:
        """The file behind the host's shared memory; None when it is private."""
        return self.embedded.place

    def name_unit(self, salt: int, unit: str, /) -> None:
        """Take note of the unit that a rule counts."""
        self.units[salt] = unit

    def plan(
        self,
        rules: Sequence[Rule],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
        stances: Sequence[str] | None = None,
        /,
    ) -> RedisPlan:
        """Return what decides requests that these rules apply to."""
        core = Plan(self.table, rules, keys, members, cost_positions)
        return RedisPlan(self, core, ["local"] * len(rules) if stances is None else stances, cost_positions)

    def report_to(self, failed: Callable[[StoreError], None], diagnose: Callable[[str], None], /) -> None:
        """Report each decision that rules made here in the server's stead, and what deserves a word."""
        self.listener, self.diagnose = failed, diagnose

    @property
    def damage(self) -> str | None:
        """The damage of the host's shared memory that was left at the start; None without any."""
        return self.embedded.damage

    def renew(self) -> str | None:
        """Leave shared memory of the host that is damaged or gone; return what was wrong with it."""
        damage = self.embedded.renew()
        self.hasher = self.embedded.hasher
        return damage

    def heartbeat(self, now_ns: int) -> None:
        """Say to the host's other workers that this one lives, and whether it does without the server."""
        self.embedded.heartbeat(now_ns, is_away=self.is_away)
        orphans = take_orphans(self.table)
        if orphans:
            self.tally.forgot(orphans)
        elapsed_ns, self._beaten_ns = now_ns - self._beaten_ns, now_ns
        if self.is_away and 0 < elapsed_ns < LONGEST_BEAT_NS:
            self.tally.away(elapsed_ns)

    def close(self) -> None:
        """Let go of connections and memory; `aclose` waits until they are closed.

        What is on its way to the server may get lost, and is counted; leases lapse. Event loops
        that run take leave of it; where none does, this worker is missed for `GONE_AFTER_US`.
        """
        self._is_closed = True
        for loop, batch_client in list(self._batch_clients.items()):
            if not loop.is_closed():
                batch_client.close_soon()
        self._batch_clients.clear()
        self._forget_carries()
        self.tally.forgot(self.local_fallback.waiting)
        if not self.table.closed:
            owe(self.table, 0)
        self.embedded.close()
        _STORES.discard(self)

    async def aopen_connections(self) -> None:
        """Connect this event loop to the server; wait for a second at most, and never raise."""
        await self.batch_client().connected()

    async def aclose_connections(self) -> None:
        """Send what waits, take leave, close this loop's connections; the next decision opens others."""
        loop = asyncio.get_running_loop()
        batch_client = self._batch_clients.get(loop)
        if batch_client is None:
            return
        if self.lease_client is not None:
            await self.lease_client.give_back_all(batch_client)
        await batch_client.settled()
        if self._batch_clients.pop(loop, None) is None:
            return  # another thread was quicker
        if batch_client is self._last:
            self._last = None
        await batch_client.aclose_connections()

    async def _leave(self, batch_client: BatchClient) -> None:
        """Have the server miss this worker no longer, unless it lives on in another event loop."""
        if any(not other.is_closed for other in self._batch_clients.values()):
            return
        with suppress(RedisError, OSError, TimeoutError):
            # A server that hangs need not have been noticed yet.
            async with asyncio.timeout(self.spec.timeout_ns / 1e9):
                await self.fair_share.leave(batch_client)

    async def aclose(self) -> None:
        """Close this event loop's connections, then everything."""
        await self.aclose_connections()
        self.close()

    # -- the server --------------------------------------------------------------------------------

    def batch_client(self) -> BatchClient:
        """Return the running event loop's way to the server, begun with its first decision."""
        last = self._last
        loop = asyncio.get_running_loop()
        if last is not None and last.loop is loop and not last.is_closed:
            return last
        batch_client = self._batch_clients.get(loop)
        if batch_client is None or batch_client.is_closed:
            if self._is_closed:
                raise StoreError("the store is closed", code="redis-away")
            dialer = Dialer(self.spec)
            batch_client = BatchClient(
                dialer,
                worker=self.worker,
                timeout_s=self.spec.timeout_ns / 1e9,
                new_node_client=partial(self._cluster_client, dialer) if self.is_cluster else None,
                now_us=self._now_us,
                recover=self._recover,
                fair_share=self._beat,
                leave=self._leave,
                tally=self.tally,
            )
            self._batch_clients[loop] = batch_client
        self._last = batch_client
        return batch_client

    def _cluster_client(self, dialer: Dialer) -> ClusterClient:
        return ClusterClient(self._nodes, dialer.dial_node, self.key_prefix)

    @property
    def any_client(self) -> BatchClient | None:
        """The way to the server that was used last, or the running loop's; None where there is neither."""
        last = self._last
        if last is not None and not last.is_closed and not last.loop.is_closed():
            return last
        try:
            return self.batch_client()
        except (RuntimeError, StoreError):  # no loop runs here, or the store is closed
            return None

    @property
    def share(self) -> float:
        """This host's share of every limit while the server is away."""
        return self.fair_share.share

    @property
    def workers(self) -> int:
        """The number of workers that share the server, 0 as long as it is not known."""
        return self.fair_share.workers

    @property
    def leasing(self) -> LeaseClient | None:
        """Leases as plans use them."""
        return self.lease_client

    def decide_here(
        self,
        plan: RedisPlan,
        identities: Sequence[int],
        now_ns: int,
        costs: Sequence[int] | None,
        error: StoreError,
        *,
        commit: bool,
    ) -> Outcome:
        """Decide from this host's share, and tell the listener why the server could not.

        What is only looked at is no decision, and is not told.
        """
        if commit and self.listener is not None:
            self.listener(error)
        return self.local_fallback.decide(plan, identities, now_ns, costs, commit=commit)

    def decided(self, plan: RedisPlan, outcome: Outcome, *, has_slots: bool) -> None:
        """Keep up the slots that a decision of the server holds."""
        if has_slots and outcome.holds_slots:
            self.hold(plan, outcome)

    async def _recover(self, batch_client: BatchClient) -> None:
        self.fair_share.begin_anew()
        await self.fair_share.beat(batch_client)
        self.embedded.release_seats()  # of workers that ended meanwhile
        await self._examine(batch_client)
        # Last, and nothing is awaited after it: what is charged here meanwhile is handed over, too.
        await self.local_fallback.hand_over(batch_client)
        batch_client.soon(self._start_carrying)

    async def _examine(self, batch_client: BatchClient) -> None:
        """Look, once, whether the server would throw limits' state away for want of memory."""
        if self._is_examined or self.diagnose is None:
            return
        key = self.key_prefix + b"probe"  # never made; where this user may look
        try:
            told = await batch_client.evaluate(b"return redis.call('INFO', 'memory')", [key], [])
        except ResponseError:
            told = b""  # INFO is not for all users; limits do without it
        self._is_examined = True
        if not isinstance(told, bytes):
            return  # nor is it everywhere what it is in Redis
        numbers = dict(line.split(b":", 1) for line in told.split(b"\r\n") if b":" in line)
        if numbers.get(b"maxmemory", b"0") != b"0" and numbers.get(b"maxmemory_policy") != b"noeviction":
            self.diagnose("redis-evicts")

    @property
    def is_away(self) -> bool:
        """True if this worker does not ask the server."""
        return any(batch_client.breaker.is_open for batch_client in list(self._batch_clients.values()))

    @property
    def state(self) -> dict[str, float]:
        """This host's knowledge of the server: whether it is away, its workers, its hosts, the share."""
        return {
            "is_away": float(self.is_away),
            "workers": float(self.fair_share.workers),
            "hosts": float(self.fair_share.hosts),
            "share": self.share,
        }

    async def _beat(self, batch_client: BatchClient) -> None:
        self._renew()
        if self.lease_client is not None:
            self.lease_client.renew(batch_client)  # what a loop that ended left behind
            self.lease_client.give_back_idle(batch_client)
        self._start_carrying(batch_client)
        await self.fair_share.beat(batch_client)
        # By requests that were given up while others were answered; after an absence a probe sees to it.
        if self.local_fallback.is_used and not batch_client.breaker.is_open:
            await self.local_fallback.hand_over(batch_client)

    # -- charges that change -----------------------------------------------------------------------

    def correct(self, plan: RedisPlan, outcome: Outcome, index: int, delta: int) -> None:
        """Have a charge corrected: soon, without waiting, from any thread."""
        batch_client = self.any_client
        if batch_client is not None:
            batch_client.correct(plan, outcome, index, delta)
        else:
            self.tally.lost(1)

    def hold(self, plan: RedisPlan, outcome: Outcome) -> None:
        """Renew the slots that an outcome holds, until it releases them."""
        for index, rule in enumerate(plan.core.rules):
            if rule.algorithm in OF_SLOTS and outcome.state(index) == 1:
                due_ns = self.clock.now_ns() + rule.period_ns // 3
                heapq.heappush(self._held, (due_ns, next(self._numbers), plan, outcome, index))

    def _renew(self) -> None:
        now_ns = self.clock.now_ns()
        while self._held and self._held[0][0] <= now_ns:
            _, _, plan, outcome, index = heapq.heappop(self._held)
            if outcome.holds_slots:
                self.correct(plan, outcome, index, outcome.cost(index))
                due_ns = now_ns + plan.core.rules[index].period_ns // 3
                heapq.heappush(self._held, (due_ns, next(self._numbers), plan, outcome, index))

    def carry(self, carry: Transfer) -> None:
        """Charge what was used elsewhere: soon, one after another, from any thread.

        While the server is away this waits, and begins by itself when it is back.
        """
        # What clusters become matters more than what their members had before.
        queue = self._carries if carry.costs is None else self._debts
        if len(queue) >= MOST_CARRIES:
            self.tally.forgot(carry.weight)
            return
        queue.append(carry)
        batch_client = self.any_client
        if batch_client is not None:
            batch_client.soon(self._start_carrying)

    def _start_carrying(self, batch_client: BatchClient) -> None:
        if (self._carries or self._debts) and not self._is_carrying:
            self._is_carrying = True
            batch_client.start(self._carry_all(batch_client))

    async def _carry_all(self, batch_client: BatchClient) -> None:
        try:
            while queue := self._carries or self._debts:
                carry = queue[0]
                now_ns = self.clock.now_ns()
                amounts = await carry.amounts_of(batch_client, now_ns)
                if not queue:
                    return  # the store was closed, and counted it
                queue.popleft()  # what may have been charged is not charged again
                charges = list(carry.charges(amounts))
                asked = [batch_client.carry(carry.plan, *charge, now_ns) for charge in charges]
                answers = await asyncio.gather(*asked, return_exceptions=True)
                for (index, _, amount), answer in zip(charges, answers, strict=True):
                    if isinstance(answer, BaseException):
                        self.tally.forgot(1)
                    elif carry.plan.core.rules[index].algorithm in IN_WORDS:
                        # Behind the time it says how much it took: what is beyond the debt is forgiven.
                        carry.plan.core.forgive(index, max(0, amount - max(0, answer[1])))
        except StoreError:
            pass  # goes on with the next beat, or when the server is back
        finally:
            self._is_carrying = False

    def _forget_carries(self) -> None:
        for queue in (self._carries, self._debts):
            while queue:
                self.tally.forgot(queue.popleft().weight)

    # -- processes ---------------------------------------------------------------------------------

    def _after_fork(self) -> None:
        # Connections are the parent's; their slots, too. The child is another worker.
        self._batch_clients = weakref.WeakKeyDictionary()
        self._last = None
        self._carries.clear()
        self._debts.clear()
        self._held.clear()
        self._is_carrying = False
        self.worker = secrets.randbits(WORKER_BITS)
        self.fair_share = FairShare(self)
        if self.lease_client is not None:
            self.lease_client.leases.clear()
        self.local_fallback = LocalFallback(self)


_STORES: weakref.WeakSet[RedisStore] = weakref.WeakSet()


def _forget_after_fork() -> None:
    for store in list(_STORES):
        store._after_fork()


os.register_at_fork(after_in_child=_forget_after_fork)
