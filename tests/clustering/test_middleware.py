"""Correlation behind the middleware: the fast way and the long one, its thread, and the loop's patience."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.worker.upkeep import Upkeep
from tests.asgi.driver import Client, ok
from tests.support.acting import BOTS, END_NS, NS, PEOPLE, START_NS, caught
from tests.support.campaign import campaign, policy_text

PATIENCE_S = 60


class Mounted:
    """The middleware over a limiter of the small world."""

    def __init__(self, text: str, **more: Any) -> None:
        self.clock = ManualClock(START_NS)
        self.limiter = Limiter(Policy.from_toml(text), clock=self.clock, **more)
        self.middleware = RateLimitMiddleware(ok, limiter=self.limiter, reload_interval_s=0)
        self.client = Client(self.middleware)

    async def request(self, account: str, peer: str = "192.0.2.1", *more: tuple[bytes, bytes]) -> int:
        """Return the status of one request."""
        headers = [(b"x-api-key", account.encode()), *more]
        answer = await self.client("GET", "/v1/x", headers, peer=peer)
        return answer.status

    def tick(self) -> None:
        assert self.limiter.clustering is not None
        while self.limiter.clustering.tick(self.clock.now_ns()):
            pass


@pytest.mark.parametrize("way", ["gate", "with care"])
async def test_campaign_is_one_actor_to_the_middleware(way: str) -> None:
    text = policy_text(budget="10/hour")
    if way == "with care":
        text = text.replace('from = "header:x-payment"', 'from = ["state:payment", "header:x-payment"]')
    mounted = Mounted(text)
    for request in campaign():
        mounted.clock.set_ns(START_NS + int(request.at_s * NS))
        await mounted.request(request.account, request.address, *request.headers[1:])
        if mounted.limiter.correlation["waiting"] > 100:
            mounted.tick()
    mounted.clock.set_ns(END_NS)
    mounted.tick()
    mounted.clock.set_ns(END_NS + 3600 * NS)
    numbers = mounted.limiter.correlation
    assert (numbers["members"], numbers["taken"]) == (60, len(list(campaign())))
    assert [await mounted.request(bot) for bot in BOTS] == [200] * 10 + [429] * 50
    assert {await mounted.request(person) for person in PEOPLE[:50]} == {200}


async def test_without_correlation_there_is_nothing_to_watch() -> None:
    mounted = Mounted(policy_text().partition("[correlation]")[0])
    assert await mounted.request("a") == 200
    assert mounted.limiter.current.watch is None
    assert mounted.limiter.correlation == {}


def until(is_so: Callable[[], object]) -> bool:
    """Wait, a little at a time, until something another thread does is done."""
    pause = threading.Event()
    return any(is_so() or pause.wait(0.01) for _ in range(PATIENCE_S * 100)) and bool(is_so())


def test_thread_correlates_while_it_is_wanted_and_hands_over_when_not() -> None:
    limiter = caught().limiter
    clustering = limiter.clustering
    assert clustering is not None
    upkeep = Upkeep(limiter, 1000)
    upkeep.start()
    watch = limiter.current.watch
    assert watch is not None
    watch.observe([5] * (watch.highest + 1), False, END_NS)
    assert until(lambda: limiter.correlation["waiting"] == 0)
    assert clustering.is_kept_up
    upkeep.stop()
    assert not clustering.is_kept_up
    assert not clustering.is_elected


def test_thread_says_what_failed_and_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = caught().limiter
    clustering = limiter.clustering
    assert clustering is not None
    assert clustering._leader is not None

    def fail(now_ns: int) -> bool:
        raise ZeroDivisionError("of course")

    monkeypatch.setattr(clustering._leader, "step", fail)
    upkeep = Upkeep(limiter, 1000)
    with caplog.at_level(logging.ERROR, "ratelimit"):
        upkeep.start()
        assert until(lambda: "of course" in caplog.text)
    monkeypatch.undo()
    upkeep.stop()


@pytest.mark.nightly
async def test_event_loop_is_not_held_up_by_rebuilding_and_saving(tmp_path: Any) -> None:
    # Fifty thousand principals, a campaign of two thousand among them; the loop does nothing
    # but look how long it is kept from doing something.
    clock = ManualClock(START_NS)
    text = policy_text(principals=50_000, identifiers=150_000, snapshot=str(tmp_path / "snapshot"))
    limiter = Limiter(Policy.from_toml(text), clock=clock)
    watch, clustering = limiter.current.watch, limiter.clustering
    assert watch is not None
    assert clustering is not None
    extract = limiter.current.extractor.extract
    for round_ in range(4):
        for number in range(50_000):
            is_bot = number < 2_000
            headers = [
                (b"x-api-key", b"%d" % number),
                (b"x-payment", b"stolen%d" % (number % 50) if is_bot else b"card%d" % number),
                (b"user-agent", b"farm" if is_bot else b"browser%d" % (number % 40)),
            ]
            spread = number * 31 + round_ * 17 if is_bot else number
            address = f"{60 + spread % 100}.{spread // 100 % 250}.{spread // 25_000}.1"
            if not watch.observe(extract(headers, address), False, clock.now_ns()):
                clustering.tick(clock.now_ns())
        clock.advance(3600)
    while clustering.tick(clock.now_ns()):
        pass

    async def gaps(is_over: Callable[[], bool]) -> list[float]:
        """Return how long the loop was kept from its next turn, each time, in order of length."""
        found, begin = [], time.perf_counter()
        last = begin
        while not is_over():
            assert last - begin < PATIENCE_S
            await asyncio.sleep(0)
            now = time.perf_counter()
            found.append(now - last)
            last = now
        return sorted(found)

    upkeep = Upkeep(limiter, 1000)
    excess, lasted = [], 1.0
    for round_ in range(16):
        begin = time.perf_counter()
        # For as long as the work takes: the longest of many gaps is longer than that of few.
        idle = await gaps(lambda: time.perf_counter() - begin > lasted)  # noqa: B023
        rebuilds, saved = limiter.correlation["rebuilds"], limiter.correlation["saved_ns"]
        clock.advance(4000)
        newcomer = extract([(b"x-api-key", b"new%d" % round_), (b"x-payment", b"p")], f"9.9.9.{round_}")
        watch.observe(newcomer, False, clock.now_ns())
        upkeep.start()
        begin = time.perf_counter()
        busy = await gaps(
            lambda: limiter.correlation["rebuilds"] > rebuilds and limiter.correlation["saved_ns"] > saved  # noqa: B023
        )
        lasted = max(lasted, time.perf_counter() - begin)
        upkeep.stop()
        excess.append(busy[-1] - idle[-1])
        if excess[-1] < 0.002:
            break
    # Others on the machine hold a loop up as well, idle or not: what is ours is what comes on top.
    assert min(excess) < 0.002, excess
