"""Policies that read answers, applications that give them, and a client that posts documents."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.asgi.driver import Answer, Client, Mounted, key, limit, rules
from tests.usage.answers import EVENTS, JSON

BUDGET = 100_000


def policy(unit: str = "output_tokens", *more: str, rate: int = BUDGET, **words: Any) -> str:
    words = {"usage": "auto", "cost": 500, "algorithm": "fixed-window", **words}
    return rules(limit("tokens", rate=f"{rate}/hour", unit=unit, **words), *more)


def left(mounted: Mounted, account: str = "a") -> int:
    decision = mounted.middleware.limiter.peek(
        method="POST", identities={"account": account}, costs=dict.fromkeys(UNITS, 0)
    )
    return decision.verdicts[0].remaining


UNITS = ("output_tokens",)


def used(mounted: Mounted, account: str = "a") -> int:
    return BUDGET - left(mounted, account)


Pairs = Iterable[tuple[bytes, bytes]]


def answering(*pieces: bytes, content_type: bytes = EVENTS, headers: Pairs = ()) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        start = [(b"content-type", content_type), *headers]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


class Posting(Client):
    """A client that posts a document, in pieces."""

    async def post(self, document: Any, step: int = 11, account: str = "a", **more: Any) -> Answer:
        return await self.send_document(document, key(account), step, **more)

    async def send_document(
        self, document: Any, headers: Pairs, step: int = 11, path: str = "/v1/chat", **more: Any
    ) -> Answer:
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        parts = [raw[at : at + step] for at in range(0, len(raw), step)] or [b""]
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        messages[-1]["more_body"] = False
        answer = Answer()

        async def receive() -> Any:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            answer.messages.append(message)

        headers = [*headers, (b"content-type", JSON), (b"content-length", b"%d" % len(raw))]
        await self.app(self.scope("POST", path, headers, **more), receive, send)
        return answer


def posting(mounted: Mounted) -> Posting:
    return Posting(mounted.middleware)


def pieces_of(body: bytes, size: int = 13) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


async def reading_back(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what was received, message by message."""
    parts = []
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        parts.append(message["body"])
        if not message["more_body"]:
            break
    scope["state"]["parts"] = parts
    reserved = scope["ratelimit"].decision.verdicts[0].cost
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/x")]})
    await send({"type": "http.response.body", "body": str(reserved).encode()})
