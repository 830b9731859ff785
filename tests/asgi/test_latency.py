"""One decision in so many is timed, whichever way a request is decided."""

from __future__ import annotations

import pytest

from ratelimit.asgi.gate import SAMPLE
from ratelimit.telemetry.exposition import Exposition
from tests.asgi.driver import Mounted, echo, key, limit, mount, rules

PLAN = 'account = { from = "header:x-api-key" }\nplan = { from = "header:x-plan", missing = "skip" }'


def timed(mounted: Mounted) -> int:
    body, _ = Exposition(mounted.middleware.limiter, None).render("")
    (line,) = (line for line in body.decode().splitlines() if "duration_seconds_count" in line)
    return int(float(line.split()[1]))


@pytest.mark.parametrize(
    "toml",
    [
        rules(limit()),
        rules(limit(), more='[deny]\nip = ["203.0.113.0/24"]'),
        rules(limit() + '\ntiers.plan.pro = "5/minute"', identities=PLAN),
    ],
    ids=["plainly", "by lists", "by tier"],
)
async def test_decision_is_timed_whichever_way_it_is_made(toml: str) -> None:
    mounted = mount(toml)
    await mounted.client.statuses(SAMPLE - 1, headers=key("a"))
    assert timed(mounted) == 0
    await mounted.client(headers=key("a"))
    assert timed(mounted) == 1


async def test_handshake_is_timed_too() -> None:
    mounted = mount(rules(limit(rate="1000/minute")), echo)
    for _ in range(SAMPLE):
        async with mounted.client.websocket(headers=key("a")) as socket:
            await socket.receive()
    assert timed(mounted) == 1


async def test_request_no_limit_applies_to_is_not_timed() -> None:
    mounted = mount(rules(limit(match="/other")))
    await mounted.client.statuses(SAMPLE)
    assert timed(mounted) == 0
