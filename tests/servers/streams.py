"""Answers of models as a real server sends them, in pieces; policy by environment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from ratelimit import RateLimitMiddleware
from tests.usage.answers import ANSWERS, EVENTS, LONG

PIECE = 61


async def answer(request: Request) -> StreamingResponse:
    """Send one of the answers, after the whole body was read."""
    await request.body()
    found = ANSWERS[int(request.path_params["number"])]

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(found.body), PIECE):
            yield found.body[at : at + PIECE]
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), headers={"content-type": found.content_type.decode()})


async def long(request: Request) -> StreamingResponse:
    """Send an answer that never ends."""

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield LONG
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), headers={"content-type": EVENTS.decode()})


async def hold(request: Request) -> StreamingResponse:
    """Say which process this is, and then nothing more until the client leaves."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"%d\n" % os.getpid()
        await asyncio.Event().wait()

    return StreamingResponse(pieces(), headers={"content-type": EVENTS.decode()})


async def echo(request: Request) -> PlainTextResponse:
    """Send back the size of what came."""
    return PlainTextResponse(str(len(await request.body())))


app = Starlette(
    routes=[
        Route("/answers/{number}", answer, methods=["POST"]),
        Route("/long", long, methods=["POST"]),
        Route("/hold", hold, methods=["POST"]),
        Route("/echo", echo, methods=["POST"]),
    ]
)
app.add_middleware(RateLimitMiddleware, policy=os.environ["RATELIMIT_TEST_POLICY"])
