"""`/metrics` as an ASGI application: mount it, or serve it on a port of its own."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from ratelimit.telemetry.collector import Watched
from ratelimit.telemetry.exposition import Exposition, Registry


class MetricsApp:
    """Answers every GET with the metrics. An object, so that a route takes it as it is."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, [(b"allow", b"GET, HEAD")], b"")
            return
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
        body, content_type = await run_in_threadpool(self._exposition.render, accept.decode("latin-1"))
        headers = [(b"content-type", content_type.encode("latin-1")), (b"cache-control", b"no-store")]
        await _answer(send, 200, headers, body, head=scope["method"] == "HEAD")


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


async def _answer(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, head: bool = False
) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def _lifespan(receive: Receive, send: Send) -> None:
    """Answer a server's lifespan when served on a port of its own."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
