"""Leases of a live server: they begin with a decision of the server's, without a trip of their own."""

from __future__ import annotations

import pytest

from tests.support.redis.cluster import Cluster
from tests.support.redis.live import Live, LiveLimiter, turns
from tests.support.redis.server import Server

ACCOUNT = 'per = "account"\nrate = "1000000/day"\nburst = 1000000'
ADDRESS = 'per = "ip"\nrate = "1000000/day"\nalgorithm = "sliding-window"'


async def first_lease(limiter: Live) -> tuple[int, int]:
    """Ask until a request is decided here; return the round trips until then, and the server's decisions."""
    assert limiter.store.tenancy is not None
    leases = limiter.store.tenancy.leases
    await limiter.connected()
    begun = limiter.courier.round_trips
    asked = 0
    while not leases.local:
        assert (await limiter.ask()).allowed
        asked += 1
        await turns(2)
    return limiter.courier.round_trips - begun, asked - leases.local


@pytest.mark.parametrize("limits", [[ACCOUNT], [ACCOUNT, ADDRESS]])
async def test_lease_begins_with_a_decision_of_the_server(
    server: Server, open_limiter: LiveLimiter, limits: list[str]
) -> None:
    limiter = open_limiter(server.url, *limits, mode="leased")
    trips, decided = await first_lease(limiter)
    assert trips == decided
    assert limiter.store.tenancy is not None
    assert limiter.store.tenancy.leases.held() > 0


async def test_lease_of_a_cluster_begins_so_as_well(cluster: Cluster, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(cluster.cluster_url, ACCOUNT, mode="leased")
    trips, decided = await first_lease(limiter)
    assert trips == decided
