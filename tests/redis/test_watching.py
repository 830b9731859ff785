"""Messages to an operator about the server: mistakes in its settings, and numbers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from ratelimit.telemetry import RateLimitCollector
from tests.support.redis.cluster import Cluster
from tests.support.redis.fixtures import StartServer
from tests.support.redis.live import Live, LiveLimiter, eventually
from tests.support.redis.server import Server

ACCOUNT = 'per = "account"\nrate = "100/day"\nburst = 100'


async def test_evicting_server_is_told_of_once(start_server: StartServer, open_limiter: LiveLimiter) -> None:
    server = start_server({"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"})
    limiter = open_limiter(server.url, ACCOUNT)
    await limiter.ask()
    await limiter.store.aclose_connections()
    await limiter.ask()
    assert limiter.watcher.codes.count("redis-evicts") == 1


async def test_server_that_keeps_everything_is_not_talked_about(
    start_server: StartServer, open_limiter: LiveLimiter
) -> None:
    for settings in (
        {"maxmemory": "100mb", "maxmemory-policy": "noeviction"},
        {"maxmemory-policy": "allkeys-lru"},
    ):
        limiter = open_limiter(start_server(settings).url, ACCOUNT)
        await limiter.ask()
        assert "redis-evicts" not in limiter.watcher.codes


def told(limiter: Live) -> int:
    """Return how often a limiter was told that others have another hash key."""
    return limiter.watcher.codes.count("redis-key")


async def is_told_of_another_key(url: str, open_limiter: LiveLimiter) -> None:
    """Assert that workers with different hash keys are told of each other, and others are not."""
    alike = [open_limiter(url, ACCOUNT) for _ in range(2)]
    for limiter in alike:
        await limiter.ask()
        await limiter.store.fair_share.beat(limiter.batch_client)
    assert [told(limiter) for limiter in alike] == [0, 0]
    stranger = open_limiter(url, ACCOUNT, key=bytes(16))
    await stranger.ask()  # its first connection tells
    assert told(stranger) == 1
    for limiter in alike:
        await limiter.store.fair_share.beat(limiter.batch_client)
        await limiter.store.fair_share.beat(limiter.batch_client)
        assert told(limiter) == 1
    await stranger.store.aclose_connections()
    newcomer = open_limiter(url, ACCOUNT)
    await newcomer.ask()
    await newcomer.store.fair_share.beat(newcomer.batch_client)
    assert told(newcomer) == 0


async def test_hosts_with_different_hash_keys_are_told(server: Server, open_limiter: LiveLimiter) -> None:
    await is_told_of_another_key(server.url, open_limiter)


async def test_hosts_of_a_cluster_with_different_hash_keys_are_told(
    cluster: Cluster, open_limiter: LiveLimiter
) -> None:
    await is_told_of_another_key(cluster.cluster_url, open_limiter)


async def test_deployments_with_prefixes_of_their_own_are_no_strangers(
    server: Server, open_limiter: LiveLimiter
) -> None:
    for number in range(2):
        limiter = open_limiter(server.url, ACCOUNT, key=bytes([number] * 16), prefix=f"shop{number}")
        await limiter.ask()
        await limiter.store.fair_share.beat(limiter.batch_client)
        assert told(limiter) == 0


async def test_numbers_say_what_happened(start_server: StartServer, open_limiter: LiveLimiter) -> None:
    server: Server = start_server()
    limiter = open_limiter(server.url, ACCOUNT, timeout="1s")
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))

    def value(name: str) -> float:
        return registry.get_sample_value(f"ratelimit_store_{name}") or 0.0

    await limiter.admitted(50)
    await limiter.connected()
    assert value("questions_total") == 50
    assert 1 <= value("round_trip_duration_seconds_count") <= 5
    assert 0 < value("round_trip_duration_seconds_sum") < 5
    assert (value("away"), value("workers"), value("share_ratio")) == (0, 1, 1)
    server.kill()
    await limiter.ask()
    await limiter.connected(is_open=True)
    assert (value("away"), value("breaker_trips_total")) == (1, 1)
    server.start()
    await limiter.connected()
    # A sign of life that was given while it was away counts up to the next one.
    await eventually(lambda: value("away") == 0, "a server that is back in the metrics")
