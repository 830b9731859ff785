"""The connections that batches go by, and how long an answer is waited for: see the stub for the contract."""

cimport cython

from ratelimit.core.redis.batch cimport Batch, SlotBatch

import asyncio
import time
from collections import deque

from ratelimit.stores.redis.transport.batch import Question
from ratelimit.stores.redis.transport.errors import doubtful, slow, unanswered, uncharged

cdef enum:
    MOST_PIPELINES = 2
    GRACE_TURNS = 4     # turns of the event loop that an answer takes from the socket to the task that waits for it

PIPELINES = MOST_PIPELINES
CONNECT_S = 1.0
cdef double DECIDING_S = 0.002  # a batch is given up so much earlier: all of it may have to be decided without the server
cdef double LATE_S = 0.002
cdef double GRACE_S = 0.004     # until how long after it a deadline that was noticed late is put off
cdef bytes NO_SLOT = b""


@cython.final
@cython.auto_pickle(False)
cdef class Pipeline:
    cdef readonly object node_client
    cdef Pipelines owner
    cdef Batch batch
    cdef object opening

    def __cinit__(self, node_client, Pipelines owner not None):
        self.node_client, self.owner = node_client, owner

    def answered(self, answers, /):
        cdef Batch batch = self.batch
        self.batch = None
        if batch is not None:
            self.owner.arrived(self, batch, answers)

    cdef int close_pipeline(self) except -1:
        self.batch = None
        if self.opening is not None:
            self.opening.cancel()
        self.node_client.close_connections()
        return 0

    def __reduce__(self):
        raise TypeError("a connection is not pickled")


@cython.final
@cython.auto_pickle(False)
cdef class Pipelines:
    cdef readonly long round_trips
    cdef public double last_answer
    cdef public double timeout_s
    cdef public double patience_s
    cdef readonly object watch          # the timer of the next deadline
    cdef object loop
    cdef object time                    # the loop's clock; None: `time.monotonic`, as asyncio's own loops have it
    cdef object new_node_client
    cdef object start
    cdef object trip
    cdef object breaker
    cdef bint are_many
    cdef object worker
    cdef object now_us
    cdef object tell_answered
    cdef Batch open
    cdef object queue
    cdef set pipelines
    cdef list idle
    cdef bint is_sparse                 # what was answered last was asked alone
    cdef bint is_sending_soon

    def __cinit__(
        self, new_node_client, start, trip, breaker, *, bint are_many, worker, double timeout_s, now_us, tally
    ):
        self.loop = asyncio.get_running_loop()
        if getattr(self.loop.time, "__func__", None) is not asyncio.BaseEventLoop.time:
            self.time = self.loop.time
        self.new_node_client, self.start = new_node_client, start
        self.trip, self.breaker = trip, breaker
        self.are_many, self.worker, self.now_us, self.tell_answered = are_many, worker, now_us, tally.answered
        self.timeout_s = timeout_s
        self.patience_s = timeout_s - min(DECIDING_S, timeout_s / 10)
        self.last_answer = -1.0
        self.queue, self.pipelines, self.idle = deque(), set(), []
        self.is_sparse = True

    cdef double now_s(self) except? -1.0:
        """Return the event loop's time."""
        # Without the loop's own method, which is a frame of Python's and is asked three times a decision.
        return time.monotonic() if self.time is None else self.time()

    # -- asking ----------------------------------------------------------------------------------------

    def batch(self):
        return self.opened()

    cdef Batch opened(self):
        cdef Batch batch = self.open
        if batch is not None and not batch.is_full:
            return batch
        batch = self.open = Batch(self.now_s())
        self.queue.append(batch)
        if self.watch is None:
            self.watch = self.loop.call_at(batch.begun + self.patience_s, self.look)
        if not self.idle and len(self.pipelines) < MOST_PIPELINES:
            self.new()
        return batch

    def begin(self, plan, asking, /):
        cdef SlotBatch slot_batch
        cdef list items
        cdef Py_ssize_t size
        if self.are_many or self.breaker.is_open:
            return None
        slot_batch = self.opened().of_slot(NO_SLOT)
        items = slot_batch.items
        size = len(items)
        try:
            outcome = asking.ask(slot_batch.first_of(plan), slot_batch.keys, items)
            if not items[size + 1]:  # there is no identity that these limits could count for
                del items[-2:]
                return None
            future = self.loop.create_future()
            slot_batch.entries.append(Question(plan, outcome, True, future))
        finally:
            self.now()
        return future

    def unsent(self, tag, key, /):
        for batch in self.queue:
            slot_batch = batch.slot_batches.get(tag)
            if slot_batch is not None and key in slot_batch.corrections:
                return slot_batch.corrections[key]
        return None

    cpdef soon(self):
        if self.idle and not self.is_sending_soon:
            self.is_sending_soon = True
            self.loop.call_soon(self.send)

    cpdef now(self):
        if self.is_sparse and self.idle:
            self.send()
        else:
            self.soon()

    # -- connections -----------------------------------------------------------------------------------

    def new(self, node_client=None):
        cdef Pipeline pipeline = Pipeline(self.new_node_client() if node_client is None else node_client, self)
        self.pipelines.add(pipeline)
        if pipeline.node_client.is_open:
            self.idle.append(pipeline)
        else:
            pipeline.opening = self.start(self.connect(pipeline))
        return pipeline

    def drop(self, Pipeline pipeline not None, /):
        self.pipelines.discard(pipeline)
        if pipeline in self.idle:
            self.idle.remove(pipeline)
        pipeline.close_pipeline()

    def fail(self, fault, /):
        waiting = list(self.queue)
        self.queue.clear()
        self.open = None
        sent = [(<Pipeline>each).batch for each in self.pipelines if (<Pipeline>each).batch is not None]
        for pipeline in list(self.pipelines):
            self.drop(pipeline)
        for batch in waiting:
            batch.fail(uncharged(fault))
        for batch in sent:
            batch.fail(doubtful(fault))

    async def connect(self, Pipeline pipeline not None):
        """Have a pipeline's connection made before it takes a batch, as its time is short."""
        fault = None
        try:
            async with asyncio.timeout(CONNECT_S):
                await pipeline.node_client.open_connections()
        except Exception as error:
            # Of any kind: waiting tasks would hear nothing of it.
            fault = error
        pipeline.opening = None
        if pipeline not in self.pipelines:
            pipeline.node_client.close_connections()  # dropped in the meantime
        elif fault is None:
            self.idle.append(pipeline)
            self.send()
        else:
            self.drop(pipeline)
            if not self.pipelines:
                self.trip(fault)

    # -- sending and reading ---------------------------------------------------------------------------

    cpdef send(self):
        cdef Pipeline pipeline
        cdef Batch batch
        cdef list calls
        self.is_sending_soon = False
        while self.queue and self.idle:
            pipeline = self.idle.pop()
            if not pipeline.node_client.is_open:  # the server closed it, and not for anything that was asked
                self.drop(pipeline)
                continue
            batch = self.queue.popleft()
            if batch is self.open:
                self.open = None
            calls = batch.calls_of(self.worker, None if self.now_us is None else self.now_us())
            if not calls:  # the caller turned out to have no question
                batch.is_over = True
                self.idle.append(pipeline)
                continue
            pipeline.batch, batch.pipeline = batch, pipeline
            batch.sent = self.now_s()
            self.round_trips += 1
            try:
                pipeline.node_client.post(calls, pipeline.answered)
            except Exception as error:
                pipeline.answered([error] * len(calls))
        if self.queue and not self.idle and len(self.pipelines) < MOST_PIPELINES:
            self.new()

    cdef int arrived(self, Pipeline pipeline, Batch batch, answers) except -1:
        """Give all tasks what a batch brought."""
        cdef Py_ssize_t size = 0, at = 0
        cdef object answer, fault = None
        if len(answers) != len(batch.slot_batches):
            raise ValueError("a batch has one answer for each slot")
        for slot_batch in batch.slot_batches.values():
            answer = answers[at]
            at += 1
            try:
                if isinstance(answer, BaseException):
                    raise answer
                size += (<SlotBatch?>slot_batch).give(answer)
            except Exception as error:
                # Of any kind: waiting tasks would hear nothing of it.
                fault = error
                slot_batch.fail(unanswered(error))
        batch.is_over = True
        if fault is not None:
            self.drop(pipeline)
            self.trip(fault)
            return 0
        self.last_answer = self.now_s()
        self.is_sparse = size == 1
        self.tell_answered(size, int((self.last_answer - batch.sent) * 1e9))
        self.idle.append(pipeline)
        if self.queue:
            self.send()
        return 0

    # -- deadlines -------------------------------------------------------------------------------------

    def look(self):
        cdef double now, deadline, following = -1.0
        cdef Batch batch
        self.watch = None
        now = self.now_s()
        under_way = [(<Pipeline>each).batch for each in self.pipelines if (<Pipeline>each).batch is not None]
        for batch in [*under_way, *self.queue]:
            if batch.is_overdue:
                continue
            deadline = batch.begun + self.patience_s
            if deadline <= now:
                batch.is_overdue = True
                self.expire(batch, GRACE_TURNS)
            elif following < 0 or deadline < following:
                following = deadline
        if following >= 0:
            self.watch = self.loop.call_at(following, self.look)

    def expire(self, Batch batch not None, int grace, /):
        cdef double deadline
        if batch.is_over:
            return
        if grace:
            deadline = batch.begun + self.patience_s
            if grace == GRACE_TURNS and self.now_s() > deadline + LATE_S:
                # It was this process that did not run: the server's answer may be under way.
                self.loop.call_at(deadline + GRACE_S, self.expire, batch, grace - 1)
            else:
                self.loop.call_soon(self.expire, batch, grace - 1)
            return
        if batch is self.open:
            self.open = None
        if batch.pipeline is None:
            self.queue.remove(batch)
            batch.fail(uncharged(slow(self.timeout_s)))
        else:
            batch.fail(slow(self.timeout_s))
            self.drop(batch.pipeline)
            if self.queue and not self.pipelines:
                self.new()
        # A cluster's other masters may go on answering: a request to the lost one must not wait each time.
        if self.last_answer < batch.begun or (self.are_many and batch.pipeline is not None):
            self.trip(slow(self.timeout_s))

    def close_pipelines(self, fault, /):
        self.fail(fault)
        if self.watch is not None:
            self.watch.cancel()
            self.watch = None

    def __reduce__(self):
        raise TypeError("connections are not pickled")
