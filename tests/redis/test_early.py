"""Limits that a head decides, kept by a server: one question more where it spares a look-up."""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from ratelimit import RateLimitMiddleware
from tests.asgi.driver import Client, key, limit, ok
from tests.asgi.metered import Posting
from tests.support.redis.live import Live
from tests.support.redis.live import rules as live_rules
from tests.support.redis.server import Server

USER = 'user = { from = "resolver:user", missing = "refuse" }\nip = { from = "client" }'
PER_IP = limit("by-address", per="ip", rate="5/year", algorithm="fixed-window")
PER_USER = limit("by-user", per="user", rate="3/year", algorithm="fixed-window")


@pytest.mark.parametrize(("size", "taken"), [(1_000, 3), (40_000, 2)])
async def test_large_body_of_a_caller_that_is_refused_anyway_is_not_read(
    server: Server, size: int, taken: int
) -> None:
    """A small one is: to read it costs less than one more question to the server."""
    per_account = 'per = "account"\nrate = "2/year"\nalgorithm = "fixed-window"\n'
    tokens = (
        'per = "account"\nunit = "output_tokens"\nrate = "10000/day"\nusage = "auto"\ncost = "declared"\n'
    )
    limiter = Live(live_rules(server.url, per_account, tokens))
    read = 0

    middleware = RateLimitMiddleware(reading_all, limiter=limiter, reload_interval_s=0)

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        async def counted() -> Any:
            nonlocal read
            read += 1
            return await receive()

        await middleware(scope, counted, send)

    client = Posting(counting)
    document = {"max_tokens": 5, "pad": "x" * size}
    headers = [(b"x-account", b"a"), (b"x-ip", b"i")]
    statuses = [(await client.send_document(document, headers, 1 << 20)).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert read == taken
    await limiter.aclose()


async def reading_all(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await ok(scope, receive, send)


class Directory:
    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Any) -> str:
        self.asked += 1
        return dict(scope["headers"])[b"x-api-key"].decode()


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_caller_above_its_limit_by_address_costs_no_look_up(
    server: Server, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    store = f'[store]\nurl = "{server.url}"\nmode = "{mode}"\n[hashing]\nkey = "env:EARLY_KEY"\n'
    monkeypatch.setenv("EARLY_KEY", token_hex(16))
    policy.write_text(
        f"version = 1\n{store}[identities]\n{USER}\n[[limit]]\n{PER_IP}\n[[limit]]\n{PER_USER}\n"
    )
    directory = Directory()
    middleware = RateLimitMiddleware(ok, policy, reload_interval_s=0, resolvers={"user": directory})
    client = Client(middleware)
    try:
        # The second stage refuses, and nothing stays charged of the first.
        assert [(await client(headers=key("ann"))).status for _ in range(5)] == [200] * 3 + [429] * 2
        assert [(await client(headers=key(f"user {at}"))).status for at in range(40)] == [200] * 2 + [
            429
        ] * 38
        assert directory.asked == 7
        elsewhere = [(await client(headers=key("user 30"), peer="198.51.100.1")).status for _ in range(4)]
        assert elsewhere == [200] * 3 + [429]
    finally:
        await middleware.limiter.aclose_connections()
        middleware.limiter.close()
