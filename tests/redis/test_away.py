"""The time a server was not asked: counted for the host, whichever of its workers is scraped."""

from __future__ import annotations

import pytest

from ratelimit.telemetry import names, remote
from ratelimit.telemetry.cells import totals
from ratelimit.telemetry.counters import RemoteCounters
from tests.support.redis.fixtures import StartServer
from tests.support.redis.live import Live, LiveLimiter

SECOND = 1_000_000_000
POLICY = 'per = "account"\nrate = "100/day"'


def away_ms(limiter: Live) -> int:
    width = len(remote.RemoteColumn)
    return totals(limiter.table, remote.COUNTER_REMOTE, width)[remote.RemoteColumn.AWAY_MS]


async def test_time_without_the_server_is_counted_at_signs_of_life(
    start_server: StartServer, open_limiter: LiveLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server()
    limiter = open_limiter(server.url, POLICY)
    limiter.store.tally = RemoteCounters(limiter.table)
    limiter.table.join(1, 1, limiter.now_ns())
    monkeypatch.setattr(
        limiter.runtime, "keep_up", lambda now_ns: None
    )  # decisions give no sign of life here
    await limiter.look()
    await limiter.connected()
    begin_ns = limiter.now_ns()
    limiter.store.heartbeat(begin_ns)
    limiter.store.heartbeat(begin_ns + 2 * SECOND)
    assert away_ms(limiter) == 0
    server.kill()
    await limiter.ask()
    await limiter.connected(is_open=True)
    limiter.store.heartbeat(begin_ns + 4 * SECOND)
    limiter.store.heartbeat(begin_ns + 5 * SECOND)
    assert away_ms(limiter) == 3000
    limiter.store.heartbeat(begin_ns + 1000 * SECOND)  # stopped meanwhile: no request waited
    limiter.store.heartbeat(begin_ns + 999 * SECOND)  # a clock that stepped back
    assert away_ms(limiter) == 3000


def test_the_column_is_one_of_the_counter() -> None:
    assert max(remote.RemoteColumn) < names.COUNTER_COLUMNS
