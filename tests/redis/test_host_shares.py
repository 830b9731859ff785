"""While the server is away each host has a share: honest callers are hardly refused, and the bound holds.

Honest callers use a fifth of a limit, at random instants, and move among workers and hosts in mid-outage. A
greedy one asks every worker all the time. Time is virtual, stores and shared memory are the product's own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cores import compiled_rule
from tests.support.redis.hosts import Hosts
from tests.support.rule import DAY, RuleSpec

QUOTA = 60
MINUTE = 60 * 10**9
CALLERS = 24
GREEDY = 999
MOST_REFUSED = 0.005
Open = Callable[..., Hosts]


@pytest.fixture
def open_hosts(tmp_path: Path) -> Iterator[Open]:
    opened: list[Hosts] = []

    def start(count: int, spec: RuleSpec) -> Hosts:
        hosts = Hosts(tmp_path, count, compiled_rule(spec))
        opened.append(hosts)
        return hosts

    yield start
    for hosts in opened:
        hosts.close()


def fail(hosts: Hosts, fault: str, second: int, seconds: int, chance: random.Random) -> None:
    """Have the server be as it is in a second of an outage."""
    server = hosts.server
    if fault in ("killed", "stopped"):
        server.is_lost = lambda host: True
    elif fault == "out of memory":
        # Keys that expire make room at times.
        server.is_full = chance.random() < 0.9
    elif fault == "slow":
        server.is_slow = lambda: True
    elif fault == "slow at times":
        server.is_slow = lambda: chance.random() < 0.5
    elif fault == "cut off":
        server.is_lost = lambda host: host == hosts.count - 1
    elif fault == "failed over":
        server.is_lost = lambda host: second < min(20, seconds // 2)
        if second == min(20, seconds // 2):
            server.forget()


def heal(hosts: Hosts) -> None:
    server = hosts.server
    server.is_lost, server.is_slow, server.is_full = (lambda host: False), (lambda: False), False


@dataclass
class Found:
    asked: int = 0
    refused: int = 0
    greedy: int = 0


def place_of(caller: int, part: float, workers: int) -> int:
    """Return the worker of a caller: at home, at its neighbour, at the last host, all at one worker."""
    if part < 0.25:
        return caller % workers
    if part < 0.5:
        return (caller % workers) ^ 1
    if part < 0.75:
        return workers - 2 + caller % 2
    return workers - 1


async def live_through(hosts: Hosts, fault: str, seconds: int, seed: int) -> Found:
    """Play the outage, with a minute before and one after it; the greedy caller has the outage alone."""
    chance = random.Random(seed)
    found = Found()
    workers = hosts.workers
    for second in range(-60, seconds + 60):
        is_outage = 0 <= second < seconds
        if is_outage:
            fail(hosts, fault, second, seconds, chance)
        else:
            heal(hosts)
        await hosts.pass_seconds()
        for caller in range(CALLERS):
            if chance.random() < QUOTA / 60 / 5:
                place = place_of(caller, second / seconds if is_outage else 0, len(workers))
                found.asked += 1
                found.refused += not await workers[place].admits(caller)
        if is_outage:
            for worker in workers:
                while await worker.admits(GREEDY):
                    found.greedy += 1
    return found


FAULTS = ["killed", "out of memory", "slow", "slow at times", "cut off", "failed over"]
SPECS = {
    "bucket": RuleSpec("token-bucket", QUOTA, MINUTE),
    "fixed": RuleSpec("fixed-window", QUOTA, MINUTE),
    "sliding": RuleSpec("sliding-window", QUOTA, MINUTE),
    "log": RuleSpec("sliding-log", QUOTA, MINUTE),
}


def grants(spec: RuleSpec, seconds: float) -> float:
    """Return what a limit grants at most in so long."""
    return QUOTA * (1 + seconds / 60) + (QUOTA if spec.algorithm != "token-bucket" else 0)


@pytest.mark.parametrize("seconds", [90, 600])
@pytest.mark.parametrize("count", [2, 4, 12])
@pytest.mark.parametrize("fault", FAULTS)
async def test_night(open_hosts: Open, fault: str, count: int, seconds: int) -> None:
    name = ("bucket", "fixed", "sliding", "log")[(FAULTS.index(fault) + count) % 4]
    if seconds == 600 and count == 12:
        name = "bucket"
    spec = SPECS[name]
    hosts = open_hosts(count, spec)
    found = await live_through(hosts, fault, seconds, seed=seconds + count)
    assert found.asked > CALLERS * seconds / 6
    assert found.refused <= MOST_REFUSED * found.asked, f"{found.refused} of {found.asked}"
    shares = count * (grants(spec, seconds) / 2 + 1)
    if fault == "cut off":
        assert found.greedy <= grants(spec, seconds) + shares / count
        assert found.greedy >= QUOTA * seconds / 60 * 1.5 * 0.9
    elif fault in ("killed", "slow"):
        assert found.greedy <= shares
        assert found.greedy >= count / 2 * QUOTA * seconds / 60 * 0.9
    else:  # the server decides at times, too
        assert found.greedy <= shares + 2 * grants(spec, seconds)
        assert found.greedy >= QUOTA * seconds / 60 * 0.9
    assert not any(worker.way.breaker.is_open for worker in hosts.workers)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
async def test_use_is_handed_over_once_a_host(open_hosts: Open, spec: RuleSpec) -> None:
    """Hazard: several workers share a counter, and each tells the server what is in use of it."""
    hosts = open_hosts(2, spec)
    await hosts.pass_seconds()
    await hosts.pass_seconds()
    hosts.server.is_lost = lambda host: True
    for worker in hosts.workers:
        for _ in range(6):
            assert await worker.admits(7)
    assert hosts.server.left(7) == QUOTA
    heal(hosts)
    for worker in hosts.workers:
        await worker.live_on()
    # A bucket's share drains meanwhile: not here, time stands still.
    assert hosts.server.left(7) == QUOTA - 4 * 6
    # Once more, and nothing is new.
    hosts.server.is_lost = lambda host: True
    assert await hosts.workers[0].admits(7)
    heal(hosts)
    for worker in hosts.workers:
        await worker.live_on()
    assert hosts.server.left(7) == QUOTA - 4 * 6 - 1


async def test_use_at_a_worker_that_is_killed_is_handed_over_by_its_sibling(open_hosts: Open) -> None:
    hosts = open_hosts(2, RuleSpec("fixed-window", QUOTA, DAY))
    await hosts.pass_seconds()
    hosts.server.is_lost = lambda host: True
    one, other = hosts.workers[:2]
    for _ in range(9):
        assert await one.admits(7)
    assert await other.admits(7)
    heal(hosts)
    await other.live_on()  # the first one never comes back
    assert hosts.server.left(7) == QUOTA - 10


async def test_worker_that_starts_in_mid_outage_joins_its_hosts_share(open_hosts: Open) -> None:
    hosts = open_hosts(2, RuleSpec("fixed-window", QUOTA, DAY))
    for _ in range(2):
        await hosts.pass_seconds()
    hosts.server.is_lost = lambda host: True
    assert sum([await hosts.workers[0].admits(7) for _ in range(20)]) == 20
    newcomer = hosts.worker(0)
    hosts.workers.append(newcomer)
    assert (newcomer.fair_share.hosts, newcomer.share) == (2, 0.5)
    assert sum([await newcomer.admits(7) for _ in range(40)]) == QUOTA // 2 - 20


async def test_host_that_knows_of_no_other_has_all_of_each_limit(open_hosts: Open) -> None:
    hosts = open_hosts(1, RuleSpec("fixed-window", QUOTA, DAY))
    await hosts.pass_seconds()
    hosts.server.is_lost = lambda host: True
    admitted = 0
    for worker in hosts.workers:
        while await worker.admits(7):
            admitted += 1
    assert admitted == QUOTA


async def test_hosts_that_come_back_one_by_one_are_not_fewer_meanwhile(open_hosts: Open) -> None:
    """Hazard: signs lapse in an outage; the first host back believed that it was alone."""
    hosts = open_hosts(4, RuleSpec("fixed-window", QUOTA, DAY))
    for _ in range(2):
        await hosts.pass_seconds()
    hosts.server.is_lost = lambda host: True
    assert await hosts.workers[0].admits(7)
    hosts.server.forget()
    hosts.server.is_lost = lambda host: host > 0
    for _ in range(20):
        await hosts.pass_seconds()
    assert (hosts.workers[0].fair_share.workers, hosts.workers[0].share) == (2, 0.5)
    for _ in range(40):
        await hosts.pass_seconds()
    assert (hosts.workers[0].fair_share.hosts, hosts.workers[0].share) == (1, 1.0)
    heal(hosts)
    await hosts.pass_seconds(3)
    await hosts.pass_seconds()
    assert hosts.workers[0].share == 0.5


async def test_use_is_handed_over_as_it_was_when_the_share_changes_meanwhile(open_hosts: Open) -> None:
    """Hazard: units of a share, read as units of the whole limit, are twice as many."""
    hosts = open_hosts(1, RuleSpec("token-bucket", QUOTA, DAY))
    hosts.server.is_lost = lambda host: True
    one, other = hosts.workers
    assert one.share == 0.5  # no worker has heard of the number of hosts
    assert sum([await one.admits(7) for _ in range(QUOTA)]) == QUOTA // 2
    heal(hosts)
    await one.live_on()
    assert one.share == 1.0
    await other.live_on()
    assert hosts.server.left(7) == QUOTA // 2
