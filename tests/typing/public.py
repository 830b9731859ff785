"""Code as users of the library write it: checked by the type checkers, never run."""

from __future__ import annotations

from typing import assert_type

from ratelimit import Decision, Limiter, Policy, RateLimitMiddleware


def decide_without_a_server(limiter: Limiter) -> int | None:
    decision = limiter.decide(
        method="POST",
        path="/v1/messages",
        identities={"account": "key"},
        costs={"output_tokens": 5},
    )
    assert_type(decision, Decision)
    assert_type(decision.allowed, bool)
    return decision.retry_after_ns


def mount(app: object, policy: Policy) -> None:
    from starlette.applications import Starlette

    application = Starlette()
    application.add_middleware(RateLimitMiddleware, policy="policy.toml")
    application.add_middleware(RateLimitMiddleware, policy=policy)
