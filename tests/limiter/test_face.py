"""The public face of the library: the members named here, and no more."""

from __future__ import annotations

import gc
from typing import Any

import ratelimit
from ratelimit import (
    Decision,
    EmbeddedStore,
    LimitedRequest,
    Limiter,
    ManualClock,
    Policy,
    RateLimitMiddleware,
)
from tests.asgi.driver import key, limit, mount, ok, rules

FACE = {
    "decide", "peek", "adecide", "apeek",
    "reload", "reload_if_changed", "last_reload", "policy", "generation", "reloaded_ns",
    "store", "clock", "now_ns", "table", "rules", "correlation", "load", "remote", "queue", "drift_ns",
    "renew", "aopen_connections", "aclose_connections", "close",
    "current", "clustering", "runtime", "is_enabled",
    "loads", "every_load", "watched_loads", "unsettled_units", "metered_routes", "exemplars", "records",
}  # fmt: skip


def public(found: object) -> set[str]:
    return {name for name in dir(found) if name.isidentifier() and not name.startswith("_")}


def test_limiter_shows_what_its_users_call() -> None:
    assert public(Limiter(Policy.from_toml(rules(limit())))) == FACE


def test_package_shows_its_names_alone() -> None:
    shown = public(ratelimit) - set(ratelimit.__all__)
    # Folders and modules that something has imported are attributes of the package, too.
    assert {name for name in shown if not hasattr(getattr(ratelimit, name), "__path__")} <= {
        "annotations", "TYPE_CHECKING", "import_module",
        "algorithms", "clock", "codes", "decision", "errors", "events", "limiter", "verdict",
    }  # fmt: skip


async def test_scope_does_not_carry_the_middleware() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["ratelimit"])
        await ok(scope, receive, send)

    for policy in (rules(limit()), rules(limit(), more='[allow]\nip = ["192.0.2.0/24"]')):
        await mount(policy, app).client("GET", "/", key("a"))
    for exchange in seen:
        held = gc.get_referents(exchange, exchange.door)
        assert exchange.door in held
        assert not [each for each in held if isinstance(each, RateLimitMiddleware) or each is app]


async def test_application_sees_a_limited_request() -> None:
    seen: list[LimitedRequest] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["ratelimit"])
        await ok(scope, receive, send)

    await mount(rules(limit()), app).client(headers=key("a"))
    (limited,) = seen
    assert isinstance(limited.decision, Decision)
    assert (limited.cluster, limited.verdict) == (None, None)
    assert limited.settle(requests=2) is None  # type: ignore[func-returns-value]
    for name in public(LimitedRequest):
        assert hasattr(limited, name)


def test_store_of_its_own_and_a_clock_that_is_moved_are_all_a_test_needs() -> None:
    clock = ManualClock()
    store = EmbeddedStore.private(clock=clock)
    limiter = Limiter(Policy.from_toml(rules(limit(rate="1/minute"))), store=store, clock=clock)
    asked: dict[str, Any] = {"identities": {"account": "a"}}
    assert [limiter.decide(**asked).allowed for _ in range(2)] == [True, False]
    clock.advance(60)
    assert limiter.decide(**asked).allowed
