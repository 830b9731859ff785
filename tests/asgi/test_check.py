"""The check over HTTP from a proxy's side."""

from __future__ import annotations

import pytest

from ratelimit import Limiter, Policy
from ratelimit.asgi.check import Proxy, check_application
from ratelimit.clock import ManualClock
from tests.asgi.driver import Client, key, limit, rules

FIELDS = [
    ("nginx", b"x-original-uri", b"x-original-method"),
    ("caddy", b"x-forwarded-uri", b"x-forwarded-method"),
    ("traefik", b"x-forwarded-uri", b"x-forwarded-method"),
]


@pytest.mark.parametrize(("proxy", "uri", "method"), FIELDS, ids=[row[0] for row in FIELDS])
async def test_request_that_is_asked_about_is_the_one_that_is_charged(
    proxy: Proxy, uri: bytes, method: bytes
) -> None:
    limiter = Limiter(
        Policy.from_toml(rules(limit(match="POST /v1/*", rate="2/minute"))), clock=ManualClock()
    )
    client = Client(check_application(limiter, proxy))
    asked = [*key("a"), (uri, b"/v1/ch%61t?x=/other"), (method, b"POST")]
    answers = [await client("GET", "/ratelimit", asked) for _ in range(3)]
    assert [answer.status for answer in answers] == [204, 204, 429]
    assert answers[0].headers["ratelimit"].startswith('"requests";r=1;t=')
    assert answers[2].headers["retry-after"] == "30"
    assert answers[2].problem["violated-policies"] == ["requests"]
    assert (await client("GET", "/ratelimit", [*key("a"), (uri, b"/else"), (method, b"POST")])).status == 204
    asked = [*key("a"), (uri, b"/v1/chat"), (method, b"GET")]
    assert (await client("GET", "/ratelimit", asked)).status == 204
    limiter.close()
