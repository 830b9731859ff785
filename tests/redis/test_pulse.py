"""Signs of life after the server's clock was set back."""

from __future__ import annotations

import struct

import pytest
from redis import Redis

from ratelimit.stores.redis.fallback import fair_share as fair_share
from ratelimit.stores.redis.fallback.fair_share import Sign, mark_of, signs_in
from tests.support.redis.live import KEY, LiveLimiter, eventually
from tests.support.redis.server import Server

SIGNS = "ratelimit:workers"
HOUR_US = 3600 * 10**6


def sign(seen_us: int) -> bytes:
    """Return what a worker leaves, of host 5."""
    return struct.pack("<dd", seen_us, 5.0) + mark_of(KEY).encode()


def now_us(server: Server) -> int:
    seconds, micros = server.client.time()
    return int(seconds) * 10**6 + int(micros)


def read(server: Server, worker: str) -> tuple[float, float]:
    """Return when a worker gave its last sign, and on which host."""
    with Redis.from_url(server.url) as client:
        seen, host = struct.unpack_from("<dd", client.hget(SIGNS, worker))
    return seen, host


async def test_dead_worker_of_before_the_clock_was_set_back_is_missed_no_longer_than_others(
    server: Server, open_limiter: LiveLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fair_share, "GONE_AFTER_US", 200_000)
    limiter = open_limiter(server.url, 'per = "account"\nrate = "100/day"')
    await limiter.look()
    await limiter.connected()
    limiter.hush()
    beats = limiter.store.fair_share
    server.client.hset(SIGNS, "1234", sign(now_us(server) + HOUR_US))
    beats.pause(0)
    await beats.beat(limiter.batch_client)
    assert beats.workers == 2  # it may live: then its next sign is of now
    begun = now_us(server)
    seen, host = read(server, "1234")
    assert begun - 200_000 < seen <= begun
    assert host == 5.0
    await eventually(lambda: now_us(server) > begun + 250_000, "its time to be over")
    beats.pause(0)
    await beats.beat(limiter.batch_client)
    assert beats.workers == 1
    assert not server.client.hexists(SIGNS, "1234")


def test_sign_of_a_later_time_than_now_is_none_of_a_worker_that_runs() -> None:
    assert signs_in([sign(HOUR_US), sign(3 * HOUR_US)], HOUR_US + 10**6) == [Sign(5.0, mark_of(KEY))]
