"""An event loop with a clock of its own: deadlines of answers go by it, as its timers do."""

from __future__ import annotations

import asyncio

from tests.support.redis.live import Live, rules
from tests.support.redis.server import Server

AHEAD_S = 1_000_000.0
POLICY = 'per = "account"\nrate = "2/day"\nburst = 2'


class _Ahead(asyncio.SelectorEventLoop):
    def time(self) -> float:
        return super().time() + AHEAD_S


async def _answered(server: Server) -> tuple[list[bool], float]:
    limiter = Live(rules(server.url, POLICY))
    try:
        await limiter.connected()
        allowed = [(await limiter.ask()).allowed for _ in range(3)]
        assert not limiter.watcher.faults
        return allowed, asyncio.get_running_loop().time() - limiter.batch_client._pipelines.last_answer
    finally:
        await limiter.aclose()


def test_deadlines_go_by_the_loops_clock(server: Server) -> None:
    with asyncio.Runner(loop_factory=_Ahead) as runner:
        allowed, since_s = runner.run(_answered(server))
    assert allowed == [True, True, False]
    assert 0 <= since_s < AHEAD_S / 2


async def test_deadlines_go_by_a_usual_loops_clock(server: Server) -> None:
    allowed, since_s = await _answered(server)
    assert allowed == [True, True, False]
    assert 0 <= since_s < AHEAD_S / 2
