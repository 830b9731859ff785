"""The connections that batches go by, and how long an answer is waited for.

One batch at a time goes by a lane. A batch that waits is given to the lane that was used last,
so that requests that come one after another use one connection.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ratelimit.stores.redis.parcel import Batch, Correction
from ratelimit.stores.redis.tally import Tally
from ratelimit.stores.redis.unanswered import doubtful, slow, unanswered, uncharged
from ratelimit.stores.redis.wire import Answers, Wire

if TYPE_CHECKING:
    from ratelimit.errors import StoreError

LANES = 2
GRACE_TURNS = 4
"""Turns of the event loop that an answer takes from the socket to who waits for it."""
DECIDING_S = 0.002
"""A batch is given up so much earlier: the time it may take to decide all of it without the server."""
LATE_S = 0.002
GRACE_S = 0.004
"""Until how long after it a deadline that was noticed late is put off."""
CONNECT_S = 1.0
"""How long connecting may take; no request waits for it."""


class Lane:
    """A connection, and the batch it carries.

    Args:
        wire: the connection.
        arrived: called when a batch's answers are here, or why there are none; never once it is closed.
    """

    __slots__ = ("_arrived", "batch", "opening", "wire")

    def __init__(self, wire: Wire, arrived: Callable[[Lane, Batch, Answers], None]) -> None:
        self.wire = wire
        self.batch: Batch | None = None
        self.opening: asyncio.Task[None] | None = None
        self._arrived = arrived

    def answered(self, answers: Answers) -> None:
        """Take what the batch brought."""
        batch, self.batch = self.batch, None
        if batch is not None:
            self._arrived(self, batch, answers)

    def close(self) -> None:
        """Close the connection, or stop making it."""
        self.batch = None
        if self.opening is not None:
            self.opening.cancel()
        self.wire.close()


class Lanes:
    """Carries batches to the server and gives everybody what they bring.

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
        new_wire: Callable[[], Wire],
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        trip: Callable[[BaseException], None],
        *,
        are_many: bool,
        worker: int,
        timeout_s: float,
        now_us: Callable[[], int] | None,
        tally: Tally,
    ) -> None:
        self.round_trips = 0
        self.last_answer = -1.0
        """When the server was last heard of."""
        self._loop = asyncio.get_running_loop()
        self._new_wire = new_wire
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
        self._lanes: set[Lane] = set()
        self._idle: list[Lane] = []
        self._is_sparse = True
        """Whether what was answered last was asked alone."""
        self._is_sending_soon = False
        self._watch: asyncio.TimerHandle | None = None

    def batch(self) -> Batch:
        """Return the open batch. Whoever adds to it calls `soon` or `now`."""
        batch = self._open
        if batch is not None and not batch.is_full:
            return batch
        batch = self._open = Batch(self._loop.time())
        self._queue.append(batch)
        if self._watch is None:
            self._watch = self._loop.call_at(batch.begun + self._patience_s, self._look)
        if not self._idle and len(self._lanes) < LANES:
            self.new()
        return batch

    def unsent(self, tag: bytes, key: tuple[int, int]) -> Correction | None:
        """Return a correction that waits to be sent; None if it does not."""
        for batch in self._queue:
            parcel = batch.parcels.get(tag)
            if parcel is not None and key in parcel.corrections:
                return parcel.corrections[key]
        return None

    def soon(self) -> None:
        """Send what waits when the event loop has run what is ready: all of that shares the trip."""
        if self._idle and not self._is_sending_soon:
            self._is_sending_soon = True
            self._loop.call_soon(self._send)

    def now(self) -> None:
        """Send what waits, at once if nobody is likely to join: alone, a turn of the event loop is a loss."""
        if self._is_sparse and self._idle:
            self._send()
        else:
            self.soon()

    def new(self, wire: Wire | None = None) -> Lane:
        """Add a lane, with a connection that is open or with one that is made."""
        lane = Lane(self._new_wire() if wire is None else wire, self._arrived)
        self._lanes.add(lane)
        if lane.wire.is_open:
            self._idle.append(lane)
        else:
            lane.opening = self._start(self._connect(lane))
        return lane

    def drop(self, lane: Lane) -> None:
        """Close a lane's connection; the next batch gets another."""
        self._lanes.discard(lane)
        if lane in self._idle:
            self._idle.remove(lane)
        lane.close()

    def fail(self, fault: StoreError) -> None:
        """Tell all who wait that there is no answer, and close all lanes."""
        waiting = list(self._queue)
        self._queue.clear()
        self._open = None
        sent = [lane.batch for lane in self._lanes if lane.batch is not None]
        for lane in list(self._lanes):
            self.drop(lane)
        for batch in waiting:
            batch.fail(uncharged(fault))
        for batch in sent:
            batch.fail(doubtful(fault))

    async def _connect(self, lane: Lane) -> None:
        """Have a lane's connection made before it takes a batch, whose time is short."""
        fault: Exception | None = None
        try:
            async with asyncio.timeout(CONNECT_S):
                await lane.wire.open()
        except Exception as error:
            # Of any kind: those who wait would hear nothing of it.
            fault = error
        lane.opening = None
        if lane not in self._lanes:
            lane.wire.close()  # dropped in the meantime
        elif fault is None:
            self._idle.append(lane)
            self._send()
        else:
            self.drop(lane)
            if not self._lanes:
                self._trip(fault)

    def _send(self) -> None:
        """Give what waits to lanes that carry nothing."""
        self._is_sending_soon = False
        while self._queue and self._idle:
            lane = self._idle.pop()
            if not lane.wire.is_open:  # the server closed it, and not for anything that was asked
                self.drop(lane)
                continue
            batch = self._queue.popleft()
            if batch is self._open:
                self._open = None
            calls = batch.calls(self._worker, None if self._now_us is None else self._now_us())
            if not calls:  # who would have asked turned out to have no question
                batch.is_over = True
                self._idle.append(lane)
                continue
            lane.batch, batch.lane = batch, lane
            batch.sent = self._loop.time()
            self.round_trips += 1
            try:
                lane.wire.post(calls, lane.answered)
            except Exception as error:
                lane.answered([error] * len(calls))
        if self._queue and not self._idle and len(self._lanes) < LANES:
            self.new()

    def _arrived(self, lane: Lane, batch: Batch, answers: Answers) -> None:
        """Give everybody what a batch brought."""
        fault: BaseException | None = None
        size = 0
        for parcel, answer in zip(batch.parcels.values(), answers, strict=True):
            try:
                if isinstance(answer, BaseException):
                    raise answer
                size += parcel.deliver(answer)
            except Exception as error:
                # Of any kind: those who wait would hear nothing of it.
                fault = error
                parcel.fail(unanswered(error))
        batch.is_over = True
        if fault is not None:
            self.drop(lane)
            self._trip(fault)
            return
        self.last_answer = self._loop.time()
        self._is_sparse = size == 1
        self._tally.answered(size, int((self.last_answer - batch.sent) * 1e9))
        self._idle.append(lane)
        if self._queue:
            self._send()

    # -- deadlines ---------------------------------------------------------------------------------

    def _look(self) -> None:
        """Give up on batches whose time is over, and look again when the next one's is."""
        self._watch = None
        now, following = self._loop.time(), math.inf
        under_way = [lane.batch for lane in self._lanes if lane.batch is not None]
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
        if batch.lane is None:
            self._queue.remove(batch)
            batch.fail(uncharged(slow(self._timeout_s)))
        else:
            batch.fail(slow(self._timeout_s))
            self.drop(batch.lane)
            if self._queue and not self._lanes:
                self.new()
        # A cluster's other masters may go on answering: who asks the lost one must not wait each time.
        if self.last_answer < batch.begun or (self._are_many and batch.lane is not None):
            self._trip(slow(self._timeout_s))

    def close(self, fault: StoreError) -> None:
        """Tell all who wait, close all lanes, and look at no deadline any more."""
        self.fail(fault)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
