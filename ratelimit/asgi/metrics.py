"""`/metrics` as an ASGI application: mount it, or serve it on a port of its own."""

from __future__ import annotations

from typing import cast, overload

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ratelimit.telemetry.collector import Watched
from ratelimit.telemetry.exposition import Exposition, Registry


class MetricsApp:
    """Answers every GET with the metrics. An object, so that a route takes it as it is.

    Called with a request alone, as a route's function is, it returns the response.
    """

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    @overload
    async def __call__(self, scope: Request, /) -> Response: ...
    @overload
    async def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> None: ...
    async def __call__(
        self, scope: Scope | Request, receive: Receive | None = None, send: Send | None = None, /
    ) -> Response | None:
        # One coroutine function for both: by that servers tell an application of ASGI 3.
        if receive is None or send is None:
            return await self._response(scope)
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            response = await self._response(scope)
            await response(cast("Scope", scope), receive, send)
        return None

    async def _response(self, asked: Scope | Request) -> Response:
        if asked["method"] not in ("GET", "HEAD"):
            return Response(status_code=405, headers={"allow": "GET, HEAD"})
        accept = b",".join(value for name, value in asked["headers"] if name == b"accept")
        body, content_type = await run_in_threadpool(self._exposition.render, accept.decode("latin-1"))
        headers = {"content-type": content_type, "cache-control": "no-store"}
        if asked["method"] == "HEAD":
            return Response(headers={**headers, "content-length": str(len(body))})
        return Response(body, headers=headers)


def metrics_app(limiter: Watched, *, registry: Registry | None = None) -> MetricsApp:
    """Return an ASGI application that answers every GET with the metrics.

        routes=[Route("/metrics", metrics_app(limiter))]
        app.mount("/metrics", metrics_app(limiter))

    Text or OpenMetrics, as the `Accept` header asks. The scrape runs on a worker
    thread: a table of millions of entries takes longer to walk than requests should wait.

    Args:
        limiter: the source of the metrics.
        registry: also export what is registered here; the collector is added to it.
    """
    return MetricsApp(Exposition(limiter, registry))


async def _lifespan(receive: Receive, send: Send) -> None:
    """Answer a server's lifespan when served on a port of its own."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
