"""The check over HTTP believes exactly two fields of the proxy that asks, and decides handshakes as such."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ratelimit import Limiter, Policy
from ratelimit.asgi.check import PROXIES, Proxy, check_application
from ratelimit.clock import ManualClock
from ratelimit.telemetry.collector import RateLimitCollector
from tests.asgi.driver import limit, rules

POLICY = rules(
    limit("posts", match="POST /v1/chat", rate="2/day"),
    limit("gets", match="GET /v1/chat", rate="5/day"),
    limit("opened", match="GET /v1/chat", rate="1/day", unit="handshakes"),
    identities='account = { from = "header:x-api-key" }',
)
OTHERS: dict[Proxy, tuple[str, str]] = {
    "nginx": ("x-forwarded-method", "x-forwarded-uri"),
    "caddy": ("x-original-method", "x-original-uri"),
    "traefik": ("x-original-method", "x-original-uri"),
}
PAIRS: dict[Proxy, tuple[str, str]] = {
    "nginx": ("x-original-method", "x-original-uri"),
    "caddy": ("x-forwarded-method", "x-forwarded-uri"),
    "traefik": ("x-forwarded-method", "x-forwarded-uri"),
}
KEY = ("x-api-key", "a")
Fields = list[tuple[str, str]]


@contextmanager
def limiter_of(policy: str = POLICY) -> Iterator[Limiter]:
    limiter = Limiter(Policy.from_toml(policy), clock=ManualClock())
    yield limiter
    limiter.close()


async def ask(app: Any, fields: Fields, method: str = "GET", target: str = "/") -> tuple[int, dict[str, str]]:
    """Ask as a proxy does; return the status and the header of the answer."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in fields],
        "client": ("127.0.0.1", 1),
        "extensions": {},
    }
    await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def named(proxy: Proxy, method: str, target: str) -> Fields:
    methods, targets = PAIRS[proxy]
    return [(methods, method), (targets, target), KEY]


def counted(limiter: Limiter, code: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))
    return registry.get_sample_value("ratelimit_diagnostics_total", {"code": code})


@pytest.mark.parametrize("proxy", PAIRS)
async def test_hazard_63_only_the_fields_of_the_proxy_that_asks_are_believed(
    proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Hazard: a client's own X-Original-URI wins over Caddy's X-Forwarded-Uri, and the limit is another's."""
    method, target = OTHERS[proxy]
    forged = [(method, "OPTIONS"), (target, "/fr\u001bee"), (method, "PUT")]
    with limiter_of() as limiter:
        app = check_application(limiter, proxy)
        asked = [*forged, *named(proxy, "POST", "/v1/chat"), *forged]
        assert [(await ask(app, asked))[0] for _ in range(4)] == [204, 204, 429, 429]
        assert counted(limiter, "serve-other-pair") == 4
    (said,) = [each.getMessage() for each in caplog.records if "[serve-other-pair]" in each.getMessage()]
    assert f"{method}, {target}" in said
    assert "/fr" not in said


@pytest.mark.parametrize("proxy", PAIRS)
@pytest.mark.parametrize("left_out", [0, 1])
async def test_request_that_is_not_named_is_refused_with_500(proxy: Proxy, left_out: int) -> None:
    with limiter_of() as limiter:
        app = check_application(limiter, proxy)
        asked = named(proxy, "POST", "/v1/chat")
        lacking = [pair for at, pair in enumerate(asked) if at != left_out]
        empty = [(name, "" if at == left_out else value) for at, (name, value) in enumerate(asked)]
        assert [(await ask(app, fields))[0] for fields in (lacking, empty)] == [500, 500]
        assert counted(limiter, "serve-unnamed") == 2
        assert (await ask(app, asked))[0] == 204


@pytest.mark.parametrize("proxy", PAIRS)
@pytest.mark.parametrize("twice", [0, 1])
async def test_request_that_is_named_twice_is_refused(proxy: Proxy, twice: int) -> None:
    with limiter_of() as limiter:
        app = check_application(limiter, proxy)
        asked = named(proxy, "POST", "/v1/chat")
        for other in (asked[twice][1], "/free", ""):
            fields = [(asked[twice][0], other), *asked]
            assert (await ask(app, fields))[0] == 400
            assert (await ask(app, [*fields[1:], fields[0]]))[0] == 400
        assert counted(limiter, "serve-contradictory") == 6


async def test_envoy_asks_with_the_request_s_own_line() -> None:
    with limiter_of() as limiter:
        app = check_application(limiter, "envoy")
        forged = [("x-original-uri", "/free"), ("x-forwarded-uri", "/free"), KEY]
        codes = [(await ask(app, forged, "POST", "/v1/%63hat"))[0] for _ in range(3)]
        assert codes == [200, 200, 429]
        assert counted(limiter, "serve-other-pair") == 3


UPGRADES: list[Fields] = [
    [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-key", "x")],
    [("upgrade", "h2c, WebSocket")],
    [("sec-websocket-key", "x")],  # Traefik takes Upgrade out
]


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("proxy", PAIRS)
async def test_hazard_63_handshake_is_decided_as_one(proxy: Proxy, upgrade: Fields) -> None:
    """Hazard: the check is asked about a WebSocket, answers in another protocol, and that is a 500."""
    with limiter_of() as limiter:
        app = check_application(limiter, proxy)
        asked = [*named(proxy, "GET", "/v1/chat"), *upgrade]
        status, header = await ask(app, asked)
        assert status == 204
        assert '"opened";r=0' in header["ratelimit"]
        status, header = await ask(app, asked)
        assert (status, header["content-type"]) == (429, "application/problem+json")
        assert int(header["retry-after"]) > 0
        # A plain GET has room, and a handshake counted as a request, too.
        left = [(await ask(app, named(proxy, "GET", "/v1/chat")))[0] for _ in range(5)]
        assert left == [204] * 4 + [429]


async def test_handshake_over_http2_is_one_and_a_post_is_none() -> None:
    with limiter_of() as limiter:
        app = check_application(limiter, "caddy")
        connect = named("caddy", "CONNECT", "/v1/chat")
        assert [(await ask(app, connect))[0] for _ in range(2)] == [204, 429]
        post = [*named("caddy", "POST", "/v1/chat"), *UPGRADES[0]]
        assert [(await ask(app, post))[0] for _ in range(3)] == [204, 204, 429]


async def test_refused_head_has_no_length_of_a_body_that_is_not_there() -> None:
    """Hazard: the server raises for each refused HEAD, and its log fills with tracebacks."""
    policy = rules(
        limit("heads", match="HEAD /", rate="1/day"), identities='account = { from = "header:x-api-key" }'
    )
    with limiter_of(policy) as limiter:
        app = check_application(limiter, "nginx")
        assert (await ask(app, named("nginx", "HEAD", "/")))[0] == 204
        status, header = await ask(app, named("nginx", "HEAD", "/"))
        assert status == 429
        assert "content-length" not in header


def test_every_proxy_is_looked_at_here() -> None:
    assert {*PAIRS, "envoy"} == set(PROXIES)
