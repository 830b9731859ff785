"""Exactly N, whatever client asks and from wherever; and an order of requests that explains all answers."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.redis.cluster import Cluster
from tests.support.redis.hammering import Note, hammer_by_processes
from tests.support.redis.live import LiveLimiter, rules
from tests.support.redis.server import Server
from tests.support.rule import SECOND
from tests.support.streams import COUNTING, written

MINUTE_US = 60_000_000
NOON_US = 1_800_000_000_000_000
"""A whole minute, hour and day."""


class Ticking:
    """A server's time that the test moves."""

    def __init__(self) -> None:
        self.us = NOON_US

    def __call__(self) -> int:
        return self.us


ALGORITHMS = {
    "token bucket": 'rate = "100/minute"',
    "fixed window": 'rate = "100/minute"\nalgorithm = "fixed-window"',
    "sliding window": 'rate = "100/minute"\nalgorithm = "sliding-window"',
    "sliding log": 'rate = "100/minute"\nalgorithm = "sliding-log"',
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_tasks_of_one_loop_get_exactly_the_limit(
    server: Server, open_limiter: LiveLimiter, algorithm: str
) -> None:
    time = Ticking()
    limiter = open_limiter(server.url, f'per = "account"\n{ALGORITHMS[algorithm]}', now_us=time)
    assert await limiter.admitted(300) == 100
    assert await limiter.left() == [0]
    time.us += 2 * MINUTE_US
    assert await limiter.admitted(300) == 100
    assert not limiter.watcher.faults


async def test_loops_and_limiters_of_one_process_share_a_limit(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiters = [open_limiter(server.url, 'per = "account"\nrate = "100/hour"') for _ in range(4)]
    found = await asyncio.gather(*(limiter.admitted(60) for limiter in limiters))
    assert sum(found) == 100


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_processes_and_their_tasks_get_exactly_the_limit(server: Server, mode: str) -> None:
    await is_exact_over(server.url, mode)


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_processes_get_exactly_the_limit_of_a_cluster(cluster: Cluster, mode: str) -> None:
    await is_exact_over(cluster.cluster_url, mode)


async def is_exact_over(url: str, mode: str) -> None:
    """Assert what four processes of 64 tasks are admitted together."""
    text = rules(url, 'per = "account"\nrate = "100/minute"\nburst = 100', mode=mode)
    notes = await asyncio.to_thread(hammer_by_processes, text, 4, 64, 3)
    allowed = [note for note in notes if note.allowed]
    assert len(notes) == 4 * 64 * 3
    flowed = (
        (max(note.ended_ns for note in allowed) - min(note.begun_ns for note in allowed))
        * 100
        // (60 * SECOND)
    )
    assert 100 <= len(allowed) <= 100 + flowed


async def test_some_order_explains_every_answer(server: Server) -> None:
    # Linearizability of a counter that only counts. A caller that was refused saw it full, so no
    # caller that began after that answer may be allowed.
    text = rules(server.url, 'per = "account"\nrate = "500/day"\nburst = 500')
    notes = await asyncio.to_thread(hammer_by_processes, text, 3, 16, 30)
    assert explains(notes, 500)


def explains(notes: Sequence[Note], limit: int) -> bool:
    """Return whether some order of requests, true to time, explains the answers of a counter."""
    allowed = [note for note in notes if note.allowed]
    refused_by_ns = min((note.ended_ns for note in notes if not note.allowed), default=None)
    if len(allowed) != min(limit, len(notes)):
        return False
    return refused_by_ns is None or all(note.begun_ns < refused_by_ns for note in allowed)


def test_the_check_of_orders_refuses_what_no_order_explains() -> None:
    assert explains([Note(0, 5, True), Note(1, 3, False), Note(2, 9, True)], 2)
    assert not explains([Note(0, 5, True), Note(1, 3, False), Note(4, 9, True)], 2)
    assert not explains([Note(0, 5, True), Note(1, 3, True)], 1)
    assert not explains([Note(0, 5, False), Note(1, 3, False)], 1)


async def test_concurrent_requests_keep_the_bucket_from_both_sides(server: Server) -> None:
    rate, burst = 400, 50
    text = rules(server.url, f'per = "account"\nrate = "{rate}/second"\nburst = {burst}')
    notes = await asyncio.to_thread(hammer_by_processes, text, 2, 16, 60)
    allowed = [note for note in notes if note.allowed]
    assert len(allowed) < len(notes)
    # Whatever lies within an interval was decided within it: at most the burst and what flows in.
    for first, last in itertools.combinations(sorted(allowed)[::7], 2):
        within = [
            note for note in allowed if note.begun_ns >= first.begun_ns and note.ended_ns <= last.ended_ns
        ]
        length_ns = max(0, last.ended_ns - first.begun_ns)
        assert len(within) <= burst + rate * length_ns // SECOND + 1
    # And a refusal is owed: by its end all that could have flowed in until its beginning was taken.
    begun_ns = min(note.ended_ns for note in allowed)
    for refused in [note for note in notes if not note.allowed][::11]:
        taken = sum(note.begun_ns < refused.ended_ns for note in allowed)
        assert taken >= min(burst, rate * (refused.begun_ns - begun_ns) // SECOND)


async def test_all_limits_are_charged_or_none(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(
        server.url, 'per = "account"\nrate = "30/day"\nburst = 30', 'per = "ip"\nrate = "80/day"\nburst = 80'
    )
    accounts = ["a", "b", "c", "d"]
    found = await asyncio.gather(*(limiter.admitted(40, account) for account in accounts))
    assert sum(found) == 80
    assert all(each <= 30 for each in found)
    for account, each in zip(accounts, found, strict=True):
        assert await limiter.left(account) == [30 - each, 0]


async def test_refused_requests_charge_nothing(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(
        server.url,
        'per = "account"\nrate = "5/day"\nburst = 5',
        'per = "ip"\nrate = "50/year"\nalgorithm = "fixed-window"',
        'per = "ip"\nrate = "50/day"\nalgorithm = "sliding-log"',
        'per = "ip"\nconcurrent = 50',
    )
    assert await limiter.admitted(40) == 5
    assert await limiter.left() == [0, 45, 45, 45]


async def test_peeks_charge_nothing(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, 'per = "account"\nrate = "3/day"\nburst = 3')
    assert all([(await limiter.look()).allowed for _ in range(10)])
    assert await limiter.admitted(10) == 3
    assert not (await limiter.look()).allowed


async def test_shadowed_limits_refuse_nobody(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(
        server.url,
        'per = "account"\nrate = "2/day"\nburst = 2\nmode = "shadow"',
        'per = "account"\nrate = "7/day"\nburst = 7',
    )
    assert await limiter.admitted(20) == 7


async def test_real_costs_replace_estimates(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(
        server.url,
        'per = "account"\nrate = "1000/year"\nunit = "tokens"\ncost = 1\nalgorithm = "fixed-window"',
    )
    found = await limiter.ask(costs={"tokens": 300})
    assert (found.allowed, await limiter.left()) == (True, [700])
    found.settle(tokens=120)
    assert await limiter.left() == [880]
    found.settle(tokens=500)
    assert await limiter.left() == [500]


@pytest.mark.parametrize("algorithm", COUNTING)
async def test_the_last_of_many_reports_stands(
    server: Server, open_limiter: LiveLimiter, algorithm: str
) -> None:
    limiter = open_limiter(
        server.url,
        f'per = "account"\nrate = "2000/day"\nunit = "tokens"\ncost = 1\n{written(algorithm, 2000)}',
        now_us=lambda: NOON_US,
    )
    # Room for a report of 500 that is corrected only after the next request was decided.
    source = random.Random(algorithm)
    made: list[tuple[Any, int]] = []
    for turn in range(60):
        found = await limiter.ask(costs={"tokens": 10})
        assert found.allowed
        last = 10
        for report in source.choices([0, 3, 12, 40, 500], k=source.randrange(6)):
            last = report
            found.settle(tokens=report)
            if source.random() < 0.3:
                await asyncio.sleep(0)  # what was reported so far may be sent
        if last > 12:
            last = 12
            found.settle(tokens=last)
        made.append((found, last))
        if turn % 3 == 0:
            which = source.randrange(len(made))
            made[which][0].settle(tokens=turn % 13)
            made[which] = (made[which][0], turn % 13)
    await limiter.batch_client.settled()
    assert await limiter.left() == [2000 - sum(last for _, last in made)]


async def test_many_requests_share_few_round_trips(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, 'per = "account"\nrate = "1000/minute"\nburst = 1000')
    await limiter.ask()
    before = limiter.batch_client.round_trips
    assert await limiter.admitted(640) == 640
    assert limiter.batch_client.round_trips - before <= 12


async def test_blocking_decisions_are_refused_with_advice(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, 'per = "account"\nrate = "3/day"')
    with pytest.raises(Exception, match="adecide") as caught:
        limiter.decide(identities={"account": "a", "ip": "i"})
    assert getattr(caught.value, "code", None) == "store-remote"
