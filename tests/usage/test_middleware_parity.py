"""The middleware meters as the reference does: random policies, requests and answers, one after another.

Held equal: what each rule took on arrival, every message that is sent, what is left of each limit, and all
counts, those of ratios among them. What was learned shows in what later requests take.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.usage.metrics import ratio_counter
from tests.asgi.driver import Client, limit, mount, rules
from tests.usage.answers import ANSWERS, EVENTS, FRAMES, JSON, anthropic, chat, events, responses, whole
from tests.usage.reference.meter import ReferenceMeter

IDENTITIES = """
account = { from = "header:x-api-key", missing = "skip" }
organisation = { from = "state:organisation", missing = "skip" }
plan = { from = "header:x-plan", missing = "skip" }
"""
OTHERS = ("", '[prices]\n"*" = "refuse"\n', '[prices."*"]\ninput = 3.5\noutput = 3.5\n')
PRICES = """
[prices.small]
input = 1
output = 5

[prices.large]
input = 50
output = 250
cache_read = 5
request = 0.01

[prices.free]
input = 0
output = 0
"""
UNITS = ("output_tokens", "total_tokens", "input_tokens", "fresh_input_tokens", "cache_read_tokens", "usd")
MODELS = ("small", "Large", "large-2025-01-01", "free", "unheard-of", "", "m", None)
PATHS = (
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/responses",
    "/v1/models/large:generateContent",
    "/v1/other",
)
REQUESTS = 60


def random_policy(random: Random) -> str:
    return (
        rules(
            *(random_limit(random, number) for number in range(random.randint(1, 6))),
            identities=IDENTITIES,
            more="",
        )
        + PRICES
        + random.choice(OTHERS)
    )


def random_limit(random: Random, number: int) -> str:
    words: dict[str, Any] = {
        "match": random.choice(("POST /v1/*", "/v1/models/{model}", "POST /v1/chat/*", "/**"))
    }
    per = random.choice(("account", "account", "organisation", ""))
    if random.random() < 0.15:
        return limit(f"slots {number}", per=per, rate="", concurrent=5, **words)
    unit = random.choice((*UNITS, "requests"))
    rate = random.choice((600, 3000, 1_000_000)) if unit != "usd" else random.choice((1, 5))
    if unit == "requests":
        words["algorithm"] = random.choice(("fixed-window", "token-bucket"))
        return tiered(
            random, limit(f"requests {number}", per=per, rate=f"{random.choice((10, 1000))}/hour", **words)
        )
    words["unit"] = unit
    estimates: list[Any] = ["declared", "learned", "learned", "header:x-estimate", "state:estimate"]
    words["cost"] = random.choice(estimates if unit == "usd" else [*estimates, 0, 7, 500])
    words["usage"] = random.choice(("auto", "auto", "openai", "anthropic", "responses"))
    words["algorithm"] = random.choice(("fixed-window", "token-bucket"))
    if unit in ("output_tokens", "total_tokens") and random.random() < 0.5:
        words["on_refusal"] = ["cut"]
    if random.random() < 0.2:
        words["model"] = random.choice((["large*"], "small", ["*a*", "m"]))
    if random.random() < 0.15:
        words["on_refusal"] = ["degrade"]
    elif random.random() < 0.15:
        words["mode"] = "shadow"
    return tiered(
        random, limit(f"{unit} {number}", per=per, rate=f"{rate}/{random.choice(('hour', 'day'))}", **words)
    )


def tiered(random: Random, text: str) -> str:
    if random.random() < 0.3:
        tier = random.choice(("900/hour", "unlimited"))
        return f'{text}\ntiers.plan.pro = "{tier}"\n'
    return text


@dataclass
class Case:
    """One request, and what its application answers."""

    scope: dict[str, Any]
    body: bytes
    arrives: str
    """How the body does: whole at once, whole after a while, in pieces."""
    messages: list[dict[str, Any]]
    fails: bool
    """Whether the client is gone before the end."""
    pieces: list[bytes]

    @property
    def read(self) -> list[bytes] | None:
        """The pieces that are looked at: none if none is promised; None if they are compressed."""
        headers = dict(self.scope["headers"])
        if headers.get(b"content-length", b"0") == b"0":
            return []
        return None if b"content-encoding" in headers else self.pieces


def random_case(random: Random) -> Case:
    document: Any = {
        "model": random.choice(MODELS),
        "stream": random.random() < 0.5,
        "pad": "x" * random.choice((0, 50, 9000)),
    }
    if random.random() < 0.7:
        document[random.choice(("max_tokens", "max_completion_tokens", "max_output_tokens"))] = random.choice(
            (0, 1, 30, 500, 10**6, 10**12, -1, "9", None)
        )
    if random.random() < 0.1:
        document["n"] = random.choice((0, 3, 10**9))
    body = json.dumps(document).encode()
    if random.random() < 0.1:
        body = random.choice((b"", b"{", b"words", b" \n", body + b"{}", b"\xef\xbb\xbf" + body))
    headers = [(b"x-api-key", b"account %d" % random.randrange(4))] if random.random() < 0.9 else []
    if random.random() < 0.3:
        headers.append((b"x-plan", random.choice((b"pro", b"other"))))
    for _ in range(random.choice((0, 0, 1, 2))):
        headers.append((b"x-estimate", random.choice((b"12", b"000900", b"many", b"9" * 40, b""))))
    if body or random.random() < 0.5:
        headers.append((b"content-length", b"%d" % len(body)))
    if random.random() < 0.05:
        headers.append((b"content-encoding", b"gzip"))
    state = {"organisation": random.choice(("one", "two"))} if random.random() < 0.6 else {}
    if random.random() < 0.4:
        state["estimate"] = random.choice((0, 44, 10**15, "many", -3, True))
    scope = Client(mount).scope("POST", random.choice(PATHS), headers, state=state)
    status = random.choice((200, 200, 200, 200, 200, 400, 429, 500))
    messages: list[dict[str, Any]] = [{"type": "http.response.start", "status": status}]
    media, answer = random_answer(random)
    messages[0]["headers"] = [(random.choice((b"content-type", b"Content-Type")), media)]
    step = random.choice((7, 60, 400, 10**6))
    pieces = [answer[at : at + step] for at in range(0, len(answer), step)]
    fails = random.random() < (0.15 if status == 200 else 0.4)
    if fails:
        pieces = pieces[: random.randint(0, len(pieces))]
    messages += [{"type": "http.response.body", "body": one, "more_body": True} for one in pieces]
    if not fails:
        messages.append({"type": "http.response.body"})
    arrives = random.choice(("at once", "at once", "later", "in pieces"))
    size = max(1, len(body) // 3) if arrives == "in pieces" else max(1, len(body))
    parts = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    return Case(scope, body, arrives, messages, fails, parts)


def random_answer(random: Random) -> tuple[bytes, bytes]:
    if random.random() < 0.4:
        known = random.choice(ANSWERS)
        return random.choice((known.content_type, known.content_type, b"text/plain", b"")), known.body
    output = random.choice((0, 3, 40, 700, 20_000))
    usage = {
        "prompt_tokens": random.randrange(300),
        "completion_tokens": output,
        "total_tokens": output + 300,
    }
    text = "word " * random.choice((0, 5, 300))
    model = random.choice(MODELS)
    kind = random.randrange(6)
    if kind == 0:
        return EVENTS, chat(text, usage, asked=random.random() < 0.7)
    if kind == 1:
        return EVENTS, events(anthropic(text))
    if kind == 2:
        return EVENTS, events(responses(text, {"input_tokens": 9, "output_tokens": output}))
    if kind == 3:
        return FRAMES, b"no frames"
    if kind == 4:
        return b"image/png", b"no words"
    message = {"role": "assistant", "content": text}
    return JSON, whole({"model": model, "choices": [{"index": 0, "message": message}], "usage": usage})


class App:
    """Answers as the case at hand says, and notes what the middleware took on arrival."""

    def __init__(self) -> None:
        self.case: Any = None
        self.taken: tuple[int, ...] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if receive is not None:
            exchange = scope["ratelimit"]
            self.taken = ()
            if exchange.outcome is not None:
                self.taken = tuple(exchange.outcome.cost(at) for at in range(len(exchange.plan.rules)))
            read = b""
            while True:
                message = await receive()
                read += message["body"]
                if not message["more_body"]:
                    break
            assert read == self.case.body, "the application has all of its body"
        for message in self.case.messages:
            await send(message)
        if self.case.fails:
            raise OSError("the client is gone")


def receiving(case: Case) -> Any:
    pieces = list(case.pieces)

    async def receive() -> Any:
        if case.arrives == "later":
            await asyncio.sleep(0)
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    return receive


def counted(limiter: Limiter) -> dict[str, list[int]]:
    """Return all counters of limits and of ratios."""
    table = limiter.runtime.table
    names = [rule.counter_name for rule in limiter.policy.compiled.rules]
    names += [ratio_counter(label) for label in set(limiter.current.ratio_labels.values())]
    return {name: list(table.totals(table.counter(name))) for name in names}


def left(limiter: Limiter, case: Case) -> Any:
    scope = case.scope
    headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
    decision = limiter.peek(
        method="POST", path=scope["path"], client="192.0.2.1", headers=dict(headers), state=scope["state"]
    )
    return [(one.limit, one.remaining, one.reset_after_ns) for one in decision.verdicts]


def fields(messages: list[Any]) -> Any:
    """Return messages without the limits' own fields."""
    return [
        {**one, "headers": [pair for pair in one["headers"] if not pair[0].startswith(b"ratelimit")]}
        if "headers" in one
        else one
        for one in messages
    ]


async def test_middleware_meters_as_the_reference_does(request: pytest.FixtureRequest) -> None:
    at_once = 0
    for seed in range(request.config.getoption("--meters")):
        at_once += await compare(seed)
    assert at_once > 100, "the gate decides of bodies that are there"


async def compare(seed: int) -> int:
    """Hold one policy's requests equal; return how many were served of a body that came whole and at once."""
    random = Random(f"metering {seed}")
    text = random_policy(random)
    app, clock = App(), ManualClock()
    mounted = mount(text, app, clock=clock)
    limiter = mounted.middleware.limiter
    meter = ReferenceMeter(Limiter(Policy.from_toml(text), clock=clock))
    served = at_once = 0
    for number in range(REQUESTS):
        case = random_case(random)
        clock.advance(random.choice((0, 0.001, 1, 600)))
        app.case, app.taken = case, None
        sent: list[Any] = []
        theirs: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        with suppress(OSError):
            await mounted.middleware(dict(case.scope), receiving(case), send)
        taken = await meter.request(dict(case.scope), case.read, app, theirs)
        about = f"seed {seed}, request {number}\n{text}\n{case}"
        assert app.taken == taken, about
        if taken is not None:
            served += 1
            at_once += case.arrives == "at once" and bool(case.read)
            assert fields(sent) == fields(theirs), about
        else:
            assert sent[0]["status"] in (400, 429), about
        assert left(limiter, case) == left(meter.limiter, case), about
        assert counted(limiter) == counted(meter.limiter), about
        assert not limiter.unsettled_units, about
    assert served, text
    limiter.close()
    meter.limiter.close()
    return at_once
