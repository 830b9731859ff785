"""A check over HTTP, for proxies that ask before they pass a request on.

nginx (`auth_request`), Caddy and Traefik (`forward_auth`) send a copy of each request's header. The
answer is 204 with the limits' fields, or the refusal that the middleware would send.
"""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ratelimit.asgi.middleware import RateLimitMiddleware
from ratelimit.limiter import Limiter
from ratelimit.policy.routing.request_line import path_of, path_sent, read_method, read_target
from ratelimit.policy.routing.target import UNKNOWN_BACK_END

_METHODS = (b"x-original-method", b"x-forwarded-method")
_TARGETS = (b"x-original-uri", b"x-forwarded-uri")
"""What nginx' examples, and Caddy and Traefik, call the request that is asked about."""


def check_application(limiter: Limiter) -> ASGIApp:
    """Return the application that answers the proxies; `limiter` is kept up by its owner."""
    return Original(RateLimitMiddleware(Admitted(), limiter=limiter, reload_interval_s=0))


class Original:
    """Puts the request that is asked about in the place of the one that asks.

    Only a proxy may reach this: it believes the fields that name method and target.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = _original(scope)
        await self._app(scope, receive, send)


def _original(scope: Scope) -> Scope:
    fields = dict(scope["headers"])
    changed: dict[str, Any] = {}
    method = next((fields[name] for name in _METHODS if name in fields), None)
    if method is not None:
        changed["method"] = read_method(method)
    target = next((fields[name] for name in _TARGETS if name in fields), None)
    if target is not None:
        raw = path_sent(target)
        path = path_of(read_target(raw, placement=UNKNOWN_BACK_END))
        changed |= {"path": path, "raw_path": raw.encode(), "root_path": ""}
        changed["query_string"] = target.partition(b"?")[2].partition(b"#")[0]
    return {**scope, **changed}


class Admitted:
    """Answers what is asked about and has room: the proxy may pass it on."""

    placement = UNKNOWN_BACK_END
    """The paths are read by what is behind the proxy."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
