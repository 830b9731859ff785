"""The cost of reading usage from a chunk of an answer.

One answer of each shape is fed to a reader chunk by chunk, as a server sends it: an event a chunk.
Chunks with usage and those without are timed apart, and the event of a response that repeats 100 kB
of output by itself. What is timed is the call that the middleware makes for each chunk.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.report import Answer, Row
from benchmarks.rounds import Contender, local, race
from benchmarks.settings import Settings
from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.usage import answer as passing
from ratelimit.usage.learned import Learned
from ratelimit.usage.report import reader_of, reading_of
from ratelimit.usage.request import Declared
from ratelimit.usage.rules import Use

NAME = "usage"
NOTHING = "the loop"
WITHOUT_US, WITH_US = 3.0, 20.0
POLICY = """\
version = 1
[[limit]]
name = "tokens"
per = "ip"
unit = "output_tokens"
rate = "17000000000/day"
algorithm = "fixed-window"
cost = 1
usage = "auto"
on_refusal = ["cut"]
"""
WORDS = "The quick brown fox "
CHAT: dict[str, Any] = {
    "id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG",
    "object": "chat.completion.chunk",
    "created": 1741570283,
    "model": "gpt-4o-2024-08-06",
    "system_fingerprint": "fp_fc9f1d7035",
}
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def event(document: Any, name: str = "") -> bytes:
    """Return a server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document, separators=(',', ':'))}\n\n".encode()


def chat(text: str) -> bytes:
    """Return a chunk of a chat completion."""
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return event({**CHAT, "choices": [choice], "usage": None})


def anthropic(**more: Any) -> bytes:
    """Return an event of a message."""
    return event(more, more["type"])


def gemini(text: str) -> bytes:
    """Return a chunk of generated content."""
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 15, "thoughtsTokenCount": 5}
    return event({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"})


def response(text: str) -> bytes:
    """Return the last event of a response, which repeats all of it."""
    output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}]
    usage = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 20}
    whole = {"id": "resp_1", "output": output, "usage": usage}
    return anthropic(type="response.completed", sequence_number=9, response=whole)


def answer(settings: Settings) -> Answer:
    """Time one chunk of each kind."""
    found = Answer(NAME, "What does reading an answer's usage add to a chunk?")
    text = {"type": "text_delta", "text": WORDS}
    without = {
        "OpenAI chat": chat(WORDS),
        "Anthropic": anthropic(type="content_block_delta", index=0, delta=text),
        "one line of text, 2 kB": chat(WORDS * 100),
    }
    usage = {"input_tokens": 60, "cache_read_input_tokens": 40, "output_tokens": 20}
    end = {"stop_reason": "end_turn"}
    having = {
        "OpenAI chat, the last": event({**CHAT, "choices": [], "usage": USAGE}) + b"data: [DONE]\n\n",
        "Anthropic, the last": anthropic(type="message_delta", delta=end, usage=usage),
        "Gemini, every one": gemini(WORDS),
    }
    for name, chunk in having.items():
        _check(name, chunk)
    for kind, chunks, aim in (("without usage", without, WITHOUT_US), ("with usage", having, WITH_US)):
        contenders = [local(NOTHING, _empty), *(_feeding(name, chunk) for name, chunk in chunks.items())]
        samples = race(contenders, rounds=settings.rounds, slice_ns=settings.slice_ns)
        found.samples(kind, samples, "µs", 1000.0)
        for name in chunks:
            found.rows.append(Row(f"{name}: a chunk {kind}", samples[name].median / 1000, "µs", aim))
    large = response(WORDS * 5000)
    _check("Responses", large)
    pieces = [large[at : at + 16384] for at in range(0, len(large), 16384)]
    contenders = [local(NOTHING, _empty), _feeding("pieces", *pieces)]
    samples = race(contenders, rounds=settings.rounds, slice_ns=settings.slice_ns)
    each_us = samples["pieces"].median / len(pieces) / 1000
    found.rows.append(Row("Responses: an event of 100 kB, a chunk of 16 kB", each_us, "µs", WITH_US))
    _through_the_middleware(found, settings)
    _first_byte(found, settings)
    found.notes.append("a reader keeps no bytes of an answer: an event of any length is scanned once")
    return found


def _through_the_middleware(found: Answer, settings: Settings) -> None:
    """Time what passes a chunk on: a `send` with a reader, and one that may cut the stream."""
    limiter = Limiter(Policy.from_toml(POLICY))
    decision = limiter.decide(method="POST", path="/v1/chat", client="192.0.2.1")
    if not decision.allowed:
        raise SystemExit("the budget is too small")
    matched = limiter.current.match("POST", "/v1/chat")
    identities = limiter.current.extractor.extract([], "192.0.2.1")
    _, _, plan, outcome = limiter.runtime.decide(limiter.current, matched, list(identities), limiter.now_ns())
    if plan is None or outcome is None or plan.metered is None:
        raise SystemExit("nothing is metered")
    use = Use(plan.metered, Learned(), identities, matched.template)
    use.costs(Declared(), {}, limiter.now_ns())
    start: Message = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"text/event-stream")],
    }
    sends = {
        "read": passing.Answer(use, None, outcome, _pass_on, limiter.now_ns),
        "read, and cut at its end": passing.Answer(use, plan, outcome, _pass_on, limiter.now_ns),
    }
    contenders = [local(NOTHING, partial(_send, _pass_on))]
    for name, watched in sends.items():
        watched.send(start)
        contenders.append(local(name, partial(_send, watched.send)))
    samples = race(contenders, rounds=settings.rounds, slice_ns=settings.slice_ns)
    found.samples("through the middleware", samples, "µs", 1000.0)
    for name in sends:
        found.rows.append(
            Row(
                f"a chunk of a chat through the middleware, {name}",
                samples[name].median / 1000,
                "µs",
                WITH_US,
            )
        )


DECLARED = POLICY.replace("cost = 1", 'cost = "declared"')
BODY = json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": WORDS}]}).encode()


def _first_byte(found: Answer, settings: Settings) -> None:
    """Time a request from the server's call to the application's first byte, with all around it and bare."""
    middleware = RateLimitMiddleware(
        _streaming, limiter=Limiter(Policy.from_toml(DECLARED)), reload_interval_s=0
    )
    contenders = [
        Contender(NOTHING, partial(_to_first_byte, _streaming)),
        Contender("declared, read", partial(_to_first_byte, middleware)),
    ]
    samples = race(contenders, rounds=settings.rounds, slice_ns=settings.slice_ns)
    found.samples("to the first byte", samples, "µs", 1000.0)
    added_us = samples["declared, read"].median / 1000
    found.rows.append(Row("first byte: body looked at, decided, watched; added", added_us, "µs", WITH_US))


async def _streaming(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": chat(WORDS), "more_body": True})


def _to_first_byte(app: ASGIApp, count: int) -> float:
    """Return nanoseconds from the call to the first byte that the server is given."""
    head = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "raw_path": b"/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))],
        "client": ("192.0.2.1", 4711),
        "server": ("127.0.0.1", 80),
        "state": {},
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    begun_ns = spent_ns = 0

    async def send(message: Message) -> None:
        nonlocal spent_ns
        if message["type"] == "http.response.body":
            spent_ns += time.thread_time_ns() - begun_ns

    for _ in range(count):
        begun_ns = time.thread_time_ns()
        call = app(dict(head), receive, send)
        try:
            call.send(None)  # type: ignore[attr-defined]
        except StopIteration:
            continue
        raise SystemExit("something waits")
    return spent_ns / count


def _pass_on(message: Message) -> Any:
    return None


def _send(send: Callable[[Message], Any], count: int) -> None:
    message: Message = {"type": "http.response.body", "body": chat(WORDS), "more_body": True}
    for _ in range(count):
        send(message)


def _empty(count: int) -> None:
    for _ in range(count):
        pass


def _feeding(name: str, *chunks: bytes) -> Contender:
    reader = reader_of("auto", b"text/event-stream")
    assert reader is not None
    feed: Callable[[bytes], None] = reader.feed

    def run(count: int) -> None:
        _feed(feed, chunks, count)

    return local(name, run)


def _feed(feed: Callable[[bytes], None], chunks: Sequence[bytes], count: int) -> None:
    if len(chunks) == 1:
        chunk = chunks[0]
        for _ in range(count):
            feed(chunk)
        return
    for _ in range(count):
        for chunk in chunks:
            feed(chunk)


def _check(name: str, chunk: bytes) -> None:
    reader = reader_of("auto", b"text/event-stream")
    assert reader is not None
    reader.feed(chunk)
    reading = reading_of(reader, is_complete=True)
    if reading.certainty != "exact" or reading.usage.output != 20:
        raise SystemExit(f"{name}: read {reading}")
