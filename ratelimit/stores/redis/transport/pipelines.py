"""The connections that batches go by, and how long an answer is waited for.

One batch at a time goes by a pipeline. A batch that waits is given to the pipeline that was used last,
so that requests that come one after another use one connection.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ratelimit.stores.redis.transport.batch import Batch, Correction
from ratelimit.stores.redis.transport.errors import doubtful, slow, unanswered, uncharged
from ratelimit.stores.redis.transport.metrics import MetricsSink
from ratelimit.stores.redis.transport.node import Answers, NodeClient

if TYPE_CHECKING:
    from ratelimit.errors import StoreError

PIPELINES = 2
GRACE_TURNS = 4
"""Turns of the event loop that an answer takes from the socket to the task that waits for it."""
DECIDING_S = 0.002
"""A batch is given up so much earlier: the time it may take to decide all of it without the server."""
LATE_S = 0.002
GRACE_S = 0.004
"""Until how long after it a deadline that was noticed late is put off."""
CONNECT_S = 1.0
"""The time that connecting may take; no request waits for it."""


class Pipeline:
    """A connection, and the batch it carries.

    Args:
        node_client: the connection.
        arrived: called when a batch's answers are here, or why there are none; never once it is closed.
    """

    __slots__ = ("_arrived", "batch", "node_client", "opening")

    def __init__(self, node_client: NodeClient, arrived: Callable[[Pipeline, Batch, Answers], None]) -> None:
        self.node_client = node_client
        self.batch: Batch | None = None
        self.opening: asyncio.Task[None] | None = None
        self._arrived = arrived

    def answered(self, answers: Answers) -> None:
        """Take what the batch brought."""
        batch, self.batch = self.batch, None
        if batch is not None:
            self._arrived(self, batch, answers)

    def close_pipeline(self) -> None:
        """Close the connection, or stop making it."""
        self.batch = None
        if self.opening is not None:
            self.opening.cancel()
        self.node_client.close_connections()


class Pipelines:
    """Carries batches to the server and gives all tasks what they bring.

    Args:
        new_wire: makes a connection.
        start: lets something run until it ends or all is closed.
        trip: called when the server turns out to be unwell.
        are_many: whether there are several, of which one may be lost while others answer.
        worker: the process's number.
        timeout_s: how long a batch may take, from when it was opened.
        now_us: a clock to use instead of the server's, for tests.
        tally: told what happens.
    """

    def __init__(
        self,
        new_node_client: Callable[[], NodeClient],
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        trip: Callable[[BaseException], None],
        *,
        are_many: bool,
        worker: int,
        timeout_s: float,
        now_us: Callable[[], int] | None,
        tally: MetricsSink,
    ) -> None:
        self.round_trips = 0
        self.last_answer = -1.0
        """The time when the server was last heard of."""
        self._loop = asyncio.get_running_loop()
        self._new_node_client = new_node_client
        self._start = start
        self._trip = trip
        self._are_many = are_many
        self._worker = worker
        self._timeout_s = timeout_s
        self._patience_s = timeout_s - min(DECIDING_S, timeout_s / 10)
        self._now_us = now_us
        self._tally = tally
        self._open: Batch | None = None
        self._queue: deque[Batch] = deque()
        self._pipelines: set[Pipeline] = set()
        self._idle: list[Pipeline] = []
        self._is_sparse = True
        """True if what was answered last was asked alone."""
        self._is_sending_soon = False
        self._watch: asyncio.TimerHandle | None = None

    def batch(self) -> Batch:
        """Return the open batch. A caller that adds to it calls `soon` or `now`."""
        batch = self._open
        if batch is not None and not batch.is_full:
            return batch
        batch = self._open = Batch(self._loop.time())
        self._queue.append(batch)
        if self._watch is None:
            self._watch = self._loop.call_at(batch.begun + self._patience_s, self._look)
        if not self._idle and len(self._pipelines) < PIPELINES:
            self.new()
        return batch

    def unsent(self, tag: bytes, key: tuple[int, int]) -> Correction | None:
        """Return a correction that waits to be sent; None if it does not."""
        for batch in self._queue:
            slot_batch = batch.slot_batches.get(tag)
            if slot_batch is not None and key in slot_batch.corrections:
                found: Correction = slot_batch.corrections[key]
                return found
        return None

    def soon(self) -> None:
        """Send what waits when the event loop has run what is ready: all of that shares the trip."""
        if self._idle and not self._is_sending_soon:
            self._is_sending_soon = True
            self._loop.call_soon(self._send)

    def now(self) -> None:
        """Send what waits, at once if no other is likely to join: alone, a turn of the loop is a loss."""
        if self._is_sparse and self._idle:
            self._send()
        else:
            self.soon()

    def new(self, node_client: NodeClient | None = None) -> Pipeline:
        """Add a pipeline, with a connection that is open or with one that is made."""
        pipeline = Pipeline(self._new_node_client() if node_client is None else node_client, self._arrived)
        self._pipelines.add(pipeline)
        if pipeline.node_client.is_open:
            self._idle.append(pipeline)
        else:
            pipeline.opening = self._start(self._connect(pipeline))
        return pipeline

    def drop(self, pipeline: Pipeline) -> None:
        """Close a pipeline's connection; the next batch gets another."""
        self._pipelines.discard(pipeline)
        if pipeline in self._idle:
            self._idle.remove(pipeline)
        pipeline.close_pipeline()

    def fail(self, fault: StoreError) -> None:
        """Tell all waiting tasks that there is no answer, and close all pipelines."""
        waiting = list(self._queue)
        self._queue.clear()
        self._open = None
        sent = [pipeline.batch for pipeline in self._pipelines if pipeline.batch is not None]
        for pipeline in list(self._pipelines):
            self.drop(pipeline)
        for batch in waiting:
            batch.fail(uncharged(fault))
        for batch in sent:
            batch.fail(doubtful(fault))

    async def _connect(self, pipeline: Pipeline) -> None:
        """Have a pipeline's connection made before it takes a batch, as its time is short."""
        fault: Exception | None = None
        try:
            async with asyncio.timeout(CONNECT_S):
                await pipeline.node_client.open_connections()
        except Exception as error:
            # Of any kind: waiting tasks would hear nothing of it.
            fault = error
        pipeline.opening = None
        if pipeline not in self._pipelines:
            pipeline.node_client.close_connections()  # dropped in the meantime
        elif fault is None:
            self._idle.append(pipeline)
            self._send()
        else:
            self.drop(pipeline)
            if not self._pipelines:
                self._trip(fault)

    def _send(self) -> None:
        """Give what waits to pipelines that carry nothing."""
        self._is_sending_soon = False
        while self._queue and self._idle:
            pipeline = self._idle.pop()
            if not pipeline.node_client.is_open:  # the server closed it, and not for anything that was asked
                self.drop(pipeline)
                continue
            batch = self._queue.popleft()
            if batch is self._open:
                self._open = None
            calls = batch.calls(self._worker, None if self._now_us is None else self._now_us())
            if not calls:  # the caller turned out to have no question
                batch.is_over = True
                self._idle.append(pipeline)
                continue
            pipeline.batch, batch.pipeline = batch, pipeline
            batch.sent = self._loop.time()
            self.round_trips += 1
            try:
                pipeline.node_client.post(calls, pipeline.answered)
            except Exception as error:
                pipeline.answered([error] * len(calls))
        if self._queue and not self._idle and len(self._pipelines) < PIPELINES:
            self.new()

    def _arrived(self, pipeline: Pipeline, batch: Batch, answers: Answers) -> None:
        """Give all tasks what a batch brought."""
        fault: BaseException | None = None
        size = 0
        for slot_batch, answer in zip(batch.slot_batches.values(), answers, strict=True):
            try:
                if isinstance(answer, BaseException):
                    raise answer
                size += slot_batch.deliver(answer)
            except Exception as error:
                # Of any kind: waiting tasks would hear nothing of it.
                fault = error
                slot_batch.fail(unanswered(error))
        batch.is_over = True
        if fault is not None:
            self.drop(pipeline)
            self._trip(fault)
            return
        self.last_answer = self._loop.time()
        self._is_sparse = size == 1
        self._tally.answered(size, int((self.last_answer - batch.sent) * 1e9))
        self._idle.append(pipeline)
        if self._queue:
            self._send()

    # -- deadlines ---------------------------------------------------------------------------------

    def _look(self) -> None:
        """Give up on batches with their time over, and look again when the next one's is."""
        self._watch = None
        now, following = self._loop.time(), math.inf
        under_way = [pipeline.batch for pipeline in self._pipelines if pipeline.batch is not None]
        for batch in [*under_way, *self._queue]:
            if batch.is_overdue:
                continue
            deadline = batch.begun + self._patience_s
            if deadline <= now:
                batch.is_overdue = True
                self._expire(batch)
            else:
                following = min(following, deadline)
        if following < math.inf:
            self._watch = self._loop.call_at(following, self._look)

    def _expire(self, batch: Batch, grace: int = GRACE_TURNS) -> None:
        """Give up on a batch that took too long, unless its answer is here and only waits for its turn."""
        if batch.is_over:
            return
        if grace:
            deadline = batch.begun + self._patience_s
            if grace == GRACE_TURNS and self._loop.time() > deadline + LATE_S:
                # It was this process that did not run: the server's answer may be under way.
                self._loop.call_at(deadline + GRACE_S, self._expire, batch, grace - 1)
            else:
                self._loop.call_soon(self._expire, batch, grace - 1)
            return
        if batch is self._open:
            self._open = None
        if batch.pipeline is None:
            self._queue.remove(batch)
            batch.fail(uncharged(slow(self._timeout_s)))
        else:
            batch.fail(slow(self._timeout_s))
            self.drop(batch.pipeline)
            if self._queue and not self._pipelines:
                self.new()
        # A cluster's other masters may go on answering: a request to the lost one must not wait each time.
        if self.last_answer < batch.begun or (self._are_many and batch.pipeline is not None):
            self._trip(slow(self._timeout_s))

    def close_pipelines(self, fault: StoreError) -> None:
        """Tell all waiting tasks, close all pipelines, and look at no deadline any more."""
        self.fail(fault)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
