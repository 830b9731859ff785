"""A clock of one's own that steps back while requests wait."""

from __future__ import annotations

from ratelimit.waiting.stage import WaitingPart
from tests.waiting.test_waiting import SLOTS, Queued, turns


async def test_clock_that_steps_back_lets_no_request_wait_longer() -> None:
    queued = Queued(SLOTS)
    slots = [await queued.ask(), await queued.ask()]
    third, fourth = queued.ask(), queued.ask("b")
    assert (await fourth).allowed
    await turns()
    queued.clock.advance(-3600)
    queued.limiter.runtime.part(WaitingPart).queue.here()._ring()
    await queued.pass_by(0.9)
    assert not third.done()
    await queued.pass_by(0.1)
    assert not (await third).allowed
    assert third.result().waited_ns == 1_000_000_000
    assert queued.waiting == 0
    assert all(slot.allowed for slot in slots)
