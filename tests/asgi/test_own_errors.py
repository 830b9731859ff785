"""The application's own errors of the client: what produced nothing is not charged."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.wsgi import RateLimitMiddleware
from tests.asgi.driver import key, limit, mount, rules
from tests.wsgi.test_middleware import Client

ESTIMATED = limit("tokens", unit="output_tokens", rate="1000/hour", cost=100)
READ = limit("tokens", unit="output_tokens", rate="1000/hour", cost=100, usage="auto")
USED = b'{"usage": {"prompt_tokens": 3, "completion_tokens": 40, "total_tokens": 43}, "choices": []}'


def answering(
    status: int, body: bytes = b"{}", settles: int | None = None, media: bytes = b"application/json"
) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if settles is not None:
            scope["ratelimit"].settle(output_tokens=settles)
        headers = [(b"content-type", media)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def left(limiter: Any) -> int:
    verdict = limiter.peek(identities={"account": "a"}, client="192.0.2.1").verdicts[0]
    return int(verdict.remaining)


@pytest.mark.parametrize("policy", [ESTIMATED, READ])
@pytest.mark.parametrize(
    ("status", "charged"), [(200, 100), (400, 0), (404, 0), (422, 0), (499, 0), (500, 0), (503, 0)]
)
async def test_estimate_of_an_error_is_given_back(policy: str, status: int, charged: int) -> None:
    mounted = mount(rules(policy), answering(status))
    assert (await mounted.client("POST", headers=key("a"))).status == status
    limiter = mounted.middleware.limiter
    assert left(limiter) == 1000 - charged
    assert limiter.unsettled_units == {}


@pytest.mark.parametrize(("status", "charged"), [(400, 0), (404, 0), (200, 200), (500, 0)])
async def test_words_of_a_refusal_are_no_output(status: int, charged: int) -> None:
    """As frameworks answer by themselves: in plain text, which else is counted at 3.5 bytes a token."""
    mounted = mount(rules(READ), answering(status, b"x" * 700, media=b"text/plain"))
    await mounted.client("POST", headers=key("a"))
    assert left(mounted.middleware.limiter) == 1000 - charged


async def test_what_the_application_settled_stands() -> None:
    mounted = mount(rules(ESTIMATED), answering(400, settles=70))
    await mounted.client("POST", headers=key("a"))
    assert left(mounted.middleware.limiter) == 930


async def test_usage_that_was_read_stands() -> None:
    mounted = mount(rules(READ), answering(422, USED))
    await mounted.client("POST", headers=key("a"))
    assert left(mounted.middleware.limiter) == 960


async def test_requests_themselves_are_not_given_back() -> None:
    mounted = mount(rules(ESTIMATED, limit("requests", rate="2/hour")), answering(404))
    assert await mounted.client.statuses(3, "POST", headers=key("a")) == [404, 404, 429]


@pytest.mark.parametrize(("status", "charged"), [("200 OK", 100), ("404 Not Found", 0)])
def test_wsgi_gives_back_and_counts_what_is_in_flight(status: str, charged: int) -> None:
    seen: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response(status, [("Content-Type", "text/plain")])
        seen.append(dict(middleware.limiter.unsettled_units))
        return [b"ok"]

    client = Client(rules(ESTIMATED), app)
    middleware: RateLimitMiddleware = client.middleware
    client("POST", headers=key("a"))
    assert seen == [{"tokens": 100}]
    assert middleware.limiter.unsettled_units == {}
    assert left(middleware.limiter) == 1000 - charged
