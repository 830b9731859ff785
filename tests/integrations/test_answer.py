"""A decision becomes the response that the middleware would send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.integrations.answer import answer_of
from tests.asgi.driver import OLDER_FIELDS, PEER, key, limit, mount, rules

POLICIES = {
    "one limit": rules(limit(rate="2/minute")),
    "older headers": rules(limit(rate="2/minute"), more=OLDER_FIELDS),
    "missing key": rules(
        limit(rate="2/minute"), identities='account = { from = "header:x-other", missing = "refuse" }'
    ),
    "concealed": rules(
        limit(rate="2/minute"),
        limit("actor", "cluster", "50/minute"),
        more='[correlation]\nprincipal = "account"\n',
    ),
}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("origin", [False, True])
async def test_answer_is_what_the_middleware_answers(name: str, origin: bool) -> None:
    toml = POLICIES[name]
    headers = key("a") + ([(b"origin", b"https://else.example")] if origin else [])
    client = mount(toml).client
    with_limiter = Policy.from_toml(toml)
    limiter = Limiter(with_limiter, clock=ManualClock())
    refused = 0
    for _ in range(4):
        sent = await client("GET", "/", headers)
        decision = limiter.decide(headers=headers, client=PEER)
        answer = answer_of(limiter, decision, cross_origin=origin)
        told = {name.lower(): value for name, value in answer.headers}
        expected: dict[str, Any] = dict(sent.headers)
        expected.pop("content-length", None)
        if decision.allowed:
            expected.pop("content-type")
            assert (answer.status, answer.body) == (200, b"")
        else:
            refused += 1
            assert answer.status == sent.status
            assert json.loads(answer.body) == json.loads(sent.body)
        assert told == expected
    assert refused >= 2
    limiter.close()
