"""Several middlewares of one policy in one process are one limiter: routes, and applications."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.middleware import DefineMiddleware

from ratelimit import Limiter, Policy, PolicyError, RateLimitMiddleware
from ratelimit.asgi.mount import _MOUNTS
from ratelimit.clock import ManualClock
from tests.asgi.driver import Client, key, limit, ok, rules

PRIVATE = '[store]\nmemory = "private"'
TWO = rules(limit(rate="2/hour"), more=PRIVATE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(TWO)
    return path


def litestar(**options: Any) -> Client:
    @get(["/a", "/b", "/c"])
    async def read() -> str:
        return "ok"

    return Client(Litestar([read], middleware=[DefineMiddleware(RateLimitMiddleware, **options)]))


@pytest.mark.parametrize("given", ["path", "policy", "limiter"])
async def test_middleware_for_each_route_is_no_limit_for_each_route(given: str, path: Path) -> None:
    clock = ManualClock()
    choices: dict[str, dict[str, Any]] = {
        "path": {"policy": path, "clock": clock},
        "policy": {"policy": Policy.from_toml(TWO), "clock": clock},
        "limiter": {"limiter": Limiter(path, clock=clock)},
    }
    client = litestar(reload_interval_s=0, **choices[given])
    answers = [(await client(path=path, headers=key("a"))).status for path in ("/a", "/b", "/c", "/a")]
    assert answers == [200, 200, 429, 429]


async def test_middlewares_of_other_settings_are_apart(path: Path) -> None:
    one, other = (RateLimitMiddleware(ok, path, clock=ManualClock(), reload_interval_s=0) for _ in range(2))
    assert one.limiter is not other.limiter
    assert await Client(one).statuses(3, headers=key("a")) == [200, 200, 429]
    assert await Client(other).statuses(3, headers=key("a")) == [200, 200, 429]


async def test_upkeep_of_a_shared_limiter_ends_with_the_last_application(path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        return

    outer, inner = (RateLimitMiddleware(app, path, reload_interval_s=60) for _ in range(2))
    upkeep = outer._upkeep
    assert upkeep is not None
    assert upkeep is inner._upkeep
    await Client(outer)()
    await inner({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert upkeep.is_running
    await outer({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert not upkeep.is_running


def test_file_changed_between_two_middlewares_is_read_again(path: Path) -> None:
    first = RateLimitMiddleware(ok, path, reload_interval_s=0)
    assert RateLimitMiddleware(ok, str(path), reload_interval_s=0).limiter is first.limiter
    path.write_text(TWO.replace("2/hour", "30/hour"))
    assert RateLimitMiddleware(ok, path, reload_interval_s=0).limiter.rules[0].quota == 30
    path.write_text("version = 7")
    with pytest.raises(PolicyError):
        RateLimitMiddleware(ok, path, reload_interval_s=0)


def test_limiter_goes_with_its_last_middleware(path: Path) -> None:
    before = set(_MOUNTS)  # those of other tests may go meanwhile
    middlewares = [RateLimitMiddleware(ok, path, reload_interval_s=0) for _ in range(3)]
    assert len(set(_MOUNTS) - before) == 1
    middlewares.clear()
    gc.collect()
    assert not set(_MOUNTS) - before


def test_policy_that_came_and_went_is_not_mistaken_for_another(path: Path) -> None:
    # A reload lets go of the policy that was given; its place in memory may be the next one's.
    kept = RateLimitMiddleware(ok, Policy.load(path), reload_interval_s=0)
    path.write_text(TWO.replace("2/hour", "30/hour"))
    kept.limiter.reload()
    for number in range(50):
        policy = Policy.from_toml(TWO.replace("2/hour", f"{number + 100}/hour"))
        assert RateLimitMiddleware(ok, policy, reload_interval_s=0).limiter.rules[0].quota == number + 100
        del policy
