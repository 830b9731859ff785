"""Grants in bodies where a server counts: a burst uses no more than its budget, over four workers."""

from __future__ import annotations

import json

import pytest

from tests.asgi.test_grants import BUDGET, Upstream, burst
from tests.support.redis.live import patient, rules
from tests.support.redis.server import Server

TOKENS = """
per = "account"
rate = "{rate}/hour"
unit = "output_tokens"
usage = "auto"
cost = "learned"
exposure = "grant"
"""


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_burst_uses_no_more_than_its_budget(server: Server, mode: str) -> None:
    text = rules(server.url, TOKENS.format(rate=BUDGET), mode=mode)
    upstream = Upstream("", count=4, make=lambda: patient(text))
    first = await upstream.post({"max_tokens": 50_000})
    assert first.status == 200
    assert json.loads(upstream.seen[0][1])["max_tokens"] == 30_000
    for limiter in upstream.limiters:
        await limiter.batch_client.settled()
    await burst(upstream)
    assert 0.3 * BUDGET <= upstream.used <= 1.1 * BUDGET
    # What was granted is what was charged: nothing is left over to be granted again.
    assert (await upstream.post({"max_tokens": 60_000})).status in (200, 429)
    assert upstream.used <= 1.1 * BUDGET
    for limiter in upstream.limiters:
        await limiter.aclose()
