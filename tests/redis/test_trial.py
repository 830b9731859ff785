"""Single trials against real servers: the clock's difference, and a script cache that is flushed."""

from __future__ import annotations

import time

import pytest

from ratelimit.stores.redis.doctor.permission import try_script
from ratelimit.stores.redis.doctor.trial import compare_clocks, time_round_trips
from ratelimit.stores.redis.transport.connect import connect
from tests.support.redis.policies import spec_of
from tests.support.redis.server import Server

SECOND = 10**9


@pytest.mark.parametrize(
    ("ahead_s", "status", "says"),
    [(0, "ok", ""), (1, "ok", "behind this host's"), (-60, "warn", "ahead of"), (3600, "warn", "behind")],
)
async def test_clock(server: Server, ahead_s: int, status: str, says: str) -> None:
    async with connect(spec_of(server.url), timeout_s=20) as client:
        found = await compare_clocks(client, lambda: time.time_ns() + ahead_s * SECOND)
    assert found.status == status
    assert says in found.says
    offset_us = found.facts["offset_us"]
    assert isinstance(offset_us, float)
    assert abs(offset_us + ahead_s * 1e6) < 0.5e6


async def test_script_cache_is_flushed_between_calls(server: Server) -> None:
    spec = spec_of(server.url)
    async with connect(spec, timeout_s=20) as client:
        for _ in range(2):
            assert [found.status for found in await try_script(client, spec, None)] == ["ok", "ok"]
            server.client.script_flush()


async def test_slow_server_is_asked_fewer_times(server: Server) -> None:
    ticks = iter(range(0, 10**15, SECOND))
    async with connect(spec_of(server.url), timeout_s=20) as client:
        found = await time_round_trips(client, lambda: next(ticks), timeout_ns=5 * SECOND)
    assert 1 <= found.facts["round_trips"] < 5
    assert found.facts["median_us"] == 1e6
