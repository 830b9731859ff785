"""Code as users of the library write it: checked by the type checkers, never run."""

from __future__ import annotations

from typing import assert_type

from starlette.requests import Request
from starlette.responses import Response

from ratelimit import Decision, Limiter, Policy, RateLimitMiddleware
from ratelimit.integrations.starlette import exempt, limit


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


def serve_metrics(limiter: Limiter) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    from ratelimit.asgi.metrics import metrics_app

    Starlette().add_route("/metrics", metrics_app(limiter))
    Starlette().mount("/metrics", metrics_app(limiter))
    Starlette(routes=[Route("/metrics", metrics_app(limiter)), Mount("/m", app=metrics_app(limiter))])
    Starlette().add_route("/metrics", metrics_app)  # type: ignore[arg-type]


async def handlers_keep_their_types(request: Request) -> None:
    @limit("10/minute", per="ip", algorithm="fixed-window", mode="shadow")
    async def home(request: Request) -> Response:
        return Response()

    @exempt
    def free(request: Request, number: int = 1) -> str:
        return str(number)

    assert_type(await home(request), Response)
    assert_type(free(request), str)
    free(request, "1")  # type: ignore[arg-type]
    limit("10/minute", mode="off")  # type: ignore[arg-type]
    limit("10/minute", algoritm="fixed-window")  # type: ignore[call-arg]
