"""Every door: from a request line to whether it was served, three of each address being admitted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import grpc
from envoy.service.ratelimit.v3 import rls_pb2

from ratelimit import Limiter, ManualClock, Policy, RateLimitMiddleware
from ratelimit.asgi.check import PAIRS, Proxy, check_application
from ratelimit.grpc import RateLimitInterceptor
from ratelimit.serving.envoy import DirectService, PolicyReader
from ratelimit.wsgi import RateLimitMiddleware as WsgiMiddleware
from tests.asgi.driver import limit, ok, rules
from tests.cli.running import NOW_S, run
from tests.routing.asking import ask
from tests.routing.serving import hypercorn, scope_of, uvicorn_h11, without_raw

QUOTA = 3
STORE = '[store]\nmemory = "private"\nkeys = 65536\n'
Asked = tuple[str, str, str]
"""A method, a target, and the address of the caller."""
Serve = Callable[[Asked], bool]


def policy(*, routing: str = "", match: str = "POST /v1/chat") -> str:
    """Return a policy that admits three of each address to one route, and many to another."""
    return rules(
        limit("chat", per="ip", rate=f"{QUOTA}/year", match=match, algorithm="fixed-window"),
        limit("other", per="ip", rate="1000/day", match="/v2/{name}/*", algorithm="fixed-window"),
        identities="",
        more=f'proxies = ["127.0.0.1"]\n{routing}\n{STORE}',
    )


def limiter_of(text: str) -> Limiter:
    return Limiter(Policy.from_toml(text), clock=ManualClock())


def asgi(server: Callable[[str, str], Any], text: str) -> Serve:
    """Return the middleware before an application that answers whatever it is asked."""
    app = RateLimitMiddleware(ok, Policy.from_toml(text), clock=ManualClock(), reload_interval_s=0)

    def serve(asked: Asked) -> bool:
        method, target, address = asked
        paths = server(target, "")
        return status_of(app, {**scope_of(paths, method), "client": (address, 1)}) == 200

    return serve


def status_of(app: Any, scope: dict[str, Any]) -> int:
    return int(asyncio.run(ask(app, scope))[0]["status"])


def wsgi(text: str) -> Serve:
    def app(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [])
        return []

    middleware = WsgiMiddleware(app, Policy.from_toml(text), clock=ManualClock(), reload_interval_s=0)

    def serve(asked: Asked) -> bool:
        method, target, address = asked
        sent = target.encode()
        path = unquote_to_bytes(sent.partition(b"?")[0]).decode("latin-1")
        said: list[str] = []
        environ = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "REMOTE_ADDR": address}
        environ["RAW_URI"] = sent.decode("latin-1")
        list(middleware(environ, lambda status, *more: said.append(status)))
        return said == ["200 OK"]

    return serve


def check(proxy: Proxy, text: str) -> Serve:
    """Return the check over HTTP, asked by the fields of a proxy."""
    app = check_application(limiter_of(text), proxy)
    method, uri = PAIRS[proxy] or (b"", b"")

    def serve(asked: Asked) -> bool:
        scope = scope_of({"path": "/", "raw_path": b"/", "root_path": ""}, "GET")
        fields = [
            (uri, asked[1].encode()),
            (method, asked[0].encode()),
            (b"x-forwarded-for", asked[2].encode()),
        ]
        return status_of(app, {**scope, "client": ("127.0.0.1", 1), "headers": fields}) == 204

    return serve


class Active:
    """A call's context: the proxy waits."""

    def is_active(self) -> bool:
        return True


def envoy(text: str, *, is_common: bool) -> Serve:
    """Return Envoy's service, for calls that are read from their bytes or by protobuf's messages."""
    limiter = limiter_of(text)
    service, reading = DirectService(limiter), PolicyReader(limiter)

    def serve(asked: Asked) -> bool:
        call = rls_pb2.RateLimitRequest(domain="edge")
        entries = call.descriptors.add().entries
        for key, value in zip(("method", "path", "remote_address"), asked, strict=True):
            entries.add(key=key, value=value)
        if not is_common:
            entries.add(key="unit", value="requests")
        message = call.SerializeToString()
        assert (reading.common(message) is not None) == (is_common and asked[1].isascii())
        answer = service.ShouldRateLimit(message, Active())  # type: ignore[arg-type]  # aborts nothing here
        return bool(rls_pb2.RateLimitResponse.FromString(answer).overall_code == rls_pb2.RateLimitResponse.OK)

    return serve


def by_name(text: str) -> Serve:
    limiter = limiter_of(text)
    return lambda asked: limiter.decide(method=asked[0], path=asked[1], client=asked[2]).allowed


def by_name_and_headers(text: str) -> Serve:
    """Return what decides with headers, which is not done in one compiled call."""
    limiter = limiter_of(text)
    return lambda asked: (
        limiter.decide(method=asked[0], path=asked[1], client=asked[2], headers={"x-a": "b"}).allowed
    )


class Call:
    """What an interceptor is told of a call."""

    def __init__(self, address: str) -> None:
        self._address = address

    def peer(self) -> str:
        return f"ipv4:{self._address}:1"

    def invocation_metadata(self) -> tuple[()]:
        return ()


def grpc_calls(text: str) -> Serve:
    limits = RateLimitInterceptor(limiter=limiter_of(text))

    def serve(asked: Asked) -> bool:
        assert grpc.aio is not None
        return bool(asyncio.run(limits._decide(asked[1], Call(asked[2]))).allowed)

    return serve


Door = Callable[[str], Serve]
INSIDE: dict[str, Door] = {
    "asgi, uvicorn": partial(asgi, uvicorn_h11),
    "asgi, hypercorn": partial(asgi, hypercorn),
    "asgi without the raw path": partial(asgi, without_raw),
    "wsgi": wsgi,
    "by name": by_name,
    "by name and headers": by_name_and_headers,
    "grpc": grpc_calls,
}
"""Doors inside the application, which reads the path as it stands."""
BEFORE: dict[str, Door] = {
    "nginx": partial(check, "nginx"),
    "caddy": partial(check, "caddy"),
    "traefik": partial(check, "traefik"),
    "envoy": partial(envoy, is_common=True),
    "envoy, by messages": partial(envoy, is_common=False),
}
"""Doors before a back end of which nothing is known. A trace is one more: `replayed`."""


def replayed(folder: Path, text: str, asked: Iterable[Asked]) -> list[bool]:
    """Return what of a trace is served."""
    trace, decisions = folder / "trace", folder / "decisions"
    (folder / "policy.toml").write_text(text)
    lines = [
        {"time": NOW_S, "method": method, "path": target, "ip": address} for method, target, address in asked
    ]
    trace.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    done = run("replay", folder / "policy.toml", trace, "--decisions", decisions)
    assert done.exit_code == 0, done.stderr
    return [json.loads(line)["action"] == "allow" for line in decisions.read_text().splitlines()]
