"""The connections that batches go by, and how long an answer is waited for.

One batch at a time goes by a pipeline. A batch that waits is given to the pipeline that was used last,
so that requests that come one after another use one connection.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, final

from ratelimit.core.redis.batch import Batch
from ratelimit.errors import StoreError
from ratelimit.stores.redis.protocols import Planned, ServerQuestion
from ratelimit.stores.redis.transport.batch import Correction
from ratelimit.stores.redis.transport.breaker import Breaker
from ratelimit.stores.redis.transport.metrics import MetricsSink
from ratelimit.stores.redis.transport.node import Answers, NodeClient

PIPELINES: int
CONNECT_S: float
"""The time that connecting may take; no request waits for it."""

@final
class Pipeline:
    """A connection, and the batch it carries.

    Args:
        node_client: the connection.
        owner: told when a batch's answers are here, or why there are none; never once it is closed.
    """

    def __new__(cls, node_client: NodeClient, owner: Pipelines) -> Pipeline: ...
    @property
    def node_client(self) -> NodeClient: ...
    def answered(self, answers: Answers, /) -> None:
        """Take what the batch brought."""

@final
class Pipelines:
    """Carries batches to the server and gives all tasks what they bring.

    Args:
        new_node_client: makes a connection.
        start: lets something run until it ends or all is closed.
        trip: called when the server turns out to be unwell.
        breaker: says whether the server is asked.
        are_many: whether there are several, of which one may be lost while others answer.
        worker: the process's number.
        timeout_s: how long a batch may take, from when it was opened.
        now_us: a clock to use instead of the server's, for tests.
        tally: told what happens.
    """

    last_answer: float
    """The time when the server was last heard of."""
    timeout_s: float
    patience_s: float
    """The time after which a batch is given up: less than the timeout, as it may have to be decided here."""

    def __new__(
        cls,
        new_node_client: Callable[[], NodeClient],
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        trip: Callable[[BaseException], None],
        breaker: Breaker,
        *,
        are_many: bool,
        worker: int,
        timeout_s: float,
        now_us: Callable[[], int] | None,
        tally: MetricsSink,
    ) -> Pipelines: ...
    @property
    def round_trips(self) -> int: ...
    @property
    def watch(self) -> asyncio.TimerHandle | None:
        """The timer of the next deadline."""
    def batch(self) -> Batch:
        """Return the open batch. A caller that adds to it calls `soon` or `now`."""
    def begin(self, plan: Planned, asking: ServerQuestion, /) -> asyncio.Future[None] | None:
        """Ask for a decision of what compiled code has read; None where that takes more than one call, or none.

        Returns:
            What is done when the outcome is filled, or fails with a `StoreError`.
        """
    def unsent(self, tag: bytes, key: tuple[int, int], /) -> Correction | None:
        """Return a correction that waits to be sent; None if it does not."""
    def soon(self) -> None:
        """Send what waits when the event loop has run what is ready: all of that shares the trip."""
    def now(self) -> None:
        """Send what waits, at once if no other is likely to join: alone, a turn of the loop is a loss."""
    def send(self) -> None:
        """Give what waits to pipelines that carry nothing."""
    def new(self, node_client: NodeClient | None = None) -> Pipeline:
        """Add a pipeline, with a connection that is open or with one that is made."""
    def drop(self, pipeline: Pipeline, /) -> None:
        """Close a pipeline's connection; the next batch gets another."""
    def fail(self, fault: StoreError, /) -> None:
        """Tell all waiting tasks that there is no answer, and close all pipelines."""
    async def connect(self, pipeline: Pipeline) -> None:
        """Have a pipeline's connection made before it takes a batch, as its time is short."""
    def look(self) -> None:
        """Give up on batches with their time over, and look again when the next one's is."""
    def expire(self, batch: Batch, grace: int, /) -> None:
        """Give up on a batch that took too long, unless its answer is here and only waits for its turn."""
    def close_pipelines(self, fault: StoreError, /) -> None:
        """Tell all waiting tasks, close all pipelines, and look at no deadline any more."""
