"""The common way of a request is the long way in one call: same answers, and nothing left behind."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any

import pytest

from ratelimit.deciding import compiled
from ratelimit.identity.fact import REFUSED
from ratelimit.telemetry.names import COUNTER_REQUESTS
from tests.asgi.driver import Answer, Client, key, limit, mount, ok, rules

KEY_OR_ADDRESS = """
account = { from = "header:x-api-key" }
ip      = { from = "client" }
insisted = { from = "header:x-tenant", missing = "refuse" }
"""
POLICY = rules(
    limit("requests", rate="2/minute"),
    limit("address", "ip", "5/minute", algorithm="sliding-window", match="GET /plain"),
    limit("tenant", "insisted", "4/minute", match="/tenants/*"),
    limit("slots", "account", "", concurrent=1, match="/slow"),
    identities=KEY_OR_ADDRESS,
)
REQUESTS: list[tuple[str, str, list[tuple[bytes, bytes]], dict[str, Any]]] = [
    *[("GET", "/plain", key("k1"), {})] * 3,
    *[("GET", "/plain", key(f"k{number}"), {}) for number in range(2, 6)],
    ("GET", "/plain", [*key("k9"), (b"origin", b"https://other.example")], {}),
    ("GET", "/plain", [], {"peer": None}),
    ("GET", "/plain", [], {"peer": "testclient"}),
    ("GET", "/plain", [], {"peer": "2001:db8::1"}),
    ("POST", "/tenants/a", key("k1"), {"peer": "192.0.2.2"}),
    ("POST", "/tenants/a", [*key("k8"), (b"x-tenant", b"a")], {"peer": "192.0.2.2"}),
    ("PURGE", "/plain", key("k7"), {"peer": "192.0.2.3"}),
    ("GET", "/slow", key("k6"), {"peer": "192.0.2.3"}),
    ("GET", "/slow", key("k6"), {"peer": "192.0.2.3"}),
    *(
        ("GET", path, key("k5"), {"peer": "192.0.2.4", **more})
        for path, more in (
            ("/app/plain", {"root_path": "/app"}),
            ("/plain", {"root_path": "/app"}),
            ("/plain", {"raw_path": b"/pl%61in"}),
            ("/rest", {"raw_path": b"/plain"}),
            ("/tenants/a/b", {"raw_path": b"/tenants/a%2Fb"}),
            ("/plain", {"raw_path": None}),
            ("/plain", {"raw_path": b""}),
            ("/plain\u00e9", {"raw_path": "/plain\u00e9".encode()}),
            ("/plain/", {}),
            ("//plain", {}),
            ("/PLAIN", {}),
            ("http://x/plain", {}),
            ("/plain\n", {}),
        )
    ),
]


async def answers(client: Client) -> list[tuple[int, list[tuple[bytes, bytes]], bytes]]:
    """Return status, headers and body of every answer."""
    found: list[Answer] = [
        await client(method, path, headers, **more) for method, path, headers, more in REQUESTS
    ]
    return [(one.status, list(one.messages[0]["headers"]), one.body) for one in found]


async def test_common_way_answers_as_the_long_way_does(monkeypatch: pytest.MonkeyPatch) -> None:
    short = mount(POLICY)
    by_gate = await answers(short.client)
    long = mount(POLICY)
    monkeypatch.setattr(type(long.middleware), "_new_gate", lambda middleware, bound: None)
    assert await answers(long.client) == by_gate
    assert {status for status, _, _ in by_gate} == {200, 403, 429}
    tables = [one.middleware.limiter.table for one in (short, long)]
    totals = [table.totals(table.counter(COUNTER_REQUESTS)) for table in tables]
    assert totals[0] == totals[1]


def test_gate_knows_the_identity_that_is_insisted_on() -> None:
    assert compiled.REFUSED == REFUSED


async def test_request_leaves_no_cycle_behind() -> None:
    """A server's `send` knows the scope; the scope must not know the `send`."""
    client = mount(rules(limit(rate="100/minute"))).client
    await client(headers=key("k1"))

    class Cycle:
        """Like a server's: one object that holds scope and sends."""

        def __init__(self) -> None:
            self.scope = client.scope(headers=key("k1"))

        async def send(self, message: Any) -> None:
            pass

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    def objects() -> Counter[type]:
        """Live objects of the middleware by type: those of other tests may become fewer, never more."""
        kinds = map(type, gc.get_objects())
        return Counter(kind for kind in kinds if str(kind.__module__).startswith("ratelimit.asgi"))

    gc.collect()
    gc.disable()  # what is freed below is freed by its last reference
    try:
        before = objects()
        for _ in range(10):
            cycle = Cycle()
            gone = weakref.ref(cycle)
            await client.app(cycle.scope, receive, cycle.send)
            assert "ratelimit" in cycle.scope
            del cycle
            assert gone() is None
        after = objects()
    finally:
        gc.enable()
    assert not after - before


async def test_message_that_is_no_dictionary_is_announced_too() -> None:
    class Frozen(dict[str, Any]):
        """A message of a kind of its own."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(Frozen(type="http.response.start", status=200, headers=((b"x", b"y"),)))
        await send(Frozen(type="http.response.body", body=b"ok"))

    answer = await mount(rules(limit()), app).client(headers=key("k1"))
    assert answer.headers["x"] == "y"
    assert answer.headers["ratelimit"] == '"requests";r=2;t=20'


async def test_headers_of_a_constant_message_are_not_added_to() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": []}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start)
        await send({"type": "http.response.body", "body": b"ok"})

    client = mount(rules(limit()), app).client
    for left in (2, 1, 0):
        assert (await client(headers=key("k1"))).headers["ratelimit"].startswith(f'"requests";r={left};')
    assert start["headers"] == []


async def test_scope_of_another_kind_goes_the_long_way() -> None:
    class Scope(dict[str, Any]):
        """What a framework may make of it."""

    mounted = mount(rules(limit(rate="1/minute")), ok)
    client = mounted.client
    original = client.scope
    client.scope = lambda *args, **more: Scope(original(*args, **more))  # type: ignore[method-assign]
    assert await client.statuses(2, headers=key("k1")) == [200, 429]
