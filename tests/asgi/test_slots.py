"""Slots of an account, an organisation, a cluster, and in total: freed once, however a stream ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ratelimit import Limiter, ManualClock, Policy, RateLimitMiddleware
from ratelimit.waiting.stage import WaitingPart
from tests.asgi.driver import Client, limit, rules

IDENTITIES = """account = { from = "header:x-api-key" }
organisation = { from = "header:x-org", missing = "skip" }"""
CORRELATION = """
[correlation]
principal = "account"
network = "ip"
payment = "organisation"
known = { together = [["a1", "a2", "a3"]] }
"""
START_NS = 1_700_000_000 * 10**9
LEVELS = ["account", "organisation", "cluster", ""]


class Streams:
    """An application with streams that end when they are told to, and as they are told to."""

    def __init__(self, per: str, **more: Any) -> None:
        self.ends = asyncio.Event()
        self.how = "finishes"
        self.begun = 0
        # Only the cluster's own limit is per cluster: without members it would never bind.
        slots = limit("slots", per=per, rate="", concurrent=2, match="* /v1", **more)
        free = limit("all", rate="1000/minute", match="* /free")
        text = rules(slots, free, identities=IDENTITIES) + (CORRELATION if per == "cluster" else "")
        self.clock = ManualClock(START_NS)
        self.limiter = Limiter(Policy.from_toml(text), clock=self.clock)
        self.client = Client(RateLimitMiddleware(self.app, limiter=self.limiter, reload_interval_s=0))

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/free":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        self.begun += 1
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await self.ends.wait()
        if self.how == "raises":
            raise ZeroDivisionError
        last = {"type": "websocket.close"} if scope["type"] == "websocket" else {"type": "http.response.body"}
        await send(last)

    async def know(self) -> None:
        """Let the correlator see the accounts and say that they are one actor."""
        for account in ("a1", "a2", "a3"):
            await self.client("GET", "/free", self.headers(account))
        clustering = self.limiter.clustering
        for _ in range(3 if clustering else 0):
            assert clustering is not None
            self.clock.advance(600)
            while clustering.tick(self.clock.now_ns()):
                pass

    def headers(self, account: str) -> list[tuple[bytes, bytes]]:
        return [(b"x-api-key", account.encode()), (b"x-org", b"o")]

    def open(self, account: str, kind: str) -> asyncio.Future[list[Any]]:
        return asyncio.ensure_future(self._open(account, kind))

    async def _open(self, account: str, kind: str) -> list[Any]:
        sent: list[Any] = []
        inbox: asyncio.Queue[Any] = asyncio.Queue()
        inbox.put_nowait({"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request"})

        async def send(message: Any) -> None:
            sent.append(message)

        scope = self.client.scope("GET", "/v1", self.headers(account), kind=kind)
        await self.client.app(scope, inbox.get, send)
        return sent

    def accounts(self, per: str) -> list[str]:
        return ["a1"] * 3 if per == "account" else ["a1", "a2", "a3"]


async def turns() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


@pytest.mark.parametrize("how", ["finishes", "raises", "is cancelled"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("per", LEVELS)
async def test_slot_is_freed_once_however_its_stream_ends(per: str, kind: str, how: str) -> None:
    streams = Streams(per, wait="600s")
    await streams.know()
    streams.how = how
    first, second, third = (streams.open(account, kind) for account in streams.accounts(per))
    await turns()
    assert streams.begun == 2  # the third waits
    assert streams.limiter.runtime.part(WaitingPart).queue.waiting == 1
    if how == "is cancelled":
        first.cancel()
    else:
        streams.ends.set()
    await turns()
    assert streams.begun == 3
    streams.ends.set()
    ended = await asyncio.gather(first, second, third, return_exceptions=True)
    if how != "is cancelled":
        assert all(isinstance(one, ZeroDivisionError) == (how == "raises") for one in ended)
    again = [streams.open(account, kind) for account in streams.accounts(per)[:2]]
    await turns()
    assert streams.begun == 5  # both slots are free: none was lost, and none freed twice
    await asyncio.gather(*again, return_exceptions=True)


@pytest.mark.parametrize("per", LEVELS)
async def test_without_wait_the_third_is_refused(per: str) -> None:
    streams = Streams(per)
    await streams.know()
    held = [streams.open(account, "http") for account in streams.accounts(per)[:2]]
    await turns()
    answer = await streams.open(streams.accounts(per)[2], "http")
    assert answer[0]["status"] == 429
    streams.ends.set()
    await asyncio.gather(*held)
