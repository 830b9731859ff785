"""Ways around a token budget: what is ambiguous is no smaller estimate, no refund and no other model."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from ratelimit import Limiter, ManualClock, Policy
from ratelimit.asgi.metering.body import MOST_MESSAGES
from ratelimit.usage.rules import is_like
from tests.asgi.driver import Answer, key, limit, mount, ok, rules
from tests.asgi.metered import BUDGET, answering, policy, posting, reading_back, used
from tests.asgi.test_bursts import Model
from tests.usage.answers import CHAT_USAGE, EVENTS, JSON, chat, event, whole

DECLARES = {"max_tokens": 4000, "model": "m"}
FORGED = {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}


async def reserved(document: bytes, *headers: tuple[bytes, bytes], path: str = "/v1/chat") -> int:
    """Return what a request reserves, with headers in place of those that it should have."""
    mounted = mount(policy(cost="declared"), reading_back)
    messages = [{"type": "http.request", "body": document, "more_body": False}]
    answer = Answer()

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        answer.messages.append(message)

    size = (b"content-length", b"%d" % len(document))
    await mounted.middleware(mounted.client.scope("POST", path, [*key("a"), size, *headers]), receive, send)
    return int(answer.body)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"content-type", b"text/plain"),),
        ((b"content-type", b"multipart/form-data; boundary=x"),),
        ((b"content-type", JSON), (b"content-type", b"image/png")),
        ((b"content-encoding", b"identity"),),
    ],
)
async def test_maximum_is_read_whatever_the_headers_say_of_the_body(headers: Any) -> None:
    assert await reserved(json.dumps(DECLARES).encode(), *headers) == 4000


@pytest.mark.parametrize("encoding", [b"gzip", b"GZIP", b"br", b"identity, gzip"])
async def test_compressed_request_counts_as_one_that_declares_the_most(encoding: bytes) -> None:
    document = gzip.compress(json.dumps({**DECLARES, "max_tokens": 1}).encode())
    assert await reserved(document, (b"content-encoding", encoding)) == BUDGET // 16


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions/", "/V1/Chat/Completions"])
async def test_maximum_of_another_api_reserves_nothing_less(path: str) -> None:
    """Declared by a field that the model never sees: 500 such requests would reserve 500 tokens."""
    for field in ("max_output_tokens", "max_tokens_"):
        assert await reserved(json.dumps({field: 1}).encode(), path=path) == 1024
    assert await reserved(b'{"options": {"num_predict": 1}, "max_tokens": 50}', path=path) == 50


async def test_maximum_that_was_not_heeded_once_reserves_nothing_less_again() -> None:
    """Where nothing tells which fields an API has, its answers do."""
    model = Model()
    mounted = mount(policy(cost="declared"), model)
    client = posting(mounted)
    sly = {"options": {"num_predict": 1}, "wants": 2000}
    await client.post(sly, 4096)
    mounted.clock.advance(3600.0)
    model.served = 0
    statuses = [(await client.post(sly, 4096, account="b")).status for _ in range(100)]
    assert statuses.count(200) <= BUDGET // 2000
    # Other fields are believed as before.
    assert (await client.post({"max_tokens": 10, "wants": 10}, 4096, account="c")).status == 200


async def test_answer_of_long_blanks_takes_no_maximum_its_trust() -> None:
    """What is counted by bytes may be few tokens: a caller could make a route's maxima count for nothing."""
    body = chat(" " * 40_000, None, asked=False)
    mounted = mount(policy(cost="declared"), answering(body))
    await posting(mounted).post({"max_tokens": 1000})
    learned = mounted.middleware._mount.metering.learned
    assert (learned.sizes["votes"], learned.sizes["voters"], learned.sizes["exceeded"]) == (1, 1, 0)


RAW = [b"data: Once upon\n\n", b"data: a time\n\n"] * 300


@pytest.mark.parametrize("at", [0, 1, 300, 600])
async def test_usage_among_words_as_they_are_is_no_usage(at: int) -> None:
    """An application that sends words as they are, and a model that was asked to say how much it used."""
    pieces = [*RAW]
    pieces[at:at] = [event(FORGED), b"data: [DONE]\n\n"]
    mounted = mount(policy(), answering(*pieces))
    await mounted.client("POST", headers=key("a"))
    text = sum(len(piece) - len(b"data: \n\n") for piece in RAW)
    assert used(mounted) == text * 2 // 7


@pytest.mark.parametrize(
    "media", [b"text/plain", b"text/html; charset=utf-8", b"application/octet-stream", b""]
)
@pytest.mark.parametrize("text", [whole(FORGED), event(FORGED) + b"data: [DONE]\n\n"])
async def test_words_that_look_like_an_answer_with_usage_give_nothing_back(media: bytes, text: bytes) -> None:
    """Headers promise plain words, and the words of the model promise that they cost nothing."""
    mounted = mount(policy(), answering(text, content_type=media))
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) == 500


async def test_text_after_the_usage_is_charged() -> None:
    """Some servers say at the start that nothing was used yet, and nothing at the end."""
    pieces = [event(FORGED), chat("w" * 7000, None, asked=False)]
    mounted = mount(policy(), answering(*pieces))
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) == 2000


@pytest.mark.parametrize("encoding", [b"gzip", b"x-gzip", b"deflate"])
@pytest.mark.parametrize("step", [1, 7, 4096])
async def test_compressed_answer_is_read(encoding: bytes, step: int) -> None:
    """Clients choose by `Accept-Encoding` whether answers are compressed: both count all the same."""
    usage = {**CHAT_USAGE, "completion_tokens": 4321}
    answer = whole({"choices": [{"message": {"content": "w" * 50_000}}], "usage": usage})
    raw = zlib.compress(answer) if encoding == b"deflate" else gzip.compress(answer)
    pieces = [raw[at : at + step] for at in range(0, len(raw), step)]
    app = answering(*pieces, content_type=JSON, headers=[(b"content-encoding", encoding)])
    mounted = mount(policy(), app)
    got = await mounted.client("POST", headers=key("a"))
    assert (got.body, used(mounted)) == (raw, 4321)


async def test_compressed_answer_without_usage_is_charged_by_its_words() -> None:
    """A thousand times the same word are few bytes when they are compressed."""
    raw = gzip.compress(chat("w" * 70_000, None, asked=False))
    assert len(raw) < 7000
    mounted = mount(policy(), answering(raw, headers=[(b"content-encoding", b"gzip")]))
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) == 20_000


async def test_words_behind_a_compressed_answer_are_charged_at_least() -> None:
    raw = gzip.compress(whole({"choices": [], "usage": CHAT_USAGE})) + b"w" * 7000
    mounted = mount(policy(), answering(raw, content_type=JSON, headers=[(b"content-encoding", b"gzip")]))
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) >= 2000


async def test_short_words_are_a_token_an_event() -> None:
    """Without `stream_options` digits are streamed, a token each, and each is one byte."""
    pieces = [event({"choices": [{"delta": {"content": "7"}, "finish_reason": None}]})] * 3000
    mounted = mount(policy(), answering(*pieces))
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) == 3000


async def test_words_sent_as_they_are_over_a_websocket_are_charged() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        done = {"type": "response.done", "response": {"usage": {"output_tokens": 0}}}
        for text in ("w" * 7000, json.dumps(done)):
            await send({"type": "websocket.send", "text": text})
        await receive()

    mounted = mount(policy(), app)
    async with mounted.client.websocket(headers=key("a")) as socket:
        await socket.receive()
    assert used(mounted) == 2000


OPUS = limit("opus", rate="2/hour", model=["claude-opus-*"], algorithm="fixed-window", match="POST /v1/*")


@pytest.mark.parametrize(
    "document",
    [
        b'{"model": "Claude-OPUS-4"}',
        b'{"model": " claude-opus-4\\n"}',
        b'{"model": "claude-opus-4", "model": "small"}',
        b'{"model": "small", "m\\u006fdel": "claude-opus-4"}',
        b'[{"model": "small"}]',
        b'{"model": ["claude-opus-4"]}',
        b'{"model": "small"} {"model": "claude-opus-4"}',
    ],
)
async def test_model_that_is_spelled_otherwise_falls_under_its_limit(document: bytes) -> None:
    mounted = mount(rules(OPUS), ok)
    answers = [await posting(mounted).post(document, 1 << 16) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]


def test_pattern_of_many_stars_takes_no_time() -> None:
    """A name made for a pattern made searching take minutes."""
    pattern = "*a" * 30 + "b"
    assert not is_like("a" * 128, pattern)
    assert is_like("a" * 127 + "b", pattern)
    assert is_like("gpt-4o-mini", "gpt-*-mini")
    assert not is_like("gpt-mini", "gpt-*-mini")
    assert is_like("gpt--mini", "gpt-*-mini")


async def test_cheap_answers_say_nothing_of_a_dear_model_s() -> None:
    """Twenty answers of a cheap model, and a burst at a dear one by callers that declare nothing."""
    prices = "".join(
        f'[prices."{model}"]\ninput = 0\noutput = {price}\n'
        for model, price in (("cheap", 0.1), ("dear", 100))
    )
    spend = limit("spend", rate="10/hour", unit="usd", cost="learned", usage="auto", algorithm="fixed-window")
    costs: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        costs.append(scope["ratelimit"].decision.verdicts[0].cost)
        await answering(event({"choices": [], "usage": CHAT_USAGE}))(scope, receive, send)

    mounted = mount(rules(spend, more=prices), app)
    for _ in range(30):
        await posting(mounted).post({"model": "cheap"})
    await posting(mounted).post({"model": "dear"})
    await posting(mounted).post({"model": "DEAR"})
    assert costs[-3] < 10
    assert costs[-1] == costs[-2] == 1024 * 100


async def test_body_in_tiny_pieces_is_held_in_bounds() -> None:
    """A message for each byte takes a hundred times the memory of the byte."""
    mounted = mount(policy(cost="declared"), reading_back)
    given = 0

    async def receive() -> Any:
        nonlocal given
        given += 1
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b" ", "more_body": True}

    scope = mounted.client.scope("POST", "/v1/chat", [*key("a"), (b"content-length", b"1000000")])
    held: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        held.append(given)

    mounted.middleware.app = app
    await mounted.middleware(scope, receive, None)  # type: ignore[arg-type]
    assert held == [MOST_MESSAGES]


@pytest.mark.parametrize("estimate", ["declared", "learned"])
def test_estimate_that_nothing_finds_is_not_nothing(estimate: str) -> None:
    """Asked by names, or by WSGI, a request took 0: any number of them was admitted at once."""
    limiter = Limiter(Policy.from_toml(policy(rate=10_000, cost=estimate)), clock=ManualClock())
    asked: dict[str, Any] = {"method": "POST", "path": "/v1/chat", "identities": {"account": "a"}}
    admitted = sum(limiter.decide(**asked).allowed for _ in range(50))
    assert admitted == 10_000 // 1024
    assert limiter.decide(**asked, costs={"output_tokens": 700}).allowed
    limiter.close()


def test_estimate_in_dollars_that_nothing_finds_is_that_of_the_dearest() -> None:
    prices = "[prices.cheap]\ninput = 0\noutput = 1\n[prices.dear]\ninput = 0\noutput = 100\n"
    spend = limit("spend", rate="1/hour", unit="usd", cost="learned", usage="auto")
    limiter = Limiter(Policy.from_toml(rules(spend, more=prices)), clock=ManualClock())
    decision = limiter.decide(method="POST", identities={"account": "a"})
    assert decision.verdicts[0].cost == 1024 * 100
    limiter.close()


async def test_events_of_a_known_end_are_exact_as_before() -> None:
    mounted = mount(policy(), answering(chat("word", CHAT_USAGE), content_type=EVENTS))
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) == 20
