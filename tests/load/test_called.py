"""Limits that follow the load where the caller tells first byte and end: `Limiter.decide` and `adecide`."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.decision import Reason
from ratelimit.load.called import SILENT_NS

SECOND = 10**9
POLICY = """
version = 1
[store]
memory = "private"
[identities]
account = { from = "header:x-account" }
[adaptive]
first_byte = "1s"
in_flight = [1, 2, 2]
match = "POST /v1/*"
"""


@pytest.fixture
def limiter() -> Iterator[Limiter]:
    made = Limiter(Policy.from_toml(POLICY), clock=ManualClock())
    yield made
    made.close()


def ask(limiter: Limiter, path: str = "/v1/chat") -> Any:
    return limiter.decide(method="POST", path=path, identities={"account": "a"})


def counts(limiter: Limiter) -> tuple[int, int]:
    load = limiter.load
    assert load is not None
    return load.flight.counts(limiter.now_ns())


def samples(limiter: Limiter) -> list[Any]:
    load: Any = limiter.load
    steering = load._admission.steering
    steering.answered()  # as the next step does
    return list(steering.answered(True))


def test_decision_enters_answers_and_ends(limiter: Limiter) -> None:
    decision = ask(limiter)
    assert counts(limiter) == (1, 1)
    limiter.clock.advance(0.5)  # type: ignore[attr-defined]
    decision.first_byte()
    decision.first_byte()
    assert counts(limiter) == (1, 0)
    decision.release(200)
    decision.release(200)
    assert counts(limiter) == (0, 0)
    (seen,) = samples(limiter)
    assert seen[1] - seen[0] == SECOND // 2


def test_decision_without_room_is_shed_and_told_when_to_come(limiter: Limiter) -> None:
    held = [ask(limiter), ask(limiter)]
    shed = ask(limiter)
    assert (shed.allowed, shed.reason) == (False, Reason.CAPACITY)
    assert shed.retry_after_ns > 0
    assert ask(limiter, "/v2/other").allowed
    assert counts(limiter) == (2, 2)
    held[0].release(200)
    assert ask(limiter).allowed


def test_a_status_is_an_answer_and_a_hang_up_is_none(limiter: Limiter) -> None:
    for status, expected in ((None, 0), (499, 0), (200, 1)):
        ask(limiter).release(status)
        assert len(samples(limiter)) == expected
    assert counts(limiter) == (0, 0)


def test_back_end_that_refuses_is_no_fast_answer(limiter: Limiter) -> None:
    ask(limiter).release(429)
    (seen,) = samples(limiter)
    assert seen[4]


def test_block_that_ends_has_answered_and_one_that_raises_has_not(limiter: Limiter) -> None:
    with ask(limiter):
        pass
    assert len(samples(limiter)) == 1
    with pytest.raises(LookupError), ask(limiter):
        raise LookupError
    assert len(samples(limiter)) == 1
    assert counts(limiter) == (0, 0)


def test_decision_that_is_never_ended_gives_its_place_back_after_ten_minutes(limiter: Limiter) -> None:
    load, clock = limiter.load, limiter.clock
    assert load is not None
    forgotten = [ask(limiter), ask(limiter)]

    def beat_until(ns: int) -> None:
        # A worker that is silent counts for nothing, so it beats as its upkeep does.
        while clock.now_ns() < ns:
            clock.advance(min(5.0, (ns - clock.now_ns()) / SECOND))  # type: ignore[attr-defined]
            load.heartbeat()

    begun_ns = clock.now_ns()
    beat_until(begun_ns + SILENT_NS - SECOND)
    assert counts(limiter)[0] == 2
    forgotten[0].settle(tokens=1)  # a sign of life
    beat_until(begun_ns + SILENT_NS)
    assert counts(limiter)[0] == 1
    beat_until(begun_ns + 2 * SILENT_NS)
    assert counts(limiter) == (0, 0)
    begun = ask(limiter)
    for late in forgotten:  # ends nothing that it does not have
        late.first_byte()
        late.release(200)
    assert counts(limiter) == (1, 1)
    assert samples(limiter) == []
    begun.release()


def test_decision_that_is_collected_gives_its_place_back(limiter: Limiter) -> None:
    decision = ask(limiter)
    assert counts(limiter) == (1, 1)
    del decision
    gc.collect()
    assert counts(limiter) == (0, 0)
    assert samples(limiter) == []


def test_peek_takes_no_place(limiter: Limiter) -> None:
    assert limiter.peek(method="POST", path="/v1/chat", identities={"account": "a"}).allowed
    assert counts(limiter) == (0, 0)


async def test_decision_waits_for_room_and_goes_on_with_the_next_end(limiter: Limiter) -> None:
    first, second = ask(limiter), ask(limiter)
    asking = asyncio.ensure_future(
        limiter.adecide(method="POST", path="/v1/chat", identities={"account": "a"})
    )
    load = limiter.load
    assert load is not None
    while not load.queue.waiting:
        await asyncio.sleep(0)
    first.release(200)
    decision = await asking
    assert decision.allowed
    assert counts(limiter)[0] == 2
    decision.release(200)
    second.release(200)
    assert counts(limiter) == (0, 0)


async def test_caller_that_is_cancelled_while_it_waits_leaves_no_place(limiter: Limiter) -> None:
    held = [ask(limiter), ask(limiter)]
    asking = asyncio.ensure_future(limiter.adecide(method="POST", path="/v1/chat"))
    load = limiter.load
    assert load is not None
    while not load.queue.waiting:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert load.queue.waiting == 0
    for each in held:
        each.release(200)
    assert counts(limiter) == (0, 0)
