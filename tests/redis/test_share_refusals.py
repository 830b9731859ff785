"""What a host refuses only because it has a share of each limit while the server is away, and who is meant.

A whole limit that sees the same requests decides beside it. Time is virtual; stores are the product's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ratelimit.core.memory.refusals import refusals_in
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.telemetry.cells import totals
from ratelimit.telemetry.remote import COUNTER_STOOD_IN, StoodInColumn
from ratelimit.worker.refusal_lines import stood_in_counter
from tests.support.cores import compiled_rule
from tests.support.redis.hosts import Hosts, HostWorker
from tests.support.redis.live import KEY
from tests.support.rule import RuleSpec

QUOTA, MINUTE, NS = 60, 60 * 10**9, 10**9
Open = Callable[..., Hosts]
SPECS = {
    "bucket": RuleSpec("token-bucket", QUOTA, MINUTE),
    "fixed": RuleSpec("fixed-window", QUOTA, MINUTE),
    "sliding": RuleSpec("sliding-window", QUOTA, MINUTE),
    "log": RuleSpec("sliding-log", QUOTA, MINUTE),
}


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


def counted(worker: HostWorker) -> list[int]:
    return totals(worker.table, COUNTER_STOOD_IN, len(StoodInColumn))[: len(StoodInColumn)]


async def lose_server(hosts: Hosts) -> None:
    for _ in range(2):
        await hosts.pass_seconds()
    hosts.server.is_lost = lambda host: True


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("a_second", [1, 2, 8], ids=["as allowed", "twice", "greedy"])
async def test_refused_and_whole_limit_had_room_is_counted_as_that(
    open_hosts: Open, spec: RuleSpec, a_second: int
) -> None:
    """Hazard: what any limit would have refused is blamed on the outage, or the other way round."""
    hosts = open_hosts(2, spec)
    await lose_server(hosts)
    worker, whole = hosts.workers[0], EmbeddedStore.private(keys=100, key=KEY, clock=hosts.clock)
    plan = whole.plan([compiled_rule(spec)], [[0]])
    asked = had_room = admitted = 0
    for _ in range(180):
        for _ in range(a_second):
            asked += 1
            had_room += plan.decide([7], hosts.clock.now_ns()).allowed
            admitted += await worker.admits(7)
            hosts.clock.advance(1 / a_second)
    allowed, refused, by_share = counted(worker)
    assert (allowed, refused) == (admitted, asked - admitted)
    only = had_room - admitted
    # Never more than the whole limit would let through, and little less.
    assert only * 0.9 - 2 <= by_share <= only + (QUOTA // 10 if "sliding" in spec.algorithm else 0)
    whole.close()


async def test_callers_are_noted_apart_and_no_one_else_is(open_hosts: Open) -> None:
    hosts = open_hosts(2, SPECS["fixed"])
    await lose_server(hosts)
    worker = hosts.workers[0]
    for caller, requests in ((1, 20), (2, 40), (3, 100)):
        for _ in range(requests):
            await worker.admits(caller)
    counter = stood_in_counter(worker.table)
    noted = {
        each[1]: each[2] for each in refusals_in(worker.table, hosts.clock.now_ns()) if each[0] == counter
    }
    assert noted == {2: 10, 3: 30}
    assert counted(worker)[StoodInColumn.BY_SHARE] == 40


async def test_only_host_has_the_whole_limit_and_refuses_nobody_for_that(open_hosts: Open) -> None:
    hosts = open_hosts(1, SPECS["fixed"])
    for _ in range(40):
        await hosts.pass_seconds()
    hosts.server.is_lost = lambda host: True
    worker = hosts.workers[0]
    assert sum([await worker.admits(1) for _ in range(100)]) == QUOTA
    assert counted(worker) == [QUOTA, 40, 0]
