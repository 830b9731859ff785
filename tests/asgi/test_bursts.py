"""Bursts against a token budget: what was served beyond it is what estimates fell short by."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.asgi.driver import Mounted, mount
from tests.asgi.metered import answering, policy, posting
from tests.usage.answers import CHAT_USAGE, event


async def burst(mounted: Mounted, documents: Sequence[Any], gate: asyncio.Event) -> list[int]:
    """Send all at once: none ends before all were decided."""
    gate.clear()
    client = posting(mounted)
    sent = [asyncio.ensure_future(client.post(document, 4096)) for document in documents]
    for _ in range(30):
        await asyncio.sleep(0)
    gate.set()
    return [answer.status for answer in await asyncio.gather(*sent)]


class Model:
    """An application that answers with as many tokens as its request wants, and counts what it served."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.served = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raw = b""
        while True:
            message = await receive()
            raw += message["body"]
            if not message["more_body"]:
                break
        await self.gate.wait()
        wants = json.loads(raw)["wants"]
        self.served += wants
        usage = {**CHAT_USAGE, "completion_tokens": wants}
        await answering(event({"choices": [], "usage": usage}))(scope, receive, send)


async def test_600_at_once_with_declared_maxima_serve_no_token_beyond_100() -> None:
    model = Model()
    mounted = mount(policy(rate=100, cost="declared"), model)
    statuses = await burst(mounted, [{"max_tokens": 10, "wants": 10}] * 600, model.gate)
    assert statuses.count(200) == 10
    assert model.served == 100


async def test_500_long_answers_that_declare_nothing_stay_near_the_budget_once_it_has_learned() -> None:
    """Of 100,000 an hour; without estimates all 500 were served, a million tokens."""
    model = Model()
    mounted = mount(policy(rate=100_000, cost="learned"), model)
    client = posting(mounted)
    for _ in range(50):
        await client.post({"wants": 2000}, 4096)
        mounted.clock.advance(3600.0)
    model.served = 0
    statuses = await burst(mounted, [{"wants": 2000}] * 500, model.gate)
    assert 0.7 * 100_000 <= model.served <= 1.1 * 100_000
    assert statuses.count(429) > 400


@pytest.mark.parametrize("real", [2000, 8000])
async def test_overshoot_is_what_estimates_fell_short_by(real: int) -> None:
    """The published bound, with nothing known: each request counts as 4,096 in flight."""
    model = Model()
    mounted = mount(policy(rate=100_000, cost="learned"), model)
    statuses = await burst(mounted, [{"wants": real}] * 500, model.gate)
    admitted = statuses.count(200)
    assert admitted == 3 * 100_000 // 4096
    assert model.served - 100_000 <= admitted * (real - 1024)
    # What was used beyond is a debt, and refuses until it is paid.
    assert (await posting(mounted).post({"wants": 1})).status == 429
