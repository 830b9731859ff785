"""A check over HTTP, for proxies that ask before they pass a request on.

nginx (`auth_request`), Caddy and Traefik (`forward_auth`) send a copy of each request's header, and name
its method and target in two fields. Envoy (`ext_authz`) sends them as they are. The answer is 204, or
200, with the limits' fields, or the refusal that the middleware would send.

The copy has the client's own fields, too. So exactly the two fields of the proxy that asks are believed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, get_args

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ratelimit.asgi.middleware import RateLimitMiddleware
from ratelimit.http.problem import CONTENT_TYPE
from ratelimit.limiter import Limiter
from ratelimit.policy.routing.request_line import path_of, path_sent, read_method, read_target
from ratelimit.policy.routing.target import UNKNOWN_BACK_END

Proxy = Literal["nginx", "caddy", "traefik", "envoy"]
PROXIES: tuple[Proxy, ...] = get_args(Proxy)

_ORIGINAL = (b"x-original-method", b"x-original-uri")
_FORWARDED = (b"x-forwarded-method", b"x-forwarded-uri")
PAIRS: Mapping[Proxy, tuple[bytes, bytes] | None] = {
    "nginx": _ORIGINAL,
    "caddy": _FORWARDED,
    "traefik": _FORWARDED,
    "envoy": None,
}
"""The fields of method and target; None: the check is asked with those of the request itself."""
_PAIRED = frozenset(_ORIGINAL + _FORWARDED)
_HANDSHAKES = frozenset(("GET", "CONNECT"))
"""Methods of a WebSocket's handshake: of HTTP/1.1, and of HTTP/2 (RFC 8441)."""

Note = Callable[..., None]


def check_application(limiter: Limiter, proxy: Proxy) -> ASGIApp:
    """Return the application that answers a proxy; `limiter` is kept up by its owner."""
    middleware = CheckMiddleware(
        Admitted(200 if proxy == "envoy" else 204), limiter=limiter, reload_interval_s=0
    )
    return Original(middleware, proxy, limiter.runtime.note)


class CheckMiddleware(RateLimitMiddleware):
    """Decides requests that a proxy passes on elsewhere: nothing is seen of their answers."""

    _enters = False


class Original:
    """Puts the request that is asked about in the place of the one that asks.

    Only the proxy may reach this.

    Args:
        app: what decides.
        proxy: which proxy asks.
        note: counts a trouble, and says it.
    """

    def __init__(self, app: ASGIApp, proxy: Proxy, note: Note) -> None:
        self._app = app
        self._pair = PAIRS[proxy]
        self._others = _PAIRED.difference(self._pair or ())
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        others = {name for name, _ in scope["headers"] if name in self._others}
        if others:
            self._note("serve-other-pair", about=_names(others))
        changed: dict[str, Any] = {}
        if self._pair is not None:
            headers = scope["headers"]
            methods, targets = ([value for at, value in headers if at == name] for name in self._pair)
            if not any(methods) or not any(targets):
                self._note("serve-unnamed", about=_names(self._pair))
                await _refuse(send, 500, b"the proxy does not name the request")
                return
            if len(methods) > 1 or len(targets) > 1:
                self._note("serve-contradictory")
                await _refuse(send, 400, b"the request is named twice")
                return
            changed = {"method": read_method(methods[0]), **_addressed(targets[0])}
        if changed.get("method") == "HEAD":
            send = partial(_send_without_length, send)
        scope = {**scope, **changed}
        if _is_handshake(scope):
            await _handshake(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _addressed(target: bytes) -> dict[str, Any]:
    """Return what a scope has of a request's target."""
    raw = path_sent(target)
    return {
        "path": path_of(read_target(raw, placement=UNKNOWN_BACK_END)),
        "raw_path": raw.encode(),
        "query_string": target.partition(b"?")[2].partition(b"#")[0],
        "root_path": "",
    }


async def _send_without_length(send: Send, message: Message) -> None:
    """Answer a GET about a HEAD: the body is left out, so its length is none of this answer's."""
    if message["type"] == "http.response.start":
        headers = [pair for pair in message.get("headers", ()) if pair[0] != b"content-length"]
        message = {**message, "headers": headers}
    await send(message)


def _names(fields: Any) -> str:
    return ", ".join(name.decode("ascii") for name in sorted(fields))


async def _refuse(send: Send, status: int, why: bytes) -> None:
    body = b'{"type":"about:blank","status":%d,"title":"%s"}' % (status, why)
    headers = [CONTENT_TYPE, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _is_handshake(scope: Scope) -> bool:
    """Return whether the back end may take a request for a WebSocket's handshake.

    It falls under the limits of both then. Not every proxy passes `Upgrade` on, so the key counts as well.
    """
    if scope["method"] not in _HANDSHAKES:
        return False
    return scope["method"] == "CONNECT" or any(
        name == b"sec-websocket-key" or (name == b"upgrade" and b"websocket" in value.lower())
        for name, value in scope["headers"]
    )


async def _handshake(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Have a handshake decided as one, and answer the proxy over HTTP."""
    is_begun = False

    async def receive_handshake() -> Message:
        nonlocal is_begun
        if not is_begun:
            is_begun = True
            return {"type": "websocket.connect"}
        while (await receive())["type"] != "http.disconnect":
            pass
        return {"type": "websocket.disconnect", "code": 1006}

    async def send_answer(message: Message) -> None:
        await send({**message, "type": message["type"].removeprefix("websocket.")})

    extensions = {**(scope.get("extensions") or {}), "websocket.http.response": {}}
    asked = {**scope, "type": "websocket", "subprotocols": [], "extensions": extensions}
    await app(asked, receive_handshake, send_answer)


class Admitted:
    """Answers what is asked about and has room: the proxy may pass it on.

    Args:
        status: that the proxy takes for this. Envoy takes 200 alone, the others any 2xx.
    """

    placement = UNKNOWN_BACK_END
    """The paths are read by what is behind the proxy."""

    def __init__(self, status: int) -> None:
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        # To a handshake as well: its proxy asks over HTTP.
        await send({"type": "http.response.start", "status": self._status, "headers": []})
        await send({"type": "http.response.body", "body": b""})
