"""Leases over a cluster: each key's from the node that has it, and the limit holds over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.redis.cluster import Cluster
from tests.support.redis.live import Live, LiveLimiter, turns

WORKERS = 4
TASKS = 16
PACE_TURNS = 50
"""Some twenty requests a second and task: many more than a lease needs to be worth while."""

ASKED_ON = 200


def window(per: str, quota: int) -> str:
    return f'per = "{per}"\nrate = "{quota}/year"\nalgorithm = "fixed-window"'


async def work(workers: Sequence[Live], requests: int) -> int:
    """Have many tasks of each worker ask at a pace; return how many requests were admitted."""

    async def ask(worker: Live) -> int:
        admitted = 0
        for _ in range(requests):
            admitted += (await worker.ask()).allowed
            await turns(PACE_TURNS)
        return admitted

    return sum(await asyncio.gather(*(ask(worker) for worker in workers for _ in range(TASKS))))


def made_from_leases(worker: Live) -> int:
    lease_client = worker.store.lease_client
    assert lease_client is not None
    return lease_client.leases.local


@pytest.mark.parametrize("more", [[], [window("ip", 5000)], [window("ip", 1500), window("ip", 9000)]])
async def test_leases_of_all_workers_together_are_exactly_the_limit(
    cluster: Cluster, open_limiter: LiveLimiter, more: list[str]
) -> None:
    workers = [
        open_limiter(cluster.cluster_url, window("account", 1500), *more, mode="leased")
        for _ in range(WORKERS)
    ]
    for worker in workers:
        worker.wait_for_answers(60)
    admitted = await work(workers, 60)
    # Two limits that end together. What a request that one refuses was charged by the other may lie
    # in a lease for three seconds, where no other worker finds it.
    for _ in range(ASKED_ON):
        if admitted >= 1500:
            break
        admitted += await work(workers, 1)
    assert admitted == 1500
    assert not await work(workers, 4)
    assert all(made_from_leases(worker) for worker in workers)
    assert not any(worker.watcher.faults for worker in workers)


async def test_what_workers_do_not_use_is_there_for_others(
    cluster: Cluster, open_limiter: LiveLimiter
) -> None:
    workers = [
        open_limiter(cluster.cluster_url, window("account", 100_000), window("ip", 200_000), mode="leased")
        for _ in range(WORKERS)
    ]
    admitted = await work(workers, 40)
    assert admitted == WORKERS * TASKS * 40
    assert all(made_from_leases(worker) for worker in workers)
    for worker in workers:
        await worker.store.aclose_connections()
    other = open_limiter(cluster.cluster_url, window("account", 100_000), window("ip", 200_000))
    assert await other.left() == [100_000 - admitted, 200_000 - admitted]
