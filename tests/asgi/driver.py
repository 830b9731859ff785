"""A client and a server in one: drives an ASGI application in virtual time, message by message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock

Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]
Pairs = Iterable[tuple[bytes, bytes]]

PEER = "192.0.2.1"


@dataclass
class Answer:
    """What a client sees."""

    messages: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        pairs = self.messages[0]["headers"]
        found = {name.decode(): value.decode() for name, value in pairs}
        assert len(found) == len(pairs), f"a header twice: {pairs}"
        return found

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        assert int(self.headers["content-length"]) == len(self.body)
        found: dict[str, Any] = json.loads(self.body)
        return found


class Client:
    """Sends requests to an application, from `peer`."""

    def __init__(self, app: App, *, extensions: dict[str, Any] | None = None) -> None:
        self.app = app
        self.extensions = extensions or {}

    def scope(
        self,
        method: str = "GET",
        path: str = "/",
        headers: Pairs = (),
        *,
        peer: str | None = PEER,
        kind: str = "http",
        **more: Any,
    ) -> dict[str, Any]:
        scope = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogatepass"),
            "query_string": b"",
            "root_path": "",
            "headers": list(headers),
            "client": None if peer is None else (peer, 4711),
            "server": ("127.0.0.1", 80),
            "state": {},
            "extensions": dict(self.extensions),
            **more,
        }
        if kind == "http":
            scope["method"] = method
        else:
            scope["subprotocols"] = []
        return scope

    async def __call__(
        self, method: str = "GET", path: str = "/", headers: Pairs = (), **more: Any
    ) -> Answer:
        """Send one request and return the answer."""
        answer = Answer()

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            answer.messages.append(message)

        await self.app(self.scope(method, path, headers, **more), receive, send)
        return answer

    async def statuses(self, count: int, *args: Any, **more: Any) -> list[int]:
        """Send the same request several times and return the statuses."""
        return [(await self(*args, **more)).status for _ in range(count)]

    @asynccontextmanager
    async def websocket(self, path: str = "/", headers: Pairs = (), **more: Any) -> AsyncIterator[Socket]:
        """Open a WebSocket; the application runs beside until the block ends."""
        socket = Socket()
        scope = self.scope("GET", path, headers, kind="websocket", **more)
        socket.task = asyncio.ensure_future(self.app(scope, socket.to_app.get, socket.from_app.put))
        await socket.to_app.put({"type": "websocket.connect"})
        try:
            yield socket
        finally:
            await socket.to_app.put({"type": "websocket.disconnect", "code": 1000})
            await asyncio.wait_for(socket.task, 60)


class Socket:
    """The client's end of a WebSocket."""

    def __init__(self) -> None:
        self.to_app: asyncio.Queue[Message] = asyncio.Queue()
        self.from_app: asyncio.Queue[Message] = asyncio.Queue()
        self.task: asyncio.Future[None] | None = None

    async def send(self, text: str) -> None:
        await self.to_app.put({"type": "websocket.receive", "text": text})

    async def receive(self) -> Message:
        return await asyncio.wait_for(self.from_app.get(), 60)


async def ok(scope: Message, receive: Any, send: Any) -> None:
    """The five-line application."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def echo(scope: Message, receive: Any, send: Any) -> None:
    """A WebSocket application that repeats what it is sent."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            scope["state"]["left"] = message["code"]
            return
        await send({"type": "websocket.send", "text": message["text"]})


@dataclass
class Mounted:
    """An application behind the middleware, and the clock it lives by."""

    client: Client
    clock: ManualClock
    middleware: RateLimitMiddleware


def mount(
    toml: str, app: App = ok, *, extensions: dict[str, Any] | None = None, policy: Any = None, **more: Any
) -> Mounted:
    """Put an application behind a policy, in virtual time."""
    clock = more.pop("clock", None) or ManualClock()
    middleware = RateLimitMiddleware(
        app, policy or Policy.from_toml(toml), clock=clock, reload_interval_s=0, **more
    )
    return Mounted(Client(middleware, extensions=extensions), clock, middleware)


OLDER_FIELDS = 'headers = ["ratelimit", "x-ratelimit", "retry-after"]\n'


def rules(*limits: str, identities: str = 'account = { from = "header:x-api-key" }', more: str = "") -> str:
    """Return a policy with these limits, each given as the lines of its table."""
    tables = "".join(f"[[limit]]\n{limit}\n" for limit in limits)
    return f"version = 1\n{more}\n[identities]\n{identities}\n{tables}"


def limit(name: str = "requests", per: str = "account", rate: str = "3/minute", **more: Any) -> str:
    """Return the lines of one limit."""
    lines = [f'name = "{name}"', f'per = "{per}"' if per else "per = []"]
    if rate:
        lines.append(f'rate = "{rate}"')
    lines += [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    return "\n".join(lines)


def key(value: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of a caller with this API key."""
    return [(b"host", b"api.example"), (b"x-api-key", value.encode())]


async def lifespan(app: Any, state: dict[str, Any] | None = None) -> list[Message]:
    """Start an application and shut it down, as a server does; return what it sent."""
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {} if state is None else state}
    said = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[Message] = []

    async def receive() -> Any:
        return next(said)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent
