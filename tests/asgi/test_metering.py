"""Requests with a cost that is estimated from what they declare, and settled by what their answers say."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from ratelimit.asgi.metering.body import SMALL
from tests.asgi.driver import key, limit, mount, ok, rules
from tests.asgi.metered import BUDGET, answering, pieces_of, policy, posting, reading_back, used
from tests.usage.answers import ANSWERS, CHAT_USAGE, EVENTS, JSON, chat


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
async def test_exact_usage_replaces_the_estimate_and_no_byte_is_changed(answer: Any) -> None:
    app = answering(*pieces_of(answer.body), content_type=answer.content_type)
    mounted = mount(policy(usage=answer.shape), app)
    got = await mounted.client("POST", headers=key("a"))
    assert got.body == answer.body
    assert used(mounted) == answer.usage.output


async def test_every_piece_is_passed_on_when_it_comes() -> None:
    body = pieces_of(chat("word " * 20, CHAT_USAGE))
    mounted = mount(policy(), answering(*body))
    got = await mounted.client("POST", headers=key("a"))
    assert [message["body"] for message in got.messages[1:]] == [*body, b""]


@pytest.mark.parametrize(
    ("unit", "amount"),
    [
        ("output_tokens", 20),
        ("input_tokens", 100),
        ("total_tokens", 120),
        ("fresh_input_tokens", 50),
        ("cache_read_tokens", 40),
        ("cache_write_tokens", 10),
    ],
)
async def test_units(unit: str, amount: int) -> None:
    mounted = mount(policy(unit), answering(chat("word", CHAT_USAGE)))
    await mounted.client("POST", headers=key("a"))
    assert (
        mounted.middleware.limiter.peek(method="POST", identities={"account": "a"}, costs={unit: 0})
        .verdicts[0]
        .remaining
        == BUDGET - amount
    )


@pytest.mark.parametrize(("text", "charged"), [("", 0), ("word", 1), ("w" * 7000, 2000)])
async def test_hang_up_pays_what_was_seen(text: str, charged: int) -> None:
    body = chat(text, None, asked=False)
    seen = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENTS)]})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        seen.set()
        await asyncio.Event().wait()

    mounted = mount(policy(), app)
    request = asyncio.ensure_future(mounted.client("POST", headers=key("a")))
    await seen.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert used(mounted) == charged


async def test_application_that_raises_in_mid_stream() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(chat("w" * 7000, None, asked=False))(scope, receive, send)
        raise ZeroDivisionError

    mounted = mount(policy(), app)
    with pytest.raises(ZeroDivisionError):
        await mounted.client("POST", headers=key("a"))
    assert used(mounted) == 2000


async def test_unknown_keeps_the_estimate() -> None:
    mounted = mount(policy(), answering(b'{"image": "..."}', content_type=b"application/json"))
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) == 500


async def test_what_the_application_settles_itself_stands() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["ratelimit"].settle(output_tokens=77)
        await answering(chat("word", CHAT_USAGE))(scope, receive, send)

    mounted = mount(policy(), app)
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) == 77


async def test_gzip_is_charged_by_its_bytes() -> None:
    """Usage in a compressed answer cannot be read, so its bytes are charged if they are more."""
    mounted = mount(policy(), answering(b"\x1f" * 7000, headers=[(b"content-encoding", b"gzip")]))
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) == 2000


@pytest.mark.parametrize(
    ("document", "reserved"),
    [
        ({"max_tokens": 700, "messages": ["x" * 90]}, 700),
        ({"messages": [], "generationConfig": {"maxOutputTokens": 300}}, 300),
        ({"messages": []}, 1024),
        ({"max_tokens": 10**12}, 6250),
        ({"max_tokens": 0}, 1024),
        (b"not json", 1024),
        (b"", 1024),
        (b'{"max_tokens": 1, "pad": "' + b"x" * (1 << 20) + b'"}', 6250),
    ],
)
async def test_declared_maximum_is_reserved_and_the_body_stays_whole(document: Any, reserved: int) -> None:
    """A declared maximum that is tiny, huge, or hidden behind padding pins no budget."""
    mounted = mount(policy(cost="declared"), reading_back)
    state: dict[str, Any] = {}
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    step = max(11, len(raw) // 50)
    got = await posting(mounted).post(document, step, state=state)
    assert got.body == str(reserved).encode()
    assert b"".join(state["parts"]) == raw
    assert [len(part) for part in state["parts"][:-1]] == [step] * (len(state["parts"]) - 1)
    assert mounted.middleware._mount.metering.held.size == 0


async def test_hang_up_before_the_application_began_gives_all_back() -> None:
    """A client that hangs up before the application began owes nothing, since nothing was done."""

    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the client is gone")

    mounted = mount(policy(cost="declared"), never)
    messages = [
        {"type": "http.request", "body": b'{"max_tokens": 9', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    scope = mounted.client.scope("POST", "/", [*key("a"), (b"content-length", b"99")])
    await mounted.middleware(scope, receive, None)  # type: ignore[arg-type]
    assert used(mounted) == 0
    assert mounted.middleware._mount.metering.held.size == 0


async def test_estimate_is_learned_from_what_the_account_used() -> None:
    answers = iter([2000] * 30)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        usage = {**CHAT_USAGE, "completion_tokens": next(answers)}
        scope["state"]["cost"] = scope["ratelimit"].decision.verdicts[0].cost
        await answering(chat("word", usage))(scope, receive, send)

    mounted = mount(policy(cost="learned"), app)
    costs = []
    for _ in range(30):
        state: dict[str, Any] = {}
        await posting(mounted).post({"messages": []}, state=state)
        costs.append(state["cost"])
    assert costs[0] == 1024
    assert 2000 <= costs[-1] <= 2500
    state = {}
    answers = iter([10])
    await posting(mounted).post({"max_tokens": 64}, state=state)
    assert state["cost"] == 64


@pytest.mark.parametrize(
    ("value", "reserved"),
    [
        (b"700", 700),
        (b"0700", 700),
        (b"-1", 1024),
        (b"1e3", 1024),
        (b"", 1024),
        (b"9" * 30, BUDGET),
        (b"\xb2", 1024),
    ],
)
async def test_estimate_by_a_header(value: bytes, reserved: int) -> None:
    mounted = mount(policy(cost="header:X-Expected"), reading_back)
    got = await mounted.client("POST", headers=[*key("a"), (b"x-expected", value)])
    assert got.body == b"%d" % reserved


@pytest.mark.parametrize(
    ("value", "reserved"), [(700, 700), (-1, 0), (True, 0), ("700", 0), (7.5, 0), (10**30, BUDGET)]
)
async def test_estimate_by_state(value: Any, reserved: int) -> None:
    mounted = mount(policy(cost="state:expected"), reading_back)
    got = await mounted.client("POST", headers=key("a"), state={"expected": value})
    assert got.body == b"%d" % reserved


async def test_huge_maxima_leave_an_honest_neighbour_its_organisation_s_budget() -> None:
    """Huge declared maxima: 600 requests that declare a million each, and one that does not.

    They count in full, up to the longest answer. So they are bounded by their account's own limit.
    """
    words = {"unit": "output_tokens", "usage": "auto", "cost": "declared", "algorithm": "fixed-window"}
    limits = (
        limit("organisation", per="organisation", rate=f"{BUDGET}/hour", most=8192, **words),
        limit("account", rate=f"{BUDGET // 10}/hour", most=8192, **words),
    )
    identities = 'account = { from = "header:x-api-key" }\norganisation = { from = "state:organisation" }'
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await answering(chat("word", {**CHAT_USAGE, "completion_tokens": 100}))(scope, receive, send)

    mounted = mount(rules(*limits, identities=identities), app)
    go.set()
    for _ in range(25):
        await posting(mounted).post({"max_tokens": 200}, state={"organisation": "o"})
    go.clear()

    async def one(declared: int, account: str) -> int:
        document, state = {"max_tokens": declared}, {"organisation": "o"}
        return (await posting(mounted).post(document, account=account, state=state)).status

    greedy = [asyncio.ensure_future(one(1_000_000, "greedy")) for _ in range(600)]
    for _ in range(50):
        await asyncio.sleep(0)
    honest = asyncio.ensure_future(one(200, "honest"))
    for _ in range(50):
        await asyncio.sleep(0)
    go.set()
    assert await honest == 200
    assert Counter(await asyncio.gather(*greedy)) == {200: 3, 429: 597}


async def test_realtime_connection_is_settled_when_it_closes() -> None:
    usage = {"input_tokens": 50, "output_tokens": 20, "total_tokens": 70}
    done = json.dumps({"type": "response.done", "response": {"usage": usage}})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(3):
            await send({"type": "websocket.send", "text": done})
        await receive()

    mounted = mount(policy(), app)
    async with mounted.client.websocket(headers=key("a")) as socket:
        assert (await socket.receive())["type"] == "websocket.accept"
        assert used(mounted) == 500
    assert used(mounted) == 60


async def test_refused_request_s_body_is_let_go() -> None:
    mounted = mount(policy(rate=100, cost="declared"), ok)
    statuses = [(await posting(mounted).post({"max_tokens": 60})).status for _ in range(3)]
    assert statuses == [200, 429, 429]
    assert mounted.middleware._mount.metering.held.size == 0


async def test_request_that_is_cancelled_while_its_body_is_read() -> None:
    """Cancelled before it is decided: nothing is reserved, nothing held."""
    mounted = mount(policy(cost="declared"), ok)
    body = b'{"max_tokens": 9' + b" " * SMALL
    messages = [{"type": "http.request", "body": body, "more_body": True}]

    async def receive() -> Any:
        return messages.pop(0) if messages else await asyncio.Event().wait()

    scope = mounted.client.scope("POST", "/", [*key("a"), (b"content-length", b"99")])
    request = asyncio.ensure_future(mounted.middleware(scope, receive, None))  # type: ignore[arg-type]
    for _ in range(3):
        await asyncio.sleep(0)
    assert mounted.middleware._mount.metering.held.size == len(body)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert (used(mounted), mounted.middleware._mount.metering.held.size) == (0, 0)


async def test_store_that_fails_leaves_no_body_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reservation is leaked, whatever is raised between reading the body and running the application."""
    mounted = mount(policy(cost="declared"), ok)

    async def adecide(*asked: Any, **more: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(mounted.middleware.limiter.runtime, "adecide", adecide)
    with pytest.raises(asyncio.CancelledError):
        await posting(mounted).post({"max_tokens": 5})
    assert mounted.middleware._mount.metering.held.size == 0


@pytest.mark.parametrize(("text", "kept"), [("word " * 40, 57), ("", 0)])
async def test_error_of_the_client_gives_back_what_no_model_has_used(text: str, kept: int) -> None:
    """Else a request that is answered at length, with 400 and without an end, would be free."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", JSON)]})
        body = b'{"choices": [{"message": {"content": "%s' % text.encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})

    mounted = mount(policy(cost=500), app)
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) == kept
