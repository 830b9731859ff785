"""What each door is made of: a policy or a limiter, and no setting that would be left out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints

import pytest

from ratelimit import Limiter, ManualClock, Policy, RateLimitMiddleware, UsageError
from ratelimit.asgi.mount import Given
from ratelimit.grpc import RateLimitInterceptor
from ratelimit.wsgi import RateLimitMiddleware as WsgiMiddleware
from tests.asgi.driver import limit, ok, rules

DOORS: dict[str, Callable[..., Any]] = {
    "asgi": partial(RateLimitMiddleware, ok),
    "wsgi": partial(WsgiMiddleware, lambda environ, start: []),
    "grpc": RateLimitInterceptor,
}
SETTINGS = [
    (name, setting) for name, door in DOORS.items() for setting in Given.__annotations__
    if setting in inspect.signature(door).parameters
]  # fmt: skip


@pytest.fixture
def limiter() -> Limiter:
    return Limiter(Policy.from_toml(rules(limit())), clock=ManualClock())


def test_every_setting_of_a_limiter_is_known_to_a_door() -> None:
    assert {setting for _, setting in SETTINGS} == set(get_type_hints(Given))
    assert {setting for name, setting in SETTINGS if name == "wsgi"} == set(get_type_hints(Given))
    # A call has no request that a resolver could read.
    grpc = {setting for name, setting in SETTINGS if name == "grpc"}
    assert set(get_type_hints(Given)) - grpc == {"resolvers"}


@pytest.mark.parametrize("name", DOORS)
def test_door_needs_one_policy_or_one_limiter(name: str, limiter: Limiter) -> None:
    for given in ({}, {"policy": "policy.toml", "limiter": limiter}):
        with pytest.raises(UsageError) as caught:
            DOORS[name](**given)
        assert caught.value.code == "middleware-policy"


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_setting_beside_a_limiter_is_refused_and_not_ignored(
    name: str, setting: str, limiter: Limiter
) -> None:
    with pytest.raises(UsageError, match=rf"{setting}; give .* to `Limiter") as caught:
        DOORS[name](limiter=limiter, **{setting: {}})
    assert caught.value.code == "middleware-limiter"
