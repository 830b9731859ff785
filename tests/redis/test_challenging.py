"""Challenges that were passed, remembered by a server."""

from __future__ import annotations

from ratelimit.challenge.stage import ChallengePart
from tests.support.redis.live import LiveLimiter
from tests.support.redis.server import Server

CHECKED = 'per = "account"\nrate = "1/hour"\non_refusal = ["challenge"]'


async def test_every_host_knows_who_passed(server: Server, open_limiter: LiveLimiter) -> None:
    one, other = open_limiter(server.url, CHECKED), open_limiter(server.url, CHECKED)
    asked: list[str] = []

    def hook(request: object, decision: object) -> bool:
        asked.append("one")
        return True

    one.runtime.part(ChallengePart).hook.challenge = hook
    assert [(await one.ask("a")).allowed for _ in range(3)] == [True] * 3
    assert asked == ["one"]
    assert [(await other.ask("a")).allowed for _ in range(2)] == [True] * 2
    assert [(await other.ask("b")).allowed for _ in range(2)] == [True, False]
    assert "challenge-missing" in other.watcher.codes
