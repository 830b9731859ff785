"""The application of the servers under test: one route, one stream, one WebSocket; policy by environment."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ratelimit import RateLimitMiddleware


async def chat(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(os.getpid()))


async def stream(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


app = Starlette(
    routes=[Route("/v1/chat", chat), Route("/v1/stream", stream), WebSocketRoute("/v1/live", echo)]
)
app.add_middleware(RateLimitMiddleware, policy=os.environ["RATELIMIT_TEST_POLICY"])
