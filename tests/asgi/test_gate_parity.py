"""One decider: the gate goes through its stages in one call, and leaves what the slow path leaves behind it.

Answers alone are in test_gate.py. Here are also counts, sightings, heartbeats and upkeep.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.telemetry.names import COUNTER_REQUESTS
from ratelimit.worker import upkeep
from tests.asgi.driver import Client, key, limit, mount, ok, rules
from tests.support.acting import NS, START_NS
from tests.support.campaign import campaign, policy_text

BUDGETS = {"wide": "1000000/day", "tight": "20/day"}
LEASE_S = 60
HELD = rules(
    limit("requests", rate="1000/minute", match="/plain"),
    limit("slots", "account", "", concurrent=1, match="/slow"),
)


@dataclass
class Way:
    """One of the two ways, and all that it leaves behind."""

    client: Client
    middleware: RateLimitMiddleware
    clock: ManualClock

    def left_behind(self) -> dict[str, Any]:
        """Return counts, sightings, the correlator's state, and for how long this worker counts as alive."""
        limiter = self.middleware.limiter
        table = limiter.table
        return {
            "counted": table.totals(table.counter(COUNTER_REQUESTS)),
            "workers": [
                table.stats(self.clock.now_ns() + seconds * NS)["workers"] for seconds in range(0, 120, 5)
            ],
            **limiter.correlation,
        }


def ways(text: str, monkeypatch: pytest.MonkeyPatch) -> list[Way]:
    """Return a policy behind the gate, and behind the slow path alone."""
    found = []
    for is_slow in (False, True):
        clock = ManualClock(START_NS)
        policy = Policy.from_toml(f'{text}\n[hashing]\nkey = "00112233445566778899aabbccddeeff"\n')
        middleware = RateLimitMiddleware(ok, policy, clock=clock, reload_interval_s=0)
        if is_slow:
            monkeypatch.setattr(middleware, "_new_gate", lambda bound: None)
        clustering = middleware.limiter.clustering
        assert clustering is not None
        # Slices end by time: by none here, so that both ways have the same.
        monkeypatch.setattr(clustering, "_elapsed_ns", lambda: 0)
        found.append(Way(Client(middleware), middleware, clock))
    return found


@pytest.mark.parametrize("budget", BUDGETS)
async def test_gate_leaves_behind_what_the_slow_path_does(
    budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A campaign passes; nothing but its requests drives the correlator."""
    short, slow = ways(policy_text(budget=BUDGETS[budget]), monkeypatch)
    statuses = set()
    requests = list(campaign())
    for number, request in enumerate([*requests, *requests[-300:]]):
        answers = []
        for way in (short, slow):
            way.clock.set_ns(START_NS + int(request.at_s * NS) + (number >= len(requests)) * 9 * 3600 * NS)
            way.clock.advance(number * 0.01)
            answer = await way.client("GET", "/v1/x", request.headers, peer=request.address)
            answers.append((answer.status, answer.messages[0]["headers"], answer.body))
        assert answers[0] == answers[1], number
        statuses.add(answers[0][0])
        if number % 50 == 0:
            assert short.left_behind() == slow.left_behind(), number
    assert short.left_behind() == slow.left_behind()
    numbers = short.middleware.limiter.correlation
    assert numbers["taken"] > 0.9 * len(requests)
    assert numbers["members"] == 60
    assert statuses == ({200, 429} if budget == "tight" else {200})


async def test_what_passes_the_gate_drives_the_correlator(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for way in ways(policy_text(), monkeypatch):
        for number in range(300):
            way.clock.advance(0.05)
            headers = [(b"x-api-key", b"a%d" % number), (b"x-payment", b"p%d" % number)]
            await way.client("GET", "/v1/x", headers, peer="198.51.100.7")
        numbers = way.middleware.limiter.correlation
        taken.append(numbers["taken"])
        assert numbers["taken"] + numbers["waiting"] == 300
    assert taken[0] == taken[1] > 200


@pytest.mark.parametrize("way", ["gate", "slow path"])
async def test_what_passes_keeps_this_workers_slots_alive(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot is held for longer than its lease while other requests pass, and stays held."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await go.wait()
        await ok(scope, receive, send)

    mounted = mount(HELD, app)
    if way == "slow path":
        monkeypatch.setattr(mounted.middleware, "_new_gate", lambda bound: None)
    held = asyncio.ensure_future(mounted.client("GET", "/slow", key("a")))
    await asyncio.sleep(0)
    for _ in range(3 * LEASE_S):
        mounted.clock.advance(1)
        assert (await mounted.client("GET", "/plain", key("b"))).status == 200
    assert (await mounted.client("GET", "/slow", key("a"))).status == 429
    go.set()
    assert (await held).status == 200
    assert (await mounted.client("GET", "/slow", key("a"))).status == 200


class PassingClock:
    """Time that passes by itself, as far as a middleware can see: no `ManualClock`."""

    def __init__(self) -> None:
        self.at_ns = START_NS

    def now_ns(self) -> int:
        return self.at_ns


def until(is_so: Callable[[], object]) -> bool:
    """Wait, a little at a time, until something another thread does is done."""
    pause = threading.Event()
    return any(is_so() or pause.wait(0.01) for _ in range(6000)) and bool(is_so())


async def test_worker_without_requests_goes_on_saying_that_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`reload_interval_s=0` says that the file is never looked at, and nothing of heartbeats."""
    monkeypatch.setattr(upkeep, "BEAT_S", 0.005)
    path = tmp_path / "policy.toml"
    path.write_text(HELD + '[store]\nmemory = "private"\n')
    clock = PassingClock()
    middleware = RateLimitMiddleware(ok, path, clock=clock, reload_interval_s=0)
    table = middleware.limiter.table
    await Client(middleware)("GET", "/plain", key("a"))
    try:
        clock.at_ns += 7200 * NS
        assert until(lambda: table.stats(clock.at_ns)["workers"] == 1)
        path.write_text(path.read_text().replace("1000/minute", "7/minute"))
        clock.at_ns += 7200 * NS
        assert until(lambda: table.stats(clock.at_ns)["workers"] == 1)
        assert middleware.limiter.rules[0].quota == 1000
    finally:
        await middleware._shut_down()


def test_seldom_read_policy_does_not_slow_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "BEAT_S", 2.0)
    limiter = Limiter(Policy.from_toml(HELD), clock=ManualClock())
    beats, looks = [], []
    monkeypatch.setattr(limiter.store, "heartbeat", beats.append)
    monkeypatch.setattr(limiter, "reload_if_changed", lambda: looks.append(1))
    for interval_s, ticks, looked in ((60, 60, 2), (2, 60, 60), (0, 60, 0), (0.5, 60, 60)):
        beats.clear()
        looks.clear()
        kept = upkeep.Upkeep(limiter, interval_s)
        ended = threading.Event()
        for number in range(1, ticks + 1):
            assert kept._tick_once(number, ended)
        assert (len(beats), len(looks)) == (ticks, looked), interval_s


def test_upkeep_ends_with_a_limiter_that_was_closed() -> None:
    limiter = Limiter(Policy.from_toml(HELD), clock=ManualClock())
    kept = upkeep.Upkeep(limiter, 2)
    limiter.close()
    assert not kept._tick_once(1, threading.Event())


def test_limiter_by_itself_keeps_its_slots_while_it_decides() -> None:
    clock = ManualClock()
    limiter = Limiter(Policy.from_toml(HELD), clock=clock)
    with limiter.decide(path="/slow", identities={"account": "a"}) as held:
        assert held.allowed
        for _ in range(3 * LEASE_S):
            clock.advance(1)
            limiter.decide(path="/plain", identities={"account": "b"})
        assert not limiter.decide(path="/slow", identities={"account": "a"}).allowed
    assert limiter.decide(path="/slow", identities={"account": "a"}).allowed
