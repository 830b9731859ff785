"""The client of one event loop: takes its questions to the server and brings the answers.

Theory of operation. A question goes into the open batch, and the batch to a connection (a pipeline)
that carries none: as one call. Its answer is waited for before the next. Where decisions come one at
a time that is at once. Where more were asked together of late, it is when the event loop has run all
tasks that are ready. Two pipelines keep client and server at work at once. So one request alone
waits for nothing, and the more are under way the more share a trip.

A batch has a deadline from when it was opened, however far it got. What was not answered by
then fails, and the pipeline's connection is closed. If nothing else was answered since the batch
was sent, or it went to a cluster, the server is unwell. The breaker opens, and all that waits fails.
A probe then tries the server until it answers; first of all, what was charged here is handed over.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from ratelimit.stores.redis.decision.scatter import ask_scattered, give_back
from ratelimit.stores.redis.transport.batch import Correction, Part, Question, SlotBatch
from ratelimit.stores.redis.transport.breaker import Breaker
from ratelimit.stores.redis.transport.dial import Dialer
from ratelimit.stores.redis.transport.errors import anew, away, slow, unanswered
from ratelimit.stores.redis.transport.metrics import MetricsSink, Uncounted
from ratelimit.stores.redis.transport.node import NodeClient, ServerClient
from ratelimit.stores.redis.transport.pending import PendingWork
from ratelimit.stores.redis.transport.pipelines import CONNECT_S, Pipelines

if TYPE_CHECKING:
    from ratelimit.core.decision.engine import Outcome
    from ratelimit.stores.redis.protocols import Planned

MOST_HELD_BACK = 10_000
"""Corrections that wait for the server to come back; further ones are counted as lost."""
BEAT_S = 1.0
_CHECKS = 3
"""Further answers that a probe waits for, until one comes in time."""


class BatchClient:
    """One event loop's way to the server.

    Args:
        dialer: makes connections with the server; closed with the batch client.
        worker: the process's number.
        timeout_s: how long a decision waits for the server.
        new_node_client: makes, instead, what reaches the servers of a cluster, where keys live in
            different slots.
        now_us: a clock to use instead of the server's, for tests.
        recover: awaited when the server is back, before it is asked anything else.
        fair_share: awaited each second while the server is well.
        leave: awaited last of all, if the server is well.
        tally: told what happens.
    """

    def __init__(
        self,
        dialer: Dialer,
        *,
        worker: int,
        timeout_s: float,
        new_node_client: Callable[[], NodeClient] | None = None,
        now_us: Callable[[], int] | None = None,
        recover: Callable[[BatchClient], Awaitable[None]] | None = None,
        fair_share: Callable[[BatchClient], Awaitable[None]] | None = None,
        leave: Callable[[BatchClient], Awaitable[None]] | None = None,
        tally: MetricsSink | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_cluster = new_node_client is not None
        self._new_node_client = new_node_client or (lambda: ServerClient(dialer.dial))
        self._aside = self._new_node_client()
        self._aside_lock = asyncio.Lock()
        self.breaker = Breaker(random.random)
        self.fault = away("the server did not accept a connection in time; it is tried again")
        """The reason why the breaker is open, if it is."""
        self.pending = PendingWork()
        self._thread = threading.get_ident()
        self._dialer = dialer
        self._worker = worker
        self._timeout_s = timeout_s
        self._recover = recover
        self._fair_share = fair_share
        self._leave = leave
        self._tally = tally or Uncounted()
        self._pipelines = Pipelines(
            self._new_node_client,
            self.start,
            self._trip,
            self.breaker,
            are_many=self.is_cluster,
            worker=worker,
            timeout_s=timeout_s,
            now_us=now_us,
            tally=self._tally,
        )
        self.begin = self._pipelines.begin
        """Asks for a decision of what compiled code has read; returns None where `ask` has to."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._held_back: deque[Correction] = deque(maxlen=MOST_HELD_BACK)
        self._first_probe: asyncio.Future[None] = self.loop.create_future()
        self._beating: asyncio.Task[None] | None = None
        self.is_closed = False
        """True if nothing is asked here any more."""
        self._closing: asyncio.Task[None] | None = None
        # The first of all tasks, so that it had its turn before there is anything to close.
        self._keeper = self.loop.create_task(self._keep())
        self.start(self._probe(at_once=True))

    @property
    def round_trips(self) -> int:
        """The number of questions to the server."""
        return self._pipelines.round_trips

    # -- asking ------------------------------------------------------------------------------------

    async def ask(
        self, plan: Planned, identities: Sequence[int], costs: Any, now_ns: int, *, commit: bool
    ) -> Outcome:
        """Return the server's decision.

        Raises:
            StoreError: there is none (codes `redis-away`, `redis-slow`, `redis-answer`).
        """
        if self.breaker.is_open:
            await self._wait_for_first()
        if self.is_cluster:
            return await ask_scattered(self, plan, identities, costs, now_ns, commit=commit)
        slot_batch = self._pipelines.batch().slot_batch()
        size = len(slot_batch.items)
        try:
            outcome = plan.rules.ask(
                identities, costs, commit, slot_batch.base_of(plan), slot_batch.keys, slot_batch.items, plan
            )
            if not slot_batch.items[size + 1]:  # there is no identity that these limits could count for
                del slot_batch.items[-2:]
                plan.rules.answer(outcome, [], 0, now_ns // 1000, commit)
                return outcome
            future = self.loop.create_future()
            slot_batch.entries.append(Question(plan, outcome, commit, future))
            if commit:
                plan.asked(self, outcome, now_ns)
        finally:
            self._pipelines.now()
        try:
            await future
        except asyncio.CancelledError:
            if commit and future.done() and not future.cancelled() and not future.exception():
                give_back(outcome)  # the answer came, and its task went in the same moment
            raise
        return outcome

    def correct(self, plan: Planned, outcome: Outcome, index: int, delta: int) -> None:
        """Have a charge corrected; from any thread, and without waiting."""
        correction = Correction(plan, outcome, index, delta)
        if threading.get_ident() == self._thread:
            self._correct(correction)
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._correct, correction)
        else:
            self._tally.lost(1)

    def _correct(self, correction: Correction) -> None:
        if self.breaker.is_open:
            if len(self._held_back) == self._held_back.maxlen:
                self._tally.lost(1)
            self._held_back.append(correction)
            return
        plan, outcome, index = correction.plan, correction.outcome, correction.index
        key = plan.rules.key(index, outcome.key(index))
        if index in plan.counting and not plan.rules.owes(outcome, index):
            # Nothing; or one is on its way. That is amended, or if it was sent is answered before the next.
            before = self._pipelines.unsent(self._tag_of(key), correction.key)
            if before is not None:
                before.amend()
            return
        correction.put(self.open_batch(key))
        correction.begin(self.pending)

    def carry(
        self, plan: Planned, index: int, key: int, used: int, now_ns: int, token: int = 0
    ) -> asyncio.Future[list[int]]:
        """Charge what was used elsewhere to a counter, without asking: before whatever is asked after this.

        A payment into a lifetime has a token, by which it is done once.

        Returns:
            What is done when it was charged, or fails with a `StoreError`.
        """
        slot_batch = self.open_batch(plan.rules.key(index, key))
        plan.rules.carried(
            index, key, used, now_ns, slot_batch.base_of(plan), slot_batch.keys, slot_batch.items, token
        )
        future: asyncio.Future[list[int]] = self.loop.create_future()
        slot_batch.entries.append(Part(plan.rules.answer_size(index), future))
        return future

    def soon(self, call: Callable[[BatchClient], None]) -> None:
        """Call something with this batch client, in its event loop if that lives; from any thread."""
        if self.loop.is_closed():
            return
        if threading.get_ident() == self._thread:
            self.loop.call_soon(call, self)
        else:
            self.loop.call_soon_threadsafe(call, self)

    def open_batch(self, key: bytes) -> SlotBatch:
        """Return the open slot batch for a key; it is sent soon."""
        self._pipelines.soon()
        return self._pipelines.batch().slot_batch(self._tag_of(key))

    def _tag_of(self, key: bytes) -> bytes:
        """Return what a key's slot follows from; without a cluster all are in one."""
        return key[key.index(b"{") + 1 : key.index(b"}")] if self.is_cluster else b""

    def _trip(self, error: BaseException) -> None:
        """Open the breaker: all that waits fails now, and a probe looks for the server."""
        fault = self.fault = unanswered(error)
        if not self.breaker.trip():
            return
        self._tally.tripped()
        self._pipelines.fail(fault)
        self.start(self._probe())

    # -- health ------------------------------------------------------------------------------------

    async def connected(self) -> None:
        """Wait for the first connection, or for what came of it, as long as connecting may take."""
        if self._is_first:
            await asyncio.wait([self._first_probe], timeout=CONNECT_S)

    async def _wait_for_first(self) -> None:
        """Wait for the first connection, as long as for an answer; raise if the server is gone."""
        if self._is_first:
            await asyncio.wait([self._first_probe], timeout=self._timeout_s)
        if self.breaker.is_open:
            raise anew(self.fault)

    async def _probe(self, *, at_once: bool = False) -> None:
        """Try the server until it answers."""
        while not self.is_closed:
            if not at_once:
                await asyncio.sleep(self.breaker.pause_s())
            at_once = False
            try:
                await self._try()
            except Exception as error:
                # Whatever it was: the probe has to go on.
                self.fault = unanswered(error)
                self._first_is_over()
            else:
                return

    async def _try(self) -> None:
        """Ask the server for nothing, hand over what was charged here, and close the breaker."""
        node_client = self._new_node_client()
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._check(node_client)
        except BaseException:
            node_client.close_connections()
            raise
        self._pipelines.last_answer = self.loop.time()
        pipeline = self._pipelines.new(node_client)
        try:
            if self._recover is not None:
                await self._recover(self)
        except BaseException:
            self._pipelines.drop(pipeline)
            raise
        self.breaker.close_circuit()
        held_back = list(self._held_back)
        self._held_back.clear()
        for correction in held_back:
            self._correct(correction)
        self._first_is_over()
        if self._fair_share is not None and self._beating is None:
            self._beating = self.start(self._beat())

    async def _check(self, node_client: NodeClient) -> None:
        """See that the server answers, and in the time that a decision has.

        One that is too slow for decisions would be asked, and given up, again and again. Each time some
        requests would wait in vain, and be charged there and here. The first answer may have taken its time:
        there was a connection to make and a script to load. A later one is late by this process' own
        doing at times, so that one in time is enough.
        """
        for _ in range(1 + _CHECKS):
            begun = self.loop.time()
            await node_client.check(SlotBatch().call(self._worker, None))
            if self.loop.time() - begun < self._timeout_s:
                return
        raise slow(self._timeout_s)

    @property
    def _is_first(self) -> bool:
        return not self._first_probe.done()

    def _first_is_over(self) -> None:
        if self._is_first:
            self._first_probe.set_result(None)

    async def _beat(self) -> None:
        trips = -1
        while not self.is_closed and self._fair_share is not None:
            if not self.breaker.is_open:
                try:
                    async with asyncio.timeout(CONNECT_S):
                        await self._fair_share(self)
                except Exception:
                    pass  # of any kind: slots have to be renewed with the next; a request will notice as well
            if self.breaker.trips == trips:
                self.breaker.hold()
            trips = -1 if self.breaker.is_open else self.breaker.trips
            await asyncio.sleep(BEAT_S)

    async def settled(self) -> None:
        """Wait for what no task waits for: corrections and leases that are on their way."""
        await self.pending.over(self._timeout_s + CONNECT_S)

    async def evaluate(self, script: bytes, keys: Sequence[bytes], arguments: Sequence[str]) -> Any:
        """Return what another script says.

        Raises:
            redis.exceptions.RedisError, OSError, TimeoutError: the server cannot be asked.
        """
        async with self._aside_lock, asyncio.timeout(CONNECT_S):
            return await self._aside.evaluate(script, keys, [text.encode() for text in arguments])

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let something run until it ends or the batch client is closed."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close_soon(self) -> None:
        """Close without waiting, from any thread; what waits in this one fails at once."""
        if threading.get_ident() == self._thread:
            self._end()
        self.loop.call_soon_threadsafe(self._start_closing)

    def _start_closing(self) -> None:
        self._closing = self.loop.create_task(self.aclose_connections())

    async def aclose_connections(self) -> None:
        """End all that is under way; what waits fails."""
        self._end()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self) -> None:
        """Leave when this is cancelled: by `close`, or by a loop that ends without a word."""
        try:
            await self.loop.create_future()
        finally:
            self._end()  # what was opened since, too
            try:
                if self._leave is not None:
                    await self._leave(self)
            finally:
                self._aside.close_connections()
                await asyncio.sleep(0)  # in which what is closed is let go of
                await self._dialer.aclose_connections()

    def _end(self) -> None:
        if self.breaker.is_open and not self.is_closed:
            self._leave = None  # there is no server to say it to
        self.is_closed = True
        self.breaker.is_open = True
        self.fault = away("the store was closed")
        self._pipelines.close_pipelines(self.fault)
        self._tally.lost(len(self._held_back))
        self._held_back = deque(maxlen=0)  # nothing more is
