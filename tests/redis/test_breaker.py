"""Retry times of a server that is away: soon, then rarer, never by all workers at once."""

from __future__ import annotations

import random
from collections import Counter

from ratelimit.stores.redis.transport.breaker import FIRST_PAUSE_S, LONGEST_PAUSE_S, Breaker
from tests.support.redis.fixtures import StartProxy, StartServer
from tests.support.redis.live import LiveLimiter, eventually, turns
from tests.support.redis.server import Server

ACCOUNT = 'per = "account"\nrate = "100/day"\nburst = 100'


def probes(breaker: Breaker, count: int) -> list[float]:
    """Return when a breaker that opened at 0 tries the server, in seconds."""
    breaker.trip()
    at, times = 0.0, []
    for _ in range(count):
        at += breaker.pause_s()
        times.append(at)
    return times


def test_reconnect_storm_is_spread_over_time() -> None:
    # A thousand workers lose their server at one instant.
    rng = random.Random(5)
    times = [probes(Breaker(rng.random), 12) for _ in range(1000)]
    first = [each[0] for each in times]
    assert min(first) >= FIRST_PAUSE_S / 2
    assert max(first) <= FIRST_PAUSE_S
    late = [each[-1] for each in times]
    busiest = Counter(int(at / 0.1) for at in late).most_common(1)[0][1]
    # They come back over seconds: no tenth of a second sees more than a tenth of them.
    assert busiest <= 100
    assert max(late) - min(late) > 1.5


def test_pauses_grow_to_their_longest_and_begin_anew() -> None:
    breaker = Breaker(lambda: 1.0)
    breaker.close_circuit()
    assert breaker.trip()
    assert not breaker.trip()
    pauses = [breaker.pause_s() for _ in range(10)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_S, LONGEST_PAUSE_S)
    breaker.close_circuit()
    assert not breaker.is_open
    # A server that comes and goes is not tried more often for having come.
    assert breaker.trip()
    assert breaker.pause_s() == LONGEST_PAUSE_S
    breaker.close_circuit()
    breaker.hold()
    assert breaker.pause_s() == FIRST_PAUSE_S
    assert breaker.trips == 2


async def test_a_server_too_slow_for_decisions_is_not_asked_again_and_again(
    server: Server, start_proxy: StartProxy, open_limiter: LiveLimiter
) -> None:
    proxy = start_proxy(server.port)
    limiter = open_limiter(proxy.url, ACCOUNT, timeout="25ms")
    await limiter.look()
    await limiter.connected()
    limiter.hush()
    proxy.replies.delay(0.1)
    await limiter.ask("elsewhere")
    await limiter.connected(is_open=True)
    trips, made = limiter.batch_client.breaker.trips, proxy.accepted
    # Each probe makes a connection and is answered on it, in more time than a decision has.
    await eventually(lambda: proxy.accepted >= made + 3, "three probes")
    assert limiter.batch_client.breaker.is_open
    assert limiter.batch_client.breaker.trips == trips
    proxy.heal()
    await limiter.connected()


async def test_many_workers_that_come_back_hold_few_connections_each(
    start_server: StartServer, open_limiter: LiveLimiter
) -> None:
    server = start_server()
    workers = [open_limiter(server.url, ACCOUNT) for _ in range(20)]
    for worker in workers:
        await worker.look()
        await worker.connected()
    for _ in range(3):
        server.kill()
        for worker in workers:
            await worker.admitted(20)
            await worker.connected(is_open=True)
        server.start()
        for worker in workers:
            await worker.connected()
            await worker.admitted(20)
    await turns(20)
    mine = [each for each in server.client.client_list() if each["name"] == "ratelimit"]
    assert len(mine) <= 4 * len(workers)
