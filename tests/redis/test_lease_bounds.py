"""Bounds of a lease: the limit in force, and no more than its key uses and the server knows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.redis.leasing import START, Worker
from tests.support.redis.server import Server
from tests.support.rule import HOUR, SECOND, RuleSpec

HORIZON = 20 * SECOND
WINDOWS = ("fixed-window", "staggered-window", "sliding-window")


@pytest.fixture
def client(server: Server) -> Iterator[Redis]:
    """Return a client of a server that counts in microseconds of the test's own."""
    client = Redis.from_url(server.url)
    yield client
    client.close()


def use(worker: Worker, now_ns: int, gap_ns: int, seconds: int) -> tuple[int, int]:
    """Ask once a gap for so long, with a beat a second; return what was admitted, and when it ended."""
    admitted = 0
    end_ns, pulse_ns = now_ns + seconds * SECOND, now_ns
    while now_ns < end_ns:
        now_ns += gap_ns
        while pulse_ns + SECOND <= now_ns:
            pulse_ns += SECOND
            worker.give_back(pulse_ns, 3 * SECOND)
            worker.renew(pulse_ns)
        admitted += worker.ask(now_ns)
        worker.renew(now_ns)
    return admitted, now_ns


def limit(algorithm: str, quota: int, period_ns: int) -> RuleSpec:
    return RuleSpec(algorithm, quota, period_ns, quota if algorithm == "token-bucket" else None, salt=71)


@pytest.mark.parametrize("algorithm", ["token-bucket", *WINDOWS])
def test_limit_that_a_reload_makes_smaller_holds_at_once(client: Redis, algorithm: str) -> None:
    worker = Worker(client, limit(algorithm, 6000, HOUR), 1, HORIZON)
    admitted, now_ns = use(worker, START, SECOND // 50, 20)
    assert admitted == 1000
    assert worker.leases.held() >= 200
    worker.load(limit(algorithm, 1050, HOUR))
    admitted, now_ns = use(worker, now_ns, SECOND // 50, 60)
    # A bucket goes on from its arrival time, of which 1000 of the former's intervals are 175 of its own.
    most, refilled = (1050 - 175, 80 * 1050 // 3600 + 1) if algorithm == "token-bucket" else (50, 0)
    assert most - 10 <= admitted <= most + refilled


@pytest.mark.parametrize("algorithm", ["token-bucket", *WINDOWS])
def test_limit_that_a_reload_makes_larger_is_leased_by_the_new_numbers(client: Redis, algorithm: str) -> None:
    worker = Worker(client, limit(algorithm, 500, HOUR), 1, HORIZON)
    admitted, now_ns = use(worker, START, SECOND // 10, 10)
    assert admitted == 100
    worker.load(limit(algorithm, 2000, HOUR))
    trips = worker.trips
    admitted, now_ns = use(worker, now_ns, SECOND // 10, 150)
    assert admitted == 1500
    assert worker.trips - trips <= 1500 / 50


@pytest.mark.parametrize("algorithm", ["token-bucket", *WINDOWS])
def test_worker_whose_key_slows_down_gives_back_what_it_does_not_use(client: Redis, algorithm: str) -> None:
    spec = limit(algorithm, 6_000, 30 * 24 * HOUR)
    first, second = (Worker(client, spec, number, HORIZON) for number in (1, 2))
    admitted, now_ns = use(first, START, SECOND // 100, 30)
    assert admitted == 3000
    assert first.leases.held() >= 500
    trips = first.trips
    slowly, now_ns = use(first, now_ns, 2 * SECOND, 60)
    assert slowly == 30
    assert first.trips - trips <= 10
    held = first.leases.held()
    assert held <= 100
    others = sum(second.ask(now_ns) for _ in range(6_000))
    assert 6_000 - admitted - slowly - held - 2 <= others <= 6_000 - admitted - slowly


def test_renewal_for_a_shorter_time_holds_though_its_answer_is_lost(client: Redis) -> None:
    spec = RuleSpec("token-bucket", 400, SECOND, 400, salt=72)
    first, second = Worker(client, spec, 1, HORIZON), Worker(client, spec, 2, HORIZON)
    _, now_ns = use(first, START, SECOND * 4 // 5, 30)
    assert 20 <= first.leases.held() <= 100  # for 80 s
    while not (due := first.leases.take_due()):  # quicker now
        now_ns += SECOND // 10
        assert first.ask(now_ns)
    first.send(due, now_ns, is_lost=True)
    held = first.leases.held()
    assert held > 5
    now_ns += 25 * SECOND  # for the server, the lease is over, and the bucket is full again
    used = sum(second.ask(now_ns) for _ in range(500))
    used += sum(first.rules.take([7], now_ns, [1]) is not None for _ in range(held))
    assert used <= 400


def test_units_of_a_lease_are_counted_whole(client: Redis) -> None:
    # By the thousand million: bytes, for instance.
    spec = RuleSpec("token-bucket", 10**9, SECOND, 10**11, salt=73)
    first, second = Worker(client, spec, 1, HORIZON), Worker(client, spec, 2, HORIZON)
    now_ns = START
    for _ in range(40):
        now_ns += SECOND // 4
        assert first.ask(now_ns, 10**9 // 4)
        first.renew(now_ns)
    assert first.leases.held() > 10**9
    now_ns += 2 * SECOND
    used = 0
    for worker in (second, first):
        while worker.ask(now_ns, 10**9 // 4):
            used += 1
    assert 390 <= used <= 400
