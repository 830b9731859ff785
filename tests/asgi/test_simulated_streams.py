"""Streams by the hundred thousand that end in every way there is: charged is what was produced.

Applications are stepped by hand, many at once and in random order. So one can be cancelled,
closed (`GeneratorExit`), hung up on or made to raise at each of its steps. A ledger beside the
limiter says what each stream must have cost: what its usage said. Where that was not seen, it is
the estimate or the tokens of what was sent, whichever is more.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field
from random import Random
from types import coroutine
from typing import Any

import pytest

from tests.asgi.driver import Mounted, key, limit, mount, rules
from tests.usage.answers import EVENTS, event

ACCOUNTS = 40
AT_ONCE = 200
RATE = 17_000_000_000
POLICY = rules(
    limit(
        "tokens",
        rate=f"{RATE}/day",
        unit="output_tokens",
        usage="auto",
        estimate="declared",
        algorithm="fixed-window",
    ),
    limit(
        "everyone", per="", rate=f"{RATE}/day", unit="output_tokens", usage="auto", algorithm="fixed-window"
    ),
    limit("streams", rate="", concurrent=AT_ONCE + 1),
)
HOPELESS = (asyncio.CancelledError, GeneratorExit, OSError, ZeroDivisionError)


@coroutine
def step() -> Generator[None, None, None]:
    """Give others their turn."""
    yield


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

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        charged = scope["ratelimit"].outcome
        self.estimates = charged.cost(0), charged.cost(1)
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENTS)]})
        for number in range(self.words):
            if number == self.raises_at:
                raise ZeroDivisionError
            word = "w" * self.random.randrange(1, 60)
            # Counted before: what is sent to a client that is gone was produced all the same.
            self.text += len(word)
            chunk = event({"choices": [{"delta": {"content": word}, "finish_reason": None}]})
            await self._in_pieces(chunk, send)
        if self.usage is not None:
            last = event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": self.usage}})
            self.says = True
            await send({"type": "http.response.body", "body": last, "more_body": True})
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

    def costs(self) -> tuple[int, int]:
        """Return what it must have been charged, by limit."""
        if self.estimates is None:
            return 0, 0
        if self.says:
            assert self.usage is not None
            return self.usage, self.usage
        seen = self.text * 2 // 7
        return max(self.estimates[0], seen), max(self.estimates[1], seen)


def begin(stream: Stream, mounted: Mounted) -> None:
    headers = [*key(str(stream.account)), (b"content-length", b"99")]
    scope = mounted.client.scope("POST", "/v1/chat", headers)
    mounted.middleware.app = stream.application
    stream.run = mounted.middleware(scope, stream.receive, stream.send)
    # To its first step: from there on it knows its application.


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


def test_streams_that_end_in_every_way_are_charged_what_they_produced(request: pytest.FixtureRequest) -> None:
    """Hang-ups, errors, cancellations, GeneratorExit: charged exactly, or never less than was seen."""
    count = int(request.config.getoption("--streams"))
    random = Random(15)
    mounted = mount(POLICY)
    due = [0] * ACCOUNTS
    due_of_all = exact = seen = 0
    under_way: list[Stream] = []
    begun = 0
    while begun < count or under_way:
        if begun < count and len(under_way) < AT_ONCE:
            begun += 1
            stream = Stream(random, random.randrange(ACCOUNTS))
            begin(stream, mounted)
            under_way.append(stream)
            continue
        at = random.randrange(len(under_way))
        stream = under_way[at]
        if advance(stream, mounted):
            continue
        under_way[at] = under_way[-1]
        under_way.pop()
        own, common = stream.costs()
        due[stream.account] += own
        due_of_all += common
        exact += stream.says
        seen += not stream.says and stream.text > 0
    peek = mounted.middleware.limiter.peek
    used = []
    for account in range(ACCOUNTS):
        verdicts = peek(
            method="POST", identities={"account": str(account)}, costs={"output_tokens": 0}
        ).verdicts
        used.append(RATE - verdicts[0].remaining)
        assert verdicts[1].remaining == RATE - due_of_all
        assert verdicts[2].remaining == AT_ONCE + 1, "a slot is left"
    assert used == due
    assert mounted.middleware._mount.metering.held.size == 0
    assert exact > count / 3
    assert seen > count / 20
