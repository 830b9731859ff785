"""One worker's streams, stepped by hand: what each has to cost, and a worker that dies among them.

Applications are stepped many at once and in random order. So one can be cancelled, closed
(`GeneratorExit`), hung up on or made to raise at each of its steps. A ledger beside the limiter
says what each stream must have cost: what its usage said, and of one that broke off the tokens of what
was sent, if that is more. Of a whole one without usage, or with too little of it, and of an account that
hangs up as a habit, it is the estimate if that is more.

A worker that dies is killed by SIGKILL between two steps, with streams at every one of theirs. It
hands its ledger on just before, as the process leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Coroutine, Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from types import coroutine
from typing import Any

from ratelimit.clock import ManualClock
from tests.asgi.driver import Mounted, key, limit, mount, rules
from tests.usage.answers import EVENTS, event
from tests.usage.reference.learned import Learned

ACCOUNTS = 40
AT_ONCE = 100
"""Streams under way in one worker."""
RATE = 17_000_000_000
SLOTS = AT_ONCE
LEASE_S = 60
HOPELESS = (asyncio.CancelledError, GeneratorExit, OSError, ZeroDivisionError)


def policy(store: Path) -> str:
    """Return the policy of all workers: one limit that finishes, one that cuts, and slots."""
    metered = {"unit": "output_tokens", "usage": "auto", "algorithm": "fixed-window"}
    return rules(
        limit("tokens", rate=f"{RATE}/day", cost="declared", **metered),
        limit("everyone", per="", rate=f"{RATE}/day", on_refusal=["cut"], **metered),
        limit("streams", rate="", concurrent=SLOTS),
        more=f'[store]\nmemory = "{store}"',
    )


@coroutine
def step() -> Generator[None, None, None]:
    """Give others their turn."""
    yield


FEW_BYTES = 256
BYTES_OF_A_TOKEN = 16
"""At most, in more text than a few bytes."""


@dataclass
class Stream:
    """One stream, and what it has to cost."""

    random: Random
    account: int
    words: int = 0
    parts: list[bytes] = field(default_factory=list)
    declares: int | None = None
    usage: int | None = None
    estimates: tuple[int, int] | None = None
    text: int = 0
    says: bool = False
    is_whole: bool = False
    fails: bool = False
    run: Coroutine[Any, Any, None] | None = None

    def __post_init__(self) -> None:
        random = self.random
        self.words = random.randrange(0, 12)
        self.declares = random.choice([None, 0, 5, 40, 300, 10**9])
        if random.random() < 0.8:
            self.usage = random.choice([0, 3, 20, 150, 2000])
        self.hangs_up_at = random.randrange(0, 40)
        self.raises_at = random.randrange(0, 40)
        body = {"messages": [], **({} if self.declares is None else {"max_tokens": self.declares})}
        raw = json.dumps(body).encode()
        cut = random.randrange(len(raw))
        self.parts = [raw[:cut], raw[cut:]] if random.random() < 0.3 else [raw]
        self.leaves_early = random.random() < 0.03
        self.spoken = 0

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        charged = scope["ratelimit"].outcome
        self.estimates = charged.cost(0), charged.cost(2)  # behind each is what counts requests in flight
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENTS)]})
        for number in range(self.words):
            if number == self.raises_at:
                self.fails = True
                raise ZeroDivisionError
            word = "w" * self.random.randrange(1, 60)
            # Counted before: what is sent to a client that is gone was produced all the same.
            self.text += len(word)
            self.spoken += 1
            chunk = event({"choices": [{"delta": {"content": word}, "finish_reason": None}]})
            await self._in_pieces(chunk, send)
        if self.usage is not None:
            last = event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": self.usage}})
            self.says = True
            await send({"type": "http.response.body", "body": last, "more_body": True})
        self.is_whole = True
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def _in_pieces(self, chunk: bytes, send: Any) -> None:
        # The first piece has the whole text, so that it was seen if anything was sent.
        at = self.random.randrange(len(chunk) - 8, len(chunk) + 1)
        await send({"type": "http.response.body", "body": chunk[:at], "more_body": True})
        if at < len(chunk):
            await send({"type": "http.response.body", "body": chunk[at:], "more_body": True})

    async def receive(self) -> Any:
        await step()
        if self.leaves_early and len(self.parts) == 1:
            return {"type": "http.disconnect"}
        part = self.parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self.parts)}

    async def send(self, message: Any) -> None:
        await step()
        self.hangs_up_at -= 1
        if self.hangs_up_at == 0:
            raise OSError("the client is gone")

    def costs(self, habits: Learned) -> tuple[int, int]:
        """Return what it must have been charged, by limit; it is the last of its worker's to end."""
        if self.estimates is None:
            return 0, 0
        is_left = not self.is_whole and not self.fails
        by_habit = is_left and habits.leaves_by_habit(self.account)
        habits.ended(self.account, is_left)
        said = self.usage or 0 if self.says else 0
        # Too few tokens for the text are not believed, nor is the usage of a stream that broke off.
        is_little = self.text > max(FEW_BYTES, BYTES_OF_A_TOKEN * said)
        if self.says and self.is_whole and not is_little:
            return said, said
        used = max(said, self.seen)
        if not self.is_whole and not by_habit:
            return used, used
        return max(self.estimates[0], used), max(self.estimates[1], used)

    def costs_by_now(self) -> tuple[int, int]:
        """Return what it must have been charged if its worker dies now.

        The estimate stays, since the settlement died with the worker. A limit that cuts has charged what was
        seen as it passed.
        """
        if self.estimates is None:
            return 0, 0
        said = (self.usage or 0) if self.says else 0
        return self.estimates[0], max(self.estimates[1], self.seen, said)

    @property
    def seen(self) -> int:
        """The tokens of the text that was sent: of 3.5 bytes, and one at least for each event."""
        return max(self.text * 2 // 7, self.spoken)


@dataclass
class Ledger:
    """What the streams of one worker, or of several, have to have cost."""

    due: list[int] = field(default_factory=lambda: [0] * ACCOUNTS)
    due_of_all: int = 0
    exact: int = 0
    """Streams with their usage known."""
    seen: int = 0
    """Streams with a part of their output seen, and no usage."""
    lost: int = 0
    """Streams that were under way in workers that died."""
    left: str = ""
    """What a worker that ended had not let go of."""
    slots: dict[str, int] = field(default_factory=dict)
    """Slots that died with the worker, by account."""

    def enter(self, stream: Stream, costs: tuple[int, int]) -> None:
        """Add a stream that has ended, or was under way at the end of its worker."""
        self.due[stream.account] += costs[0]
        self.due_of_all += costs[1]

    def add(self, other: Ledger) -> None:
        """Add another worker's; its slots replace this one's."""
        self.due = [one + more for one, more in zip(self.due, other.due, strict=True)]
        self.due_of_all += other.due_of_all
        self.exact += other.exact
        self.seen += other.seen
        self.lost += other.lost
        self.left += other.left
        self.slots = other.slots


class Worker:
    """A worker with its own limiter over the shared store.

    Args:
        store: the file that all workers share.
        clock: stands still while it lives.
        seed: says everything that happens.
        count: streams it has in its life.
        dies_after: streams after which it is killed; None where it ends in order.
    """

    def __init__(
        self, store: Path, clock: ManualClock, seed: str, count: int, dies_after: int | None = None
    ) -> None:
        self._mounted = mount(policy(store), clock=clock)
        self._random = Random(seed)
        self._count = count
        self._dies_after = dies_after
        self._ledger = Ledger()
        self._habits = Learned()
        self._under_way: list[Stream] = []

    def run(self, tell: int) -> None:
        """Have all streams, and write the ledger to a file descriptor; may not return."""
        begun = 0
        while begun < self._count or self._under_way:
            if begun < self._count and len(self._under_way) < AT_ONCE:
                if begun == self._dies_after:
                    self._die(tell)
                begun += 1
                self._begin()
            else:
                self._step()
        metering, limiter = self._mounted.middleware._mount.metering, self._mounted.middleware.limiter
        if metering.held.size or limiter.unsettled_units:
            self._ledger.left = f"{metering.held.size} bytes, {limiter.unsettled_units}"
        limiter.close()
        self._tell(tell)

    def _begin(self) -> None:
        stream = Stream(self._random, self._random.randrange(ACCOUNTS))
        headers = [*key(str(stream.account)), (b"content-length", b"99")]
        scope = self._mounted.client.scope("POST", "/v1/chat", headers)
        stream.run = self._mounted.middleware(scope, stream.receive, stream.send)
        self._under_way.append(stream)

    def _step(self) -> None:
        at = self._random.randrange(len(self._under_way))
        stream = self._under_way[at]
        if advance(stream, self._mounted):
            return
        self._under_way[at] = self._under_way[-1]
        self._under_way.pop()
        self._ledger.enter(stream, stream.costs(self._habits))
        self._ledger.exact += stream.says
        self._ledger.seen += not stream.says and stream.text > 0

    def _die(self, tell: int) -> None:
        ledger, held = self._ledger, Counter[str]()
        for stream in self._under_way:
            ledger.enter(stream, stream.costs_by_now())
            if stream.estimates is not None:
                held[str(stream.account)] += 1
        ledger.lost = held.total()
        ledger.slots = dict(held)
        self._tell(tell)
        os.kill(os.getpid(), signal.SIGKILL)

    def _tell(self, tell: int) -> None:
        with os.fdopen(tell, "wb") as pipe:
            pipe.write(json.dumps(asdict(self._ledger)).encode())


def advance(stream: Stream, mounted: Mounted) -> bool:
    """Step a stream, or end it otherwise; return whether it goes on."""
    run = stream.run
    assert run is not None
    mounted.middleware.app = stream.application
    end = stream.random.random()
    try:
        if end < 0.004:
            run.throw(asyncio.CancelledError())
        elif end < 0.008:
            run.close()
            return False
        else:
            run.send(None)
    except (StopIteration, *HOPELESS):
        return False
    return True


class Child:
    """A worker in a process of its own, forked."""

    def __init__(
        self, store: Path, clock: ManualClock, seed: str, count: int, dies_after: int | None = None
    ) -> None:
        self._dies = dies_after is not None
        self._told, tell = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                Worker(store, clock, seed, count, dies_after).run(tell)
                status = 0
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(status)
        os.close(tell)

    def ledger(self) -> Ledger:
        """Wait until it has ended, as it should, and return its ledger."""
        with os.fdopen(self._told, "rb") as pipe:
            told = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        assert status == (-signal.SIGKILL if self._dies else 0)
        return Ledger(**json.loads(told))
