"""Flask and Django as their documentation shows them, behind the middleware; policy by environment."""

from __future__ import annotations

import os
from typing import Any

POLICY = os.environ.get("RATELIMIT_TEST_POLICY", "")
STORAGE = os.environ.get("RATELIMIT_TEST_STORAGE", "")
WORKER = "x-worker"
"""Says which process answered, also of refused requests."""


def flask() -> Any:
    """Return a Flask application that answers with its process."""
    from flask import Flask

    from ratelimit.wsgi import RateLimitMiddleware

    app = Flask(__name__)

    @app.get("/")
    def root() -> str:
        return str(os.getpid())

    app.wsgi_app = RateLimitMiddleware(app.wsgi_app, policy=POLICY)  # type: ignore[method-assign]
    return app


def flask_limiter() -> Any:
    """Return a Flask application with Flask-Limiter over the shared storage."""
    from flask import Flask
    from flask_limiter import Limiter

    import ratelimit.integrations.limits  # noqa: F401  # its schemes

    app = Flask(__name__)
    Limiter(lambda: "all", app=app, default_limits=["40 per 6 months"], storage_uri=STORAGE)

    @app.get("/")
    def root() -> str:
        return "served"

    @app.after_request
    def tell_worker(response: Any) -> Any:
        response.headers[WORKER] = str(os.getpid())
        return response

    return app


def slowapi() -> Any:
    """Return a Starlette application with slowapi over the shared storage."""
    from slowapi import Limiter, _rate_limit_exceeded_handler
    from slowapi.errors import RateLimitExceeded
    from slowapi.middleware import SlowAPIASGIMiddleware
    from starlette.applications import Starlette
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    import ratelimit.integrations.limits  # noqa: F401  # its schemes

    def root(request: Request) -> PlainTextResponse:
        return PlainTextResponse("served")

    async def tell_worker(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers[WORKER] = str(os.getpid())
        return response

    app = Starlette(routes=[Route("/", root)])
    app.state.limiter = Limiter(
        lambda: "all", default_limits=["40 per 6 months"], storage_uri=STORAGE, strategy="moving-window"
    )
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
    app.add_middleware(SlowAPIASGIMiddleware)
    app.add_middleware(BaseHTTPMiddleware, dispatch=tell_worker)
    return app


def _django() -> None:
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    urls = [path("", lambda request: HttpResponse(str(os.getpid())))]
    settings.configure(ROOT_URLCONF=tuple(urls), ALLOWED_HOSTS=["*"], SECRET_KEY="of a test", MIDDLEWARE=[])
    django.setup()


def django() -> Any:
    """Return Django's WSGI application behind the middleware."""
    from django.core.wsgi import get_wsgi_application

    from ratelimit.wsgi import RateLimitMiddleware

    _django()
    return RateLimitMiddleware(get_wsgi_application(), policy=POLICY)


def django_asgi() -> Any:
    """Return Django's ASGI application behind the middleware."""
    from django.core.asgi import get_asgi_application

    from ratelimit import RateLimitMiddleware

    _django()
    return RateLimitMiddleware(get_asgi_application(), policy=POLICY)


def waiting() -> Any:
    """Return an application behind limits that let requests wait."""
    from ratelimit.wsgi import RateLimitMiddleware

    def answer(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]

    return RateLimitMiddleware(answer, policy=POLICY)
