"""Leased units never let more through than the limit, whatever workers do with them."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from ratelimit.core.redis.lease import LeasedRules
from ratelimit.core.redis.remote import RemoteRules
from tests.support.bounds import start_of
from tests.support.redis.core import ScriptPlan
from tests.support.redis.leasing import START, Worker
from tests.support.redis.server import Server
from tests.support.rule import MINUTE, SECOND, RuleSpec

TICK = SECOND // 50


@pytest.fixture
def client(server: Server) -> Iterator[Redis]:
    """Return a client of a server that counts in microseconds of the test's own."""
    client = Redis.from_url(server.url)
    yield client
    client.close()


def run(
    client: Redis, spec: RuleSpec, seed: int, seconds: int = 40, settled: float = 0.0, given_up: float = 0.0
) -> tuple[list[tuple[int, int]], Any]:
    """Let three workers do as they like for a while; return what was admitted when, and the workers.

    What is charged by settling, which asks no server, is returned as less than nothing. What is given
    up arrives later, at times after what was asked next.
    """
    chance = random.Random(seed)
    workers = [Worker(client, spec, number + 1, horizon_ns=5 * SECOND) for number in range(3)]
    eager = [chance.choice([0.02, 0.3, 1, 4]) for _ in workers]
    admitted = []
    now_ns = START
    for _ in range(seconds * SECOND // TICK):
        now_ns += chance.choice([TICK, TICK, 3 * TICK if chance.random() < 0.1 else TICK])
        for number, worker in enumerate(workers):
            if chance.random() < 0.002:
                eager[number] = chance.choice([0, 0.02, 0.3, 1, 4])
            if chance.random() < 0.001:
                workers[number] = Worker(client, spec, 10 + len(admitted), horizon_ns=5 * SECOND)  # killed
                continue
            for _ in range(int(eager[number] + chance.random())):
                cost = chance.choice([1, 1, 1, 2, 3]) if spec.quota > 30 else 1
                outcome = worker.outcome(now_ns, cost)
                if outcome.allowed:
                    admitted.append((now_ns, cost))
                    if chance.random() < settled:
                        worker.charge(outcome, 2, now_ns)
                        admitted.append((now_ns, -2))
            if chance.random() < given_up:
                worker.give_up(now_ns, give_back=chance.random() < 0.3)
            if chance.random() < 0.2:
                worker.arrive(now_ns)
            worker.renew(now_ns, late_ns=chance.choice([0, 0, TICK]), is_lost=chance.random() < 0.05)
            if chance.random() < 0.02:
                worker.give_back(now_ns, 3 * SECOND)
    return admitted, workers


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("quota", "period_ns", "burst"), [(60, SECOND, 60), (600, MINUTE, 40), (20, SECOND, 200)]
)
def test_bucket_holds_over_every_interval(
    client: Redis, quota: int, period_ns: int, burst: int, seed: int
) -> None:
    spec = RuleSpec("token-bucket", quota, period_ns, burst, salt=seed + quota)
    admitted, _ = run(client, spec, seed)
    holds(spec, admitted)


@pytest.mark.parametrize("seed", range(3))
def test_bucket_holds_though_calls_arrive_out_of_turn(client: Redis, seed: int) -> None:
    spec = RuleSpec("token-bucket", 60, SECOND, 60, salt=seed + 60)
    admitted, _ = run(client, spec, seed, given_up=0.2)
    holds(spec, admitted)


def holds(spec: RuleSpec, admitted: list[tuple[int, int]]) -> None:
    """Assert that a bucket was not exceeded, and put to the test."""
    quota, period_ns, burst = spec.quota, spec.period_ns, spec.burst
    # The bucket's own rule, of units as they were used: an arrival time that never runs too far ahead.
    interval = -(-16 * period_ns // quota)
    arrival = 0
    for now_ns, cost in admitted:
        arrival = max(arrival, 16 * now_ns) + cost * interval
        assert arrival <= 16 * now_ns + burst * interval, now_ns - START
    used = sum(cost for _, cost in admitted)
    assert used > burst  # it was put to the test


@pytest.mark.parametrize("seed", range(4))
def test_bucket_holds_beside_charges_that_ask_nobody(client: Redis, seed: int) -> None:
    spec = RuleSpec("token-bucket", 60, SECOND, 60, salt=seed + 40)
    admitted, _ = run(client, spec, seed, settled=0.05)
    interval = -(-16 * SECOND // 60)
    arrival = 0
    for now_ns, cost in admitted:
        arrival = max(arrival, 16 * now_ns) + abs(cost) * interval
        if cost < 0:  # debt reaches two buckets ahead
            arrival = min(arrival, 16 * now_ns + 120 * interval)
        else:
            assert arrival <= 16 * now_ns + 60 * interval, now_ns - START


@pytest.mark.parametrize("give_back", [False, True])
def test_call_that_was_given_up_and_arrives_after_the_next_changes_nothing(
    client: Redis, give_back: bool
) -> None:
    spec = RuleSpec("token-bucket", 60, SECOND, 60, salt=52 + give_back)
    first, second = Worker(client, spec, 1, 20 * SECOND), Worker(client, spec, 2, 20 * SECOND)
    now_ns = START
    while not first.leases.held():  # until it has seen for long enough how busy the key is
        now_ns += SECOND // 40
        first.ask(now_ns)
        first.renew(now_ns)
    while not first.under_way:  # more is asked for when little is left
        now_ns += SECOND // 40
        first.ask(now_ns)
        first.give_up(now_ns, give_back=give_back)
    while first.leases.held() < 10:
        now_ns += SECOND // 40
        first.ask(now_ns)
        first.renew(now_ns)
    first.arrive(now_ns)
    now_ns += 2 * SECOND  # the bucket is full again but for what the first holds
    used = 0
    while second.ask(now_ns):
        used += 1
    while first.leases.held() and first.ask(now_ns):
        used += 1
    assert used <= 60


def test_what_is_charged_by_settling_comes_on_top_of_what_is_out(client: Redis) -> None:
    spec = RuleSpec("token-bucket", 60, SECOND, 60, salt=50)
    first, second = Worker(client, spec, 1, 20 * SECOND), Worker(client, spec, 2, 20 * SECOND)
    now_ns = START
    for _ in range(100):
        now_ns += SECOND // 40
        first.ask(now_ns)
        first.renew(now_ns)
    now_ns += 2 * SECOND  # the bucket is full again but for what the first holds
    held = first.leases.held()
    assert held >= 5
    outcome = second.outcome(now_ns, 1)
    now_ns += 2 * SECOND
    second.charge(outcome, 20, now_ns)
    assert second.remote.peek([7], now_ns, [0]).remaining(0) <= 60 - 20 - held


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "algorithm", ["fixed-window", "staggered-window", "carried-window", "sliding-window"]
)
def test_each_window_of_a_key_admits_at_most_the_quota(client: Redis, algorithm: str, seed: int) -> None:
    spec = RuleSpec(algorithm, 300, 7 * SECOND, salt=seed + 17)
    admitted, _ = run(client, spec, seed)
    windows: dict[int, int] = {}
    for now_ns, cost in admitted:
        start_ns = start_of(spec, now_ns, 7)
        windows[start_ns] = windows.get(start_ns, 0) + cost
    assert max(windows.values()) <= 300
    assert sorted(windows.values())[-2] >= 270  # little was stranded where there was demand


def test_busy_key_takes_few_round_trips_and_a_rare_one_takes_one_each(client: Redis) -> None:
    spec = RuleSpec("token-bucket", 1_000_000, MINUTE, 1_000_000, salt=3)
    busy, rare = Worker(client, spec, 1, 20 * SECOND), Worker(client, spec, 2, 20 * SECOND)
    now_ns = START
    for second in range(60):
        for _ in range(100):
            now_ns += SECOND // 100
            assert busy.ask(now_ns)
        busy.renew(now_ns)
        if second % 20 == 0:
            assert rare.ask(now_ns)
            rare.renew(now_ns)
    assert rare.trips == 3
    assert busy.trips <= 100 + 6000 / 50


@pytest.mark.parametrize("rate", [1.2, 2, 8])
@pytest.mark.parametrize("algorithm", ["token-bucket", "sliding-window"])
def test_key_used_at_random_takes_one_round_trip_in_fifty(client: Redis, algorithm: str, rate: float) -> None:
    burst = {"burst": 1_000_000} if algorithm == "token-bucket" else {}
    spec = RuleSpec(algorithm, 1_000_000, 3600 * SECOND, salt=round(rate), **burst)
    worker = Worker(client, spec, 1, 20 * SECOND)
    chance = random.Random(rate)
    now_ns, asked = START, 0
    pulse_ns = START
    while now_ns < START + 1200 * SECOND:
        now_ns += int(chance.expovariate(rate) * 1e6) * 1000
        while pulse_ns < now_ns:
            pulse_ns += SECOND
            worker.give_back(pulse_ns, 3 * SECOND)
        assert worker.ask(now_ns)
        worker.renew(now_ns)
        asked += 1
    assert worker.trips <= asked / 50


@pytest.mark.parametrize(("apart_s", "idle_after_s"), [(0.05, 3.5), (0.5, 5.5), (1.5, 9.5)])
def test_slow_key_is_waited_for_longer_before_its_lease_goes_back(
    client: Redis, apart_s: float, idle_after_s: float
) -> None:
    spec = RuleSpec("fixed-window", 1_000_000, 3600 * SECOND, salt=13)
    worker = Worker(client, spec, 1, 20 * SECOND)
    now_ns = START
    for _ in range(int(40 / apart_s)):
        now_ns += int(apart_s * SECOND)
        assert worker.ask(now_ns)
        worker.renew(now_ns)
    assert not worker.leases.idle(now_ns + int((idle_after_s - 1) * SECOND), 3 * SECOND)
    assert worker.leases.idle(now_ns + int(idle_after_s * SECOND), 3 * SECOND)


def test_what_is_given_back_can_be_used_by_others(client: Redis) -> None:
    spec = RuleSpec("fixed-window", 1000, 3600 * SECOND, salt=5)
    first, second = Worker(client, spec, 1, 20 * SECOND), Worker(client, spec, 2, 20 * SECOND)
    now_ns = START
    used = 0
    for _ in range(200):
        now_ns += SECOND // 50
        used += first.ask(now_ns)
        first.renew(now_ns)
    assert first.leases.held() > 0
    now_ns += 4 * SECOND
    first.give_back(now_ns, 3 * SECOND)
    assert first.leases.held() == 0
    while second.ask(now_ns):
        used += 1
    assert used == 1000


def test_nothing_is_asked_of_a_key_that_is_being_given_back(client: Redis) -> None:
    # A renewal that overtook it would be taken for what was given back, and run untold.
    spec = RuleSpec("token-bucket", 1000, SECOND, 1000, salt=51)
    worker = Worker(client, spec, 1, 20 * SECOND)
    now_ns = START
    for _ in range(200):
        now_ns += SECOND // 50
        worker.ask(now_ns)
        worker.renew(now_ns)
    now_ns += 4 * SECOND
    (key,) = worker.leases.idle(now_ns, 3 * SECOND)
    keys: dict[bytes, int] = {}
    items: list[int] = []
    worker.leases.question(key, True, now_ns, lambda _: 0, keys, items, 4)
    for _ in range(150):  # used again, a second long, before the answer is here
        now_ns += SECOND // 50
        assert worker.ask(now_ns)
    assert worker.leases.take_due() == worker.leases.idle(now_ns, -1) == []
    worker.leases.answer(key, worker.remote.send(keys, items, now_ns), 1, now_ns)
    assert worker.ask(now_ns)
    assert worker.leases.held() > 0  # asked for again, with that decision


def test_leases_of_a_window_end_with_it(client: Redis) -> None:
    spec = RuleSpec("fixed-window", 1000, 10 * SECOND, salt=6)
    worker = Worker(client, spec, 1, 20 * SECOND)
    now_ns = START - START % (10 * SECOND) + 10 * SECOND
    for _ in range(150):
        now_ns += SECOND // 50
        worker.ask(now_ns)
        worker.renew(now_ns)
    assert worker.leases.held() > 0
    assert worker.rules.take([7], now_ns, [1]) is not None
    assert worker.rules.take([7], now_ns + 10 * SECOND, [1]) is None


def test_refusals_are_remembered_for_a_moment_only(client: Redis) -> None:
    spec = RuleSpec("fixed-window", 5, 3600 * SECOND, salt=8)
    worker = Worker(client, spec, 1, 20 * SECOND)
    assert [worker.ask(START) for _ in range(8)] == [True] * 5 + [False] * 3
    trips = worker.trips
    assert not worker.ask(START + SECOND // 20)
    assert worker.trips == trips
    assert not worker.ask(START + SECOND // 5)
    assert worker.trips == trips + 1


def test_settling_for_less_gives_units_back_to_the_lease(client: Redis) -> None:
    spec = RuleSpec("fixed-window", 1000, 3600 * SECOND, salt=9)
    worker = Worker(client, spec, 1, 20 * SECOND)
    now_ns = START
    for _ in range(200):
        now_ns += SECOND // 50
        worker.ask(now_ns)
        worker.renew(now_ns)
    held = worker.leases.held()
    outcome = worker.rules.take([7], now_ns, [4])
    assert outcome is not None
    assert worker.leases.held() == held - 4
    assert worker.rules.absorb(outcome, 0, -3, now_ns)
    assert worker.leases.held() == held - 1
    assert not worker.rules.absorb(outcome, 0, held, now_ns)


def test_rules_of_former_policies_are_forgotten(client: Redis) -> None:
    spec = RuleSpec("fixed-window", 10**6, 3600 * SECOND, salt=11)
    worker = Worker(client, spec, 1, 20 * SECOND)
    gone = weakref.ref(worker.remote)
    worker.ask(START)
    for _ in range(5000):  # as many reloads
        worker.remote = ScriptPlan(client, RemoteRules(worker.remote.rules.plan, b"lease:", False), None)  # type: ignore[arg-type]
        worker.rules = LeasedRules(worker.remote.rules, worker.leases, worker.remote)
        outcome = worker.remote.rules.ask([7], [1], True, 0, {}, [], worker.remote)
        worker.remote.rules.answer(
            outcome, [START // 1000, 1, START // SECOND + 60, 1, START // SECOND + 60], 1, START // 1000, True
        )
        worker.rules.note(outcome, START)
    gc.collect()
    assert gone() is None
    assert worker.ask(START)
