"""A master that dies under Sentinels: found again, and what it and its workers admitted still counts."""

from __future__ import annotations

import asyncio

from tests.support.redis.live import LiveLimiter
from tests.support.redis.sentinel import Sentinels

ACCOUNT = 'per = "account"\nrate = "100/day"\nalgorithm = "sliding-log"'


async def test_failover_is_followed_and_grants_no_second_budget(
    sentinels: Sentinels, open_limiter: LiveLimiter
) -> None:
    nodes = ",".join(f"{host}:{port}" for host, port in sentinels.addresses)
    limiter = open_limiter(f"redis+sentinel://{nodes}/{sentinels.name}/0", ACCOUNT, timeout="25ms")
    await limiter.look()
    await limiter.connected()
    limiter.wait_for_answers(60)
    limiter.watcher.faults.clear()
    assert await limiter.admitted(40) == 40
    old = sentinels.master()
    replica = next(server for server in sentinels.servers if server is not old)
    await asyncio.to_thread(replica.catch_up, old)
    # Before there is an heir: one that charged a request and answered late would charge it twice.
    old.kill()
    meanwhile = [(await limiter.ask()).allowed for _ in range(30)]
    assert all(meanwhile)
    assert limiter.watcher.faults.count("redis-away") >= 30
    heir = await asyncio.to_thread(sentinels.elect, old)
    await limiter.connected()
    # 40 were replicated, 30 decided here and handed over to the new master.
    assert await limiter.left() == [30]
    assert heir.client.dbsize() >= 2
    # The old one comes back as a replica: no client asks it any more.
    await asyncio.to_thread(old.start)
    assert await limiter.admitted(100) == 30
