"""Stages of the application's own: one that puts another plan in place, and one that waits."""

from __future__ import annotations

import asyncio

import pytest

from ratelimit import Limiter, ManualClock, Policy, RateLimitMiddleware
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Deciding, Pending, Rest, Stage, Wait
from tests.asgi.driver import Client, key, limit, ok, rules

SECOND_NS = 10**9
POLICY = rules(limit("requests", rate="4/minute", algorithm="fixed-window"))
HALF = rules(limit("requests", rate="2/minute", algorithm="fixed-window"))


class Halving(Stage):
    """Halves the limits of one account; both plans count in the same counter."""

    def __init__(self, of: str) -> None:
        self.of = of
        self.asked = 0
        self._half: RoutePlan | None = None
        self._row = -1

    def bind(self, limiter: Limiter) -> None:
        other = Limiter(Policy.from_toml(HALF), store=limiter.store, clock=limiter.clock)
        self._half = other.current.match("GET", "/").plan
        self._row = limiter.current.extractor.value_hash("account", self.of)

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        self.asked += 1
        if self._half is not None and pending.row[0] == self._row:
            pending.plan = self._half
        return (yield from rest(pending))


def admitted(limiter: Limiter, account: str, times: int = 6) -> int:
    return sum(limiter.decide(identities={"account": account}).allowed for _ in range(times))


def halved() -> tuple[Limiter, Halving]:
    factor = Halving("a")
    limiter = Limiter(Policy.from_toml(POLICY), clock=ManualClock(), stages=[factor])
    assert limiter.current.compiled.identities[0].name == "account"
    factor.bind(limiter)
    return limiter, factor


def test_factor_scales_the_limits_of_one_caller() -> None:
    limiter, factor = halved()
    assert limiter.peek(identities={"account": "a"}).verdicts[0].quota == 2
    assert admitted(limiter, "a") == 2
    assert admitted(limiter, "b") == 4
    assert factor.asked == 13


def test_what_was_used_counts_when_a_factor_changes() -> None:
    limiter, factor = halved()
    assert admitted(limiter, "a", 1) == 1
    factor.of, factor._row = "nobody", -1
    assert admitted(limiter, "a") == 3


async def test_gate_leaves_requests_with_a_stage_of_the_applications_own() -> None:
    limiter, _ = halved()
    client = Client(RateLimitMiddleware(ok, limiter=limiter, reload_interval_s=0))
    assert await client.statuses(3, headers=key("a")) == [200, 200, 429]
    assert await client.statuses(5, headers=key("b")) == [200, 200, 200, 200, 429]


class Waiting(Stage):
    """Lets each request wait for the next minute, at most `most` of them at once."""

    def __init__(self, most: int = 9) -> None:
        self.most = most
        self.waiting = 0
        self.minute = asyncio.Event()
        self.later_ns = 0
        self.rounds = 0

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        decided = yield from rest(pending)
        if decided[0] or self.waiting >= self.most or not (pending.charges and pending.can_wait):
            return decided
        self.waiting += 1
        self.rounds += 1
        try:
            yield Wait(self.minute.wait())
        finally:
            self.waiting -= 1
        pending.now_ns = self.later_ns
        return (yield from rest(pending))


class Queued:
    def __init__(self, most: int = 9) -> None:
        self.clock = ManualClock(60 * SECOND_NS * 28_000_000)
        self.queue = Waiting(most)
        self.limiter = Limiter(Policy.from_toml(POLICY), clock=self.clock, stages=[self.queue])
        self.client = Client(RateLimitMiddleware(ok, limiter=self.limiter, reload_interval_s=0))

    async def turn(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    def next_minute(self) -> None:
        self.clock.advance(60)
        self.queue.later_ns = self.clock.now_ns()
        self.queue.minute.set()

    def left(self) -> int:
        return self.limiter.peek(identities={"account": "a"}, client="192.0.2.1").verdicts[0].remaining


async def test_refused_request_waits_and_is_asked_again() -> None:
    queued = Queued()
    assert await queued.client.statuses(4, headers=key("a")) == [200] * 4
    waits = [asyncio.ensure_future(queued.client(headers=key("a"))) for _ in range(3)]
    await queued.turn()
    assert queued.queue.waiting == 3
    assert (await queued.client(headers=key("b"))).status == 200  # others pass meanwhile
    queued.next_minute()
    assert [answer.status for answer in await asyncio.gather(*waits)] == [200] * 3
    assert queued.left() == 1


async def test_full_queue_lets_the_refusal_stand() -> None:
    queued = Queued(most=1)
    assert await queued.client.statuses(4, headers=key("a")) == [200] * 4
    first = asyncio.ensure_future(queued.client(headers=key("a")))
    await queued.turn()
    assert (await queued.client(headers=key("a"))).status == 429
    queued.next_minute()
    assert (await first).status == 200


async def test_cancelled_while_waiting_charges_nothing() -> None:
    queued = Queued()
    assert await queued.client.statuses(4, headers=key("a")) == [200] * 4
    waits = asyncio.ensure_future(queued.limiter.adecide(identities={"account": "a"}, client="192.0.2.1"))
    await queued.turn()
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    assert queued.queue.waiting == 0
    queued.next_minute()
    assert queued.left() == 4


async def test_neither_decide_nor_a_peek_waits() -> None:
    queued = Queued()
    asked = {"identities": {"account": "a"}, "client": "192.0.2.1"}
    assert [queued.limiter.decide(**asked).allowed for _ in range(5)] == [True] * 4 + [False]
    assert not (await queued.limiter.apeek(**asked)).allowed
    assert queued.queue.rounds == 0
