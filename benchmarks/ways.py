"""The cost of each kind of policy to a request.

A callable of two messages, in process, bare and behind the middleware under one policy after another: an
account from the application's state, plans, lists, waiting, refusals, limits that do not match, and the eight
limits of the shipped LLM policy with its rates raised. Below them stand the other public calls: a limit as a
dependency, as a decorator, `Limiter.decide`, WebSockets.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.hosted import Hosted
from benchmarks.report import Answer, number
from benchmarks.rounds import Contender, Sample, race
from benchmarks.settings import Settings
from ratelimit import Limiter, RateLimitMiddleware

NAME = "ways"
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "llm-api" / "app-policy.toml"
KEY = b"sk-0123456789abcdef0123456789abcdef"

HEAD = """\
version = 1
[identities]
account = { from = "header:x-api-key" }
ip = { from = "client" }
"""
STATE = """\
version = 1
[identities]
account = { from = "state:account" }
plan = { from = "state:plan", missing = "skip" }
ip = { from = "client" }
"""
LIMIT = """
[[limit]]
name = "requests"
match = "POST /v1/*"
per = "account"
rate = "1000000000/minute"
"""
TIERS = LIMIT + '[limit.tiers.plan.pro]\nrate = "900000000/minute"\n'
LISTS = '[{}]\naccount = ["a", "b", "c"]\n'
KNOWN = """
[correlation]
principal = "account"
network = ["ip"]
created = "state:account_created"
"""

POLICIES = {
    "plain: one limit": HEAD + LIMIT,
    "plain: three limits": HEAD
    + LIMIT
    + LIMIT.replace('"requests"', '"address"').replace('per = "account"', 'per = "ip"')
    + LIMIT.replace('"requests"', '"everybody"').replace('per = "account"', "per = []"),
    "account from `state:`": STATE + LIMIT,
    "tier": STATE + TIERS,
    "allow list": HEAD + LIMIT + LISTS.format("allow"),
    "deny list": HEAD + LIMIT + LISTS.format("deny"),
    "correlation": STATE + LIMIT + KNOWN,
    "all of these": STATE + TIERS + LISTS.format("allow") + LISTS.format("deny") + KNOWN,
    "no limit matches": HEAD + LIMIT.replace("/v1/*", "/v2/*"),
    "empty policy": "version = 1\n",
    "`wait`, rate": HEAD + LIMIT + 'wait = "2s"\n',
    "`wait`, slots": HEAD
    + '[[limit]]\nname = "slots"\nmatch = "POST /v1/*"\nper = "account"\nconcurrent = 1000\nwait = "2s"\n',
    "refused": HEAD + LIMIT.replace("1000000000/minute", "1/day"),
}
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "model": "mock-small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 20}}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 20, "total_tokens": 32},
    }
).encode()
ASKED = json.dumps(
    {
        "model": "mock-small",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "a story in 20 words"}],
    }
).encode()


def raised() -> str:
    """Return the shipped LLM policy with rates that nothing reaches."""
    text = re.sub(r'rate = "[\d.]+/(\w+)"', r'rate = "50000000/\1"', EXAMPLE.read_text())
    return re.sub(r"burst = \d+\n", "", text)


def scope_of(kind: str = "http") -> dict[str, Any]:
    """Return a request as a server makes it."""
    path = "/v1/chat/completions"
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("192.0.2.1", 50_000),
        "scheme": kind,
        "method": "POST",
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"example.com"), (b"x-api-key", KEY), (b"content-length", b"%d" % len(ASKED))],
        "state": {"account": "acct-1", "plan": "pro", "account_created": 1_700_000_000, "payment": "card-1"},
    }


async def receive() -> Message:
    return {"type": "http.request", "body": ASKED, "more_body": False}


async def send(message: Message) -> None:
    pass


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def json_answer(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def _events() -> list[bytes]:
    events = [
        {"model": "mock-small", "choices": [{"index": 0, "delta": {"content": "word word "}}]}
        for _ in range(10)
    ]
    last = {"model": "mock-small", "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 20}}
    return [b"data: " + json.dumps(event).encode() + b"\n\n" for event in (*events, last)]


EVENTS = _events()


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for event in EVENTS:
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def socket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    for _ in range(int(scope["query_string"] or 0)):
        await receive()


class Way:
    """One way to be limited; lives in a process of its own.

    Args:
        name: a key of `POLICIES`, or of one of the applications below; "-" for the bare one.
    """

    def __init__(self, name: str, limited: bool) -> None:
        self._stack = ExitStack()
        self._turn = self._make(name, limited)
        self._runner = asyncio.Runner()
        self.turn(200)

    def _policy(self, text: str) -> str:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="kinlimit-ways-"))
        path = Path(folder) / "policy.toml"
        path.write_text(text)
        return str(path)

    def _make(self, name: str, limited: bool) -> Callable[[int], Coroutine[Any, Any, float]]:
        if name in POLICIES:
            return self._requests(bare, POLICIES[name], limited)
        if name == "LLM policy, JSON":
            return self._requests(json_answer, raised(), limited)
        if name == "LLM policy, stream of 11 chunks":
            return self._requests(stream, raised(), limited)
        if name.startswith("WebSocket"):
            return self._sockets(limited, 0 if "handshake" in name else 100)
        if name.startswith("`Depends("):
            return self._fastapi(limited)
        if name.startswith("`@limit`"):
            return self._starlette(limited)
        return self._decides(name, limited)

    def _requests(
        self, app: ASGIApp, policy: str, limited: bool
    ) -> Callable[[int], Coroutine[Any, Any, float]]:
        wrapped: ASGIApp = RateLimitMiddleware(app, policy=self._policy(policy)) if limited else app
        return self._asgi(wrapped, scope_of())

    def _asgi(
        self, app: ASGIApp, scope: dict[str, Any], receive: Receive = receive, per: int = 1
    ) -> Callable[[int], Coroutine[Any, Any, float]]:
        async def turn(count: int) -> float:
            count = max(1, count // per)
            scopes = []
            for _ in range(count):
                one = scope.copy()
                one["state"] = dict(scope["state"])
                scopes.append(one)
            begin = time.process_time_ns()
            for one in scopes:
                await app(one, receive, send)
            return (time.process_time_ns() - begin) / (count * per)

        return turn

    def _sockets(self, limited: bool, messages: int) -> Callable[[int], Coroutine[Any, Any, float]]:
        policy = HEAD + LIMIT.replace('match = "POST /v1/*"', 'match = "/v1/*"\nunit = "handshakes"')
        policy += LIMIT.replace('"requests"', '"messages"').replace(
            'match = "POST /v1/*"', 'match = "/v1/*"\nunit = "messages"'
        )
        app: ASGIApp = RateLimitMiddleware(socket, policy=self._policy(policy)) if limited else socket
        scope = scope_of("websocket") | {"query_string": b"%d" % messages}
        del scope["method"]
        connect, sent = {"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}
        left = 0

        async def receive() -> Message:
            nonlocal left
            left -= 1
            if left < 0:
                left = messages
                return connect
            return sent

        return self._asgi(app, scope, receive, max(1, messages))

    def _fastapi(self, limited: bool) -> Callable[[int], Coroutine[Any, Any, float]]:
        from fastapi import Depends, FastAPI

        from ratelimit.integrations.fastapi import limit

        app = FastAPI()
        app.add_middleware(RateLimitMiddleware, policy=self._policy(HEAD))
        depends = Depends(limit("1000000000/minute", per="account") if limited else _no_op)

        @app.post("/v1/chat/completions", dependencies=[depends])
        async def chat() -> str:
            return "hello"

        return self._asgi(app, scope_of())

    def _starlette(self, limited: bool) -> Callable[[int], Coroutine[Any, Any, float]]:
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route

        from ratelimit.integrations.starlette import limit

        async def chat(request: Request) -> PlainTextResponse:
            return PlainTextResponse("hello")

        endpoint = limit("1000000000/minute", per="account")(chat) if limited else chat
        app = Starlette(routes=[Route("/v1/chat/completions", endpoint, methods=["POST"])])
        app.add_middleware(RateLimitMiddleware, policy=self._policy(HEAD))
        return self._asgi(app, scope_of())

    def _decides(self, name: str, limited: bool) -> Callable[[int], Coroutine[Any, Any, float]]:
        policy = STATE if "state" in name else HEAD
        limiter = self._stack.enter_context(_closing(Limiter(self._policy(policy + LIMIT))))
        call: dict[str, Any] = {"method": "POST", "path": "/v1/chat/completions", "client": "192.0.2.1"}
        if "headers" in name:
            call["headers"] = scope_of()["headers"]
        elif "state" in name:
            call["state"] = {"account": "acct-1"}
        else:
            call["identities"] = {"account": "acct-1"}
        decide = limiter.decide if limited else _nothing

        async def turn(count: int) -> float:
            begin = time.process_time_ns()
            for _ in range(count):
                decide(**call)
            return (time.process_time_ns() - begin) / count

        return turn

    def turn(self, count: int) -> float:
        """Return nanoseconds an operation, over `count` of them."""
        return self._runner.run(self._turn(count))

    def close(self) -> None:
        """Let go of what was opened."""
        self._stack.close()


async def _no_op() -> None:
    pass


def _nothing(**call: object) -> None:
    pass


class _closing:
    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    def __enter__(self) -> Limiter:
        return self._limiter

    def __exit__(self, *error: object) -> None:
        self._limiter.close()


WAYS = (
    *POLICIES,
    "LLM policy, JSON",
    "LLM policy, stream of 11 chunks",
    "`Depends(limit(…))` over a no-op",
    "`@limit` over the plain route",
    "`Limiter.decide`",
    "`Limiter.decide(headers=…)`",
    "`Limiter.decide(state=…)`",
    "WebSocket handshake",
    "WebSocket message",
)


def answer(settings: Settings) -> Answer:
    """Time each way, limited and not, in pairs."""
    found = Answer(NAME, "What does each kind of policy add to a callable that does nothing?")
    found.columns = ("what", "µs added", "the call without")
    found.measured = []
    for name in WAYS:
        samples = measure(name, settings)
        added = samples["limited"].median - samples["bare"].median
        found.measured.append((name, number(added / 1000), number(samples["bare"].median / 1000)))
    return found


def measure(name: str, settings: Settings) -> dict[str, Sample]:
    """Return what one way takes, limited and bare."""
    with ExitStack() as stack:
        hosts = {
            title: stack.enter_context(Hosted(Way, name, limited))
            for title, limited in (("bare", False), ("limited", True))
        }
        contenders: Sequence[Contender] = [Contender("nothing", lambda count: 0.0)]
        contenders = [*contenders, *(_contender(title, host) for title, host in hosts.items())]
        samples = _race(contenders, settings)
        for host in hosts.values():
            host.ask("close")
    return samples


def _contender(title: str, host: Hosted) -> Contender:
    return Contender(title, lambda count: float(host.ask("turn", count)))


def _race(contenders: Sequence[Contender], settings: Settings) -> dict[str, Sample]:
    return race(contenders, rounds=settings.rounds, slice_ns=settings.slice_ns)
