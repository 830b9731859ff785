"""Steps of limits that a server keeps, and steep rises."""

from __future__ import annotations

from ratelimit.challenge.stage import ChallengePart
from ratelimit.conduct.model.strikes import Strike
from ratelimit.conduct.stage import conduct_of
from tests.support.redis.live import Live, LiveLimiter
from tests.support.redis.server import Server

STEPS = (
    'per = "account"\nrate = "16/day"\nadaptive = true\n'
    'on_refusal = ["refuse", "observe", "wait", "challenge"]'
)


def strike(limiter: Live, *kinds: Strike) -> None:
    bound = limiter.current
    assert conduct_of(bound) is not None
    for kind in kinds:
        conduct_of(bound).strike(bound.extractor.value_hash("account", "a"), kind, limiter.now_ns())


async def steps(limiter: Live, count: int) -> list[str | None]:
    decisions = [await limiter.ask("a") for _ in range(count)]
    return [(one.verdicts[0].step or "") if one.allowed else None for one in decisions]


async def test_what_conduct_left_is_one_count_on_all_hosts(server: Server, open_limiter: LiveLimiter) -> None:
    one, other = open_limiter(server.url, STEPS), open_limiter(server.url, STEPS)
    strike(one, Strike.PERSISTS)
    strike(other, Strike.PERSISTS)
    assert await steps(one, 5) == [""] * 5
    assert await steps(other, 5) == [""] * 3 + ["observe"] * 2
    assert await steps(one, 8) == ["observe"] * 6 + [None] * 2


async def test_step_up_is_asked_for_before_the_whole_limit(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, STEPS)
    strike(limiter, Strike.PERSISTS, Strike.GROWS, Strike.SURER)
    asked: list[str] = []

    def hook(request: object, decision: object) -> bool:
        asked.append("once")
        return True

    limiter.runtime.part(ChallengePart).hook.challenge = hook
    assert await steps(limiter, 4) == [""] * 2 + ["challenge"] * 2
    assert asked == ["once"]


async def test_steep_rise_is_held_before_a_server_decides(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, 'per = "account"\nrate = "100/hour"', top='ramp = "9/hour"')
    waited = [(await limiter.ask("a")).waited_ns for _ in range(11)]
    assert waited[:10] == [0] * 10
    assert waited[10] > 100 * 10**6
    assert (await limiter.ask("b")).waited_ns == 0
