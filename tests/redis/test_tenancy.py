"""Leases of a live server: they begin with a decision of the server's, without a trip of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.redis.cluster import Cluster
from tests.support.redis.live import Live, LiveLimiter, rules, turns
from tests.support.redis.server import Server

ACCOUNT = 'per = "account"\nrate = "1000000/day"\nburst = 1000000'
ADDRESS = 'per = "ip"\nrate = "1000000/day"\nalgorithm = "sliding-window"'


async def first_lease(limiter: Live) -> tuple[int, int]:
    """Ask until a request is decided here; return the round trips until then, and the server's decisions."""
    assert limiter.store.lease_client is not None
    leases = limiter.store.lease_client.leases
    await limiter.connected()
    begun = limiter.batch_client.round_trips
    asked = 0
    while not leases.local:
        assert (await limiter.ask()).allowed
        asked += 1
        await turns(2)
    return limiter.batch_client.round_trips - begun, asked - leases.local


@pytest.mark.parametrize("limits", [[ACCOUNT], [ACCOUNT, ADDRESS]])
async def test_lease_begins_with_a_decision_of_the_server(
    server: Server, open_limiter: LiveLimiter, limits: list[str]
) -> None:
    limiter = open_limiter(server.url, *limits, mode="leased")
    trips, decided = await first_lease(limiter)
    assert trips == decided
    assert limiter.store.lease_client is not None
    assert limiter.store.lease_client.leases.held() > 0


async def test_lease_of_a_cluster_begins_so_as_well(cluster: Cluster, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(cluster.cluster_url, ACCOUNT, mode="leased")
    trips, decided = await first_lease(limiter)
    assert trips == decided


@pytest.mark.parametrize("is_cluster", [False, True])
async def test_limit_that_a_reload_makes_smaller_holds_at_once(
    server: Server, cluster: Cluster, open_limiter: LiveLimiter, tmp_path: Path, is_cluster: bool
) -> None:
    url = cluster.cluster_url if is_cluster else server.url
    limiter = open_limiter(url, ADDRESS, mode="leased")
    await first_lease(limiter)
    assert limiter.store.lease_client is not None
    leases = limiter.store.lease_client.leases
    assert leases.held() >= 20
    (left,) = await limiter.left()
    used = 1_000_000 - left  # what is leased and not used remains
    limiter.runtime.file.path = tmp_path / "policy.toml"
    fewer = ADDRESS.replace("1000000", str(used + 5))
    limiter.runtime.file.path.write_text(rules(url, fewer, mode="leased"))
    reloaded = limiter.reload()
    assert reloaded.result == "applied", reloaded.error
    assert [(await limiter.ask()).allowed for _ in range(8)] == [True] * 5 + [False] * 3
    assert leases.held() == 0
