"""Limiters in a test without the plugin: private, by a clock of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.testing import ManualClock, isolated
from tests.asgi.driver import Client, key, limit, ok, rules


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(rules(limit(rate="2/hour", algorithm="fixed-window")))
    return path


def admitted(limiter: Limiter, requests: int = 5) -> int:
    return sum(limiter.decide(identities={"account": "a"}, client="::1").allowed for _ in range(requests))


def test_limiter_sees_nothing_of_others_and_leaves_nothing(policy: Path) -> None:
    outside = Limiter(policy)
    assert admitted(outside) == 2
    with isolated() as ratelimit:
        inside = Limiter(policy)
        assert admitted(inside) == 2
        ratelimit.advance(3600)
        assert admitted(inside) == 2
        ratelimit.reset()
        assert admitted(inside) == 2
        assert admitted(outside) == 2, "made before the block, and isolated as well"
        ratelimit.advance(3600)
        assert admitted(outside) == 2
        assert inside.store.place is outside.store.place is None
    assert admitted(outside) == 0
    assert Limiter(policy).store.place == outside.store.place is not None
    policy.unlink()
    outside.close()
    inside.close()


def test_server_of_a_policy_is_not_looked_for(policy: Path) -> None:
    policy.write_text(
        rules(
            limit(rate="2/hour"),
            more='[store]\nurl = "redis://127.0.0.1:1/0"\n[hashing]\nkey = "env:NOT_HERE"\n'
            '[correlation]\nprincipal = "account"\n',
        )
    )
    with isolated() as ratelimit:
        limiter = Limiter(policy)
        assert admitted(limiter) == 2
        ratelimit.reset()
        assert admitted(limiter) == 2
        limiter.close()


def test_clock_that_stands_still_has_counters_of_its_own(policy: Path) -> None:
    outside = Limiter(policy)
    assert admitted(outside) == 2
    clock = ManualClock()
    limiter = Limiter(policy, clock=clock)
    assert admitted(limiter) == 2
    clock.advance(3600)
    assert admitted(limiter) == 2
    limiter.close()
    policy.unlink()
    outside.close()


async def test_middleware_that_is_not_enabled_lets_all_through_and_can_be_settled(policy: Path) -> None:
    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        scope["ratelimit"].settle(tokens=5)
        assert scope["ratelimit"].decision.allowed
        await ok(scope, receive, send)

    middleware = RateLimitMiddleware(app, policy=policy, enabled=False, reload_interval_s=0)
    answers = [await Client(middleware)("GET", "/", key("a")) for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 5
    assert "ratelimit" not in answers[0].headers
    assert middleware.limiter.store.place is None
    middleware.limiter.close()
