"""Answers that are several: each receipt is charged when it comes, and what its own model costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ratelimit.telemetry import RateLimitCollector
from ratelimit.usage.ending import AnswerCut
from tests.asgi.driver import key, limit, mount, rules
from tests.asgi.metered import BUDGET, answering, policy, posting, used
from tests.usage.answers import JSON, whole
from tests.usage.forms import (
    ADVISED,
    LINES,
    batch_line,
    chat,
    completed,
    heard,
    lines,
    of_choices,
    responses_usage,
    said,
    spoken,
    sse,
    whole_message,
)

PRICES = "[prices]\nm = { input = 1.0, output = 1.0 }\nthe-advisor = { input = 100.0, output = 100.0 }\n"


def money(usage: str = "auto", more: str = PRICES, estimate: Any = "declared") -> str:
    words: dict[str, Any] = {"usage": usage, "cost": estimate, "algorithm": "fixed-window"}
    return rules(limit("tokens", rate="50/hour", unit="usd", **words)) + more


def spent(mounted: Any) -> int:
    decision = mounted.middleware.limiter.peek(method="POST", identities={"account": "a"}, costs={"usd": 0})
    return 50_000_000 - int(decision.verdicts[0].remaining)


def all_used(mounted: Any) -> int:
    decision = mounted.middleware.limiter.peek(
        method="POST", identities={"account": "a"}, costs={"total_tokens": 0}
    )
    return BUDGET - int(decision.verdicts[0].remaining)


class Session:
    """An application that sends messages over a WebSocket, one for each that it receives."""

    def __init__(self, *messages: Any) -> None:
        self.messages = [json.dumps(message) for message in messages]
        self.sent = 0
        self.was_cut = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for message in self.messages:
            if (await receive())["type"] != "websocket.receive":
                return
            try:
                await send({"type": "websocket.send", "text": message})
            except AnswerCut:
                self.was_cut = True
                raise
            self.sent += 1


async def test_each_response_of_a_session_is_charged_when_it_is_done() -> None:
    mounted = mount(policy(cost=0), Session(spoken(1, 100, 20), heard(1, 20, 5), spoken(2, 100, 40)))
    async with mounted.client.websocket(headers=key("a")) as socket:
        await socket.receive()
        for expected in (20, 25, 65):
            await socket.send(text="go on")
            await socket.receive()
            assert used(mounted) == expected
    assert used(mounted) == 65


async def test_session_over_its_budget_is_closed_after_the_response_that_used_it_up() -> None:
    app = Session(*(spoken(at, 10, 40) for at in range(10)))
    mounted = mount(policy(rate=100, cost=0, on_refusal=["cut"]), app)
    got = []
    async with mounted.client.websocket(headers=key("a")) as socket:
        await socket.receive()
        for _ in range(3):
            await socket.send(text="go on")
            got.append((await socket.receive())["type"])
        error, close = await socket.receive(), await socket.receive()
    assert got == ["websocket.send"] * 3
    assert json.loads(error["text"])["type"] == "error"
    assert (close["type"], close["code"]) == ("websocket.close", 1008)
    assert app.sent == 3


async def test_turns_of_the_responses_api_over_a_websocket_add_up() -> None:
    turns = [one for at in range(3) for one in completed(at, responses_usage(100, 20, 40))]
    mounted = mount(policy(cost=0), Session(*turns))
    async with mounted.client.websocket(headers=key("a")) as socket:
        await socket.receive()
        for _ in turns:
            await socket.send(text="go on")
            await socket.receive()
    assert used(mounted) == 60


async def test_shares_of_a_usage_cost_what_their_models_cost() -> None:
    """An adviser of a hundred times the price is not billed as the model that asked it."""
    mounted = mount(money(), answering(whole(whole_message(ADVISED)), content_type=JSON))
    await posting(mounted).post({"model": "m"})
    assert spent(mounted) == (412 + 1_200 + 531) * 1 + (823 + 1_612) * 100


async def test_responses_of_a_session_cost_what_their_models_cost() -> None:
    turns = [
        {
            "type": "response.completed",
            "response": {"id": name, "model": name, "usage": responses_usage(10, 5)},
        }
        for name in ("m", "the-advisor")
    ]
    mounted = mount(money(estimate=0), Session(*turns))
    async with mounted.client.websocket(headers=key("a")) as socket:
        await socket.receive()
        for expected in (15, 15 + 1_500):
            await socket.send(text="go on")
            await socket.receive()
            assert spent(mounted) == expected


@pytest.mark.parametrize(("cost", "micro"), [(0.0042, 4_200), (1.5e-05, 15), (4.2e-7, 1), (0, 120)])
async def test_dollars_of_the_provider_take_the_place_of_the_price_list(cost: float, micro: int) -> None:
    """Nothing said, or 0, leaves the list."""
    mounted = mount(money(), answering(chat(said(100, 20, cost=cost)), content_type=JSON))
    await posting(mounted).post({"model": "m"})
    assert spent(mounted) == micro


async def test_dollars_in_a_header_and_in_a_table() -> None:
    table = PRICES + '[usage.acme]\noutput_tokens = "out"\ncost = "0.01 * cents"\n'
    mounted = mount(money("acme", table), answering(b'{"out":3,"cents":7}', content_type=JSON))
    await posting(mounted).post({"model": "m"})
    assert spent(mounted) == 70_000
    headers = [(b"x-litellm-response-cost", b"0.00042")]
    mounted = mount(money(), answering(chat(said(100, 20)), content_type=JSON, headers=headers))
    await posting(mounted).post({"model": "m"})
    assert spent(mounted) == 420


async def test_eight_choices_of_a_streamed_answer_are_charged_to_the_token() -> None:
    mounted = mount(policy("total_tokens"), answering(sse(of_choices(8))))
    await posting(mounted).post({"n": 8, "max_tokens": 200, "prompt": "why"})
    assert all_used(mounted) == 1_631


async def test_prompts_of_one_request_are_charged_to_the_token() -> None:
    mounted = mount(policy("total_tokens"), answering(sse(of_choices(1, 64))))
    await posting(mounted).post({"max_tokens": 200, "prompt": ["why"] * 64})
    assert all_used(mounted) == 12_800 + sum(5 + at for at in range(64))


async def test_results_of_a_batch_are_one_answer_in_one_chunk_or_many() -> None:
    body = lines(batch_line(at, {"usage": said(10, 5), "model": "m"}) for at in range(5_000))
    assert len(body) > 500_000
    for pieces in ((body,), tuple(body[at : at + 70_000] for at in range(0, len(body), 70_000))):
        mounted = mount(money(), answering(*pieces, content_type=LINES))
        await posting(mounted).post({})
        assert spent(mounted) == 5_000 * 15


async def test_answers_are_counted_by_certainty_and_route() -> None:
    mounted = mount(policy(match="POST /v1/*"), answering(chat(said(10, 20)), content_type=JSON))
    await posting(mounted).post({}, path="/v1/chat")
    app = answering(b"\x89PNG", content_type=b"image/png")
    other = mount(policy(match="POST /v1/*"), app)
    await posting(other).post({}, path="/v1/chat")
    for one, certainty in ((mounted, "exact"), (other, "unknown")):
        registry = CollectorRegistry()
        registry.register(RateLimitCollector(one.middleware.limiter))
        labels = {"certainty": certainty, "route": "/v1/*"}
        assert registry.get_sample_value("ratelimit_settled_total", labels) == 1
