"""Grants in bodies: what the application reads, what a request costs, and what a crowd uses of its budget."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from ratelimit import Limiter, Policy
from ratelimit.asgi.middleware import RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.errors import PolicyError
from tests.asgi.driver import Answer, Client, key, limit, rules
from tests.asgi.test_exposure import answer_of
from tests.usage.answers import JSON

CHAT = "/v1/chat/completions"
BUDGET = 60_000
PRICES = '[prices]\n"*" = { input = 1.0, output = 2.0 }\n'


def policy(*, rate: str = f"{BUDGET}/hour", more: str = "", **words: Any) -> str:
    words = {"unit": "output_tokens", "usage": "auto", "cost": "learned", "exposure": "grant", **words}
    return rules(limit("tokens", rate=rate, match="POST /v1/*", **words), more=more)


class Upstream:
    """A provider that heeds the maximum in the body that it is given."""

    def __init__(self, text: str, *, count: int = 1, make: Callable[[], Any] | None = None) -> None:
        self.clock = ManualClock()
        self.limiters = [
            Limiter(Policy.from_toml(text), clock=self.clock) if make is None else make()
            for _ in range(count)
        ]
        self.clients = [
            Client(RateLimitMiddleware(self.app, limiter=limiter, reload_interval_s=0))
            for limiter in self.limiters
        ]
        self.go = asyncio.Event()
        self.go.set()
        self.wants = 300
        self.used = 0
        self.in_flight = 0
        self.seen: list[tuple[dict[bytes, bytes], bytes, int]] = []
        self.grants: list[int | None] = []
        self._next = 0

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        body, messages, more = b"", 0, True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            body += message["body"]
            more = message.get("more_body", False)
            messages += 1
        self.seen.append((dict(scope["headers"]), body, messages))
        self.grants.append(scope["ratelimit"].grant)
        wants = self.wants
        self.in_flight += 1
        await self.go.wait()
        self.in_flight -= 1
        try:
            asked = json.loads(body)
            most = int(asked.get("max_completion_tokens") or asked.get("max_tokens"))
        except (TypeError, ValueError):
            most = None
        uses = wants if most is None else min(wants, most)
        self.used += uses
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", JSON)]})
        await send({"type": "http.response.body", "body": answer_of(uses)})

    async def post(
        self, body: bytes | dict[str, Any], *, size: int = 0, account: str = "a", path: str = CHAT
    ) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        step = size or max(1, len(raw))
        parts = [raw[at : at + step] for at in range(0, len(raw), step)]
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        messages[-1]["more_body"] = False
        self._next += 1
        client = self.clients[self._next % len(self.clients)]
        answer = Answer()

        async def receive() -> Any:
            if messages:
                return messages.pop(0)
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            answer.messages.append(message)

        headers = [*key(account), (b"content-type", JSON), (b"content-length", b"%d" % len(raw))]
        await client.app(client.scope("POST", path, headers), receive, send)
        return answer

    def left(self, account: str = "a") -> int:
        peeked = self.limiters[0].peek(
            method="POST", path=CHAT, identities={"account": account}, costs={"output_tokens": 0}
        )
        return peeked.verdicts[0].remaining

    def close(self) -> None:
        for limiter in self.limiters:
            limiter.close()


@pytest.fixture
def upstream() -> Any:
    made = Upstream(policy())
    yield made
    made.close()


@pytest.mark.parametrize("size", [0, 1, 7])
async def test_application_reads_the_grant_and_nothing_else_changes(upstream: Upstream, size: int) -> None:
    """In one message, and in many pieces: the bytes, their number, and what the header says of it."""
    upstream.wants = 20_000
    body = b'{ "messages": [{"content": "\xc3\xa9 \\ud83d"}], "max_tokens" : 59000 , "n":1 }\n'
    await upstream.post({"max_tokens": 20_000})
    answer = await upstream.post(body, size=size)
    assert answer.status == 200
    headers, read, messages = upstream.seen[1]
    assert read == body.replace(b"59000", b"20000")  # half of the 40,000 that are left
    assert headers[b"content-length"] == b"%d" % len(read)
    assert messages == 1
    assert upstream.grants == [20_000, 20_000]
    assert upstream.left() == 20_000


async def test_maximum_that_is_small_enough_stays(upstream: Upstream) -> None:
    body = b'{"max_tokens":8192}'
    await upstream.post(body, size=4)
    assert upstream.seen[0][1] == body
    assert upstream.grants == [8192]
    assert upstream.left() == BUDGET - 300


@pytest.mark.parametrize("size", [0, 5])
async def test_maximum_is_inserted_where_none_is_said(upstream: Upstream, size: int) -> None:
    upstream.wants = 50_000
    await upstream.post(b'{"model":"m"}', size=size)
    headers, read, _ = upstream.seen[0]
    assert read == b'{"max_completion_tokens":4096,"model":"m"}'
    assert headers[b"content-length"] == b"%d" % len(read)
    assert upstream.used == 4096
    assert upstream.left() == BUDGET - 4096


async def test_inserted_maximum_is_that_of_the_models() -> None:
    upstream = Upstream(policy(most=16_000, exposure="grant:max_tokens"))
    await upstream.post(b"{}")
    assert upstream.seen[0][1] == b'{"max_tokens":16000}'
    await upstream.post(b'{"max_tokens":20000}')
    assert upstream.seen[1][1] == b'{"max_tokens":16000}'
    upstream.close()


async def test_request_costs_what_it_was_granted_while_it_is_in_flight(upstream: Upstream) -> None:
    upstream.go.clear()
    task = asyncio.ensure_future(upstream.post({"max_tokens": 8192}))
    await asyncio.sleep(0)
    assert upstream.left() == BUDGET - 8192
    upstream.go.set()
    await task
    assert upstream.left() == BUDGET - 300


async def test_answer_too_short_to_be_of_use_is_refused(upstream: Upstream) -> None:
    """Of 1,023 tokens an answer would break off in mid-sentence, and its prompt be paid all the same."""
    upstream.wants = 10**9
    for most in (30_000, 15_000, 7_500, 3_750, 1_875, 852):
        assert (await upstream.post({"max_tokens": most})).status == 200
    assert upstream.left() == BUDGET - 30_000 - 15_000 - 7_500 - 3_750 - 1_875 - 852 == 1_023
    refused = await upstream.post({"max_tokens": 8192})
    assert refused.status == 429
    assert refused.headers["retry-after"] == "1"
    # One that declares less is of use by its own word.
    assert (await upstream.post({"max_tokens": 1_000})).status == 200
    assert upstream.left() == 23


async def test_small_budget_is_granted_down_to_its_last_quarter() -> None:
    upstream = Upstream(policy(rate="1000/hour"))
    upstream.wants = 10**9
    grants = []
    for _ in range(4):
        if (await upstream.post({"max_tokens": 8192})).status == 200:
            grants.append(upstream.grants[-1])
    assert grants == [500, 250, 250]
    assert upstream.left() == 0
    upstream.close()


@pytest.mark.parametrize(
    "body",
    [
        b'{"max_tokens":"100"}',
        b'{"max_tokens":1e2}',
        b'{"max_tokens":100',
        '{"max_tokens":100}'.encode("utf-16"),
        b'\xef\xbb\xbf{"max_tokens":100}',
        b'{"max_tokens":100}{}',
    ],
)
async def test_what_is_ambiguous_has_the_whole_budget_to_itself(upstream: Upstream, body: bytes) -> None:
    """It is not written, and reserves all: nothing is in flight beside it."""
    upstream.go.clear()
    task = asyncio.ensure_future(upstream.post(body))
    await asyncio.sleep(0)
    assert upstream.seen[0][1] == body
    assert upstream.left() == 0
    assert (await upstream.post(body)).status == 429
    assert (await upstream.post({"max_tokens": 100})).status == 429
    upstream.go.set()
    await task


@pytest.mark.parametrize("size", [0, 9])
async def test_several_answers_share_the_grant(upstream: Upstream, size: int) -> None:
    upstream.go.clear()
    task = asyncio.ensure_future(upstream.post(b'{"max_tokens":20000,"n":4}', size=size))
    for _ in range(20):
        await asyncio.sleep(0)
    assert upstream.seen[0][1] == b'{"max_tokens":7500,"n":4}'
    assert upstream.left() == BUDGET - 30_000
    upstream.go.set()
    await task


async def test_thoughts_are_granted_with_an_answer_or_not_at_all(upstream: Upstream) -> None:
    """A provider turns away a maximum below the budget of thoughts."""
    body = {"max_tokens": 32_000, "thinking": {"type": "enabled", "budget_tokens": 30_000}}
    upstream.wants = 10**9
    assert (await upstream.post(body, path="/v1/messages")).status == 200
    assert json.loads(upstream.seen[0][1])["max_tokens"] == 31_024
    assert (await upstream.post(body, path="/v1/messages")).status == 429


@pytest.mark.parametrize(
    ("words", "granted"),
    [
        ({"unit": "total_tokens"}, 29_900),
        ({"unit": "usd", "rate": "1/day"}, 249_900),
    ],
)
async def test_grant_is_by_what_the_unit_leaves_for_output(words: dict[str, Any], granted: int) -> None:
    """Half of 60,000 tokens without the prompt; half a dollar at two dollars a million.

    There the prompt counts as sounds, which have no price of their own: as much as output.
    """
    upstream = Upstream(policy(**words, more=PRICES))
    upstream.wants = 100
    body = json.dumps({"max_tokens": 10**6, "pad": ""}).encode()
    body = body.replace(b'"pad": ""', b'"pad": "' + b"x" * (350 - len(body)) + b'"')
    assert len(body) == 350  # a hundred tokens
    await upstream.post(body)
    assert json.loads(upstream.seen[0][1])["max_tokens"] == granted
    upstream.close()


async def test_shadow_limit_lowers_nothing() -> None:
    upstream = Upstream(policy(mode="shadow"))
    await upstream.post({"max_tokens": 10**6})
    assert json.loads(upstream.seen[0][1])["max_tokens"] == 10**6
    upstream.close()


async def test_answers_beyond_their_grant_end_the_trust_in_it(upstream: Upstream) -> None:
    """An API that does not heed the field: from then on its requests cost what its answers need."""
    upstream.wants = 10_000

    async def heedless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", JSON)]})
        await upstream.go.wait()
        await send({"type": "http.response.body", "body": answer_of(upstream.wants)})

    upstream.clients[0].app.app = heedless
    await upstream.post({"max_tokens": 100})
    before = upstream.left()
    assert before == BUDGET - 10_000
    upstream.go.clear()
    task = asyncio.ensure_future(upstream.post({"max_tokens": 100}))
    await asyncio.sleep(0)
    assert before - upstream.left() >= 4096
    upstream.go.set()
    await task


@pytest.mark.parametrize("count", [1, 4])
async def test_burst_uses_no_more_than_its_budget(count: int, tmp_path: Any) -> None:
    """600 at once that declare 20,000 and use all they are granted."""
    upstream = Upstream(policy(more=f'[store]\nmemory = "{tmp_path / "table"}"'), count=count)
    await burst(upstream)
    assert 0.9 * BUDGET <= upstream.used <= 1.1 * BUDGET
    upstream.close()


async def burst(upstream: Upstream) -> None:
    """Ask 600 times at once, and let the answers come once all were decided."""
    upstream.wants = 10**9
    upstream.go.clear()
    tasks = [asyncio.ensure_future(upstream.post({"max_tokens": 20_000})) for _ in range(600)]
    while sum(task.done() for task in tasks) + upstream.in_flight < 600:
        await asyncio.sleep(0)
    upstream.go.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("seed", [1, 2])
async def test_polite_streams_with_large_maxima_use_their_budget(seed: int) -> None:
    """50 clients that ask again at once and declare 8,192; answers of 300 in the mean, 30 tokens a second."""
    share, broken = await polite(seed)
    assert 0.9 <= share <= 1.1
    assert broken < 0.06  # of all answers, those that had been longer without a grant


async def polite(seed: int, minutes: int = 10) -> tuple[float, float]:
    """Return the share of a budget of 60,000 a minute that is used, and that of answers cut short."""
    upstream = Upstream(policy(rate="60000/minute"))
    random = Random(seed)
    due: list[list[Any]] = [[at / 50, "ask", None] for at in range(50)]
    used = now = 0.0
    answers = broken = 0
    while now < minutes * 60:
        due.sort(key=lambda one: one[0])
        step = due[0]
        upstream.clock.advance(max(0.0, step[0] - now))
        now = max(now, step[0])
        if step[1] == "ask":
            upstream.wants = round(random.lognormvariate(5.2, 1.0)) + 1
            wants = min(upstream.wants, 8192)
            upstream.go = go = asyncio.Event()
            task = asyncio.ensure_future(upstream.post({"max_tokens": 8192}))
            for _ in range(3):
                await asyncio.sleep(0)
            if task.done():
                step[0] = now + 1.0  # refused; a client honours `Retry-After` of a second
            else:
                uses = min(wants, upstream.grants[-1] or 0)
                answers, broken = answers + 1, broken + (uses < wants)
                step[:] = [now + uses / 30, "end", (task, go, uses)]
        else:
            task, go, uses = step[2]
            go.set()
            await task
            used += uses
            step[:] = [now, "ask", None]
    for step in due:
        if step[1] == "end":
            step[2][1].set()
            await step[2][0]
    upstream.close()
    return (used - BUDGET) / (BUDGET * minutes), broken / answers


@pytest.mark.parametrize(
    ("words", "code", "key"),
    [
        ({"exposure": "grant:max_tokns"}, "policy-value", "limit[0].exposure"),
        ({"exposure": "header"}, "policy-value", "limit[0].exposure"),
        ({"unit": "input_tokens"}, "limit-conflict", "limit[0].exposure"),
        ({"unit": "messages"}, "limit-conflict", "limit[0].exposure"),
        ({"adaptive": True}, "limit-conflict", "limit[0].exposure"),
    ],
)
def test_policies_that_cannot_be_meant(words: dict[str, Any], code: str, key: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(policy(**words))
    assert (code, key) in {(problem.code, problem.key) for problem in caught.value.problems}
