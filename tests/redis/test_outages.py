"""The server killed, hung, slow, full, busy, read-only: bounded waits, the stance, no second budget.

In one file, since each outage is held to the same few bounds, and one proxy plays all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from ratelimit.stores.redis.fallback import fair_share
from tests.support.cores import compiled_rule
from tests.support.redis.fixtures import StartProxy, StartServer
from tests.support.redis.live import Live, LiveLimiter, turns
from tests.support.redis.patience import until
from tests.support.redis.proxy import Proxy
from tests.support.redis.server import Server
from tests.support.rule import DAY, HOUR, RuleSpec
from tests.support.streams import COUNTING, written

DAY_100 = 'per = "account"\nrate = "100/day"\nburst = 100'
SLOW_100 = 'per = "account"\nrate = "1/hour"\nburst = 100'
PATIENCE = {"timeout": "25ms"}
SHORT_S, LONG_S = 0.025, 60.0
BOUND_MS = 30.0


@pytest.fixture
def own(start_server: StartServer) -> Server:
    """Return a server of the test's own, to be broken."""
    return start_server()


async def opened(limiter: Live) -> Live:
    """Return a limiter with a server that answers, which is patient until `noticed`."""
    await limiter.look()
    await limiter.connected()
    limiter.wait_for_answers(LONG_S)
    limiter.watcher.faults.clear()
    return limiter


async def noticed(limiter: Live, account: str = "somebody else", ip: str = "elsewhere") -> None:
    """Have the limiter notice that its server does not answer: a request does, of another caller."""
    limiter.wait_for_answers(SHORT_S)
    await limiter.ask(account, ip)
    await limiter.connected(is_open=True)
    # No request waits while it is away, and how soon it is trusted again is not what most tests ask.
    limiter.wait_for_answers(LONG_S)
    limiter.watcher.faults.clear()


class Lag:
    """How late this machine's event loop ran at worst: none of the limiter's doing."""

    def __init__(self) -> None:
        self.ms = 0.0
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_soon(lambda: None)
        self._next()

    def _next(self) -> None:
        due = self._loop.time() + 0.001
        self._timer = self._loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        self.ms = max(self.ms, (self._loop.time() - due) * 1e3)
        self._next()

    def stop(self) -> float:
        self._timer.cancel()
        return self.ms


async def longest_wait_ms(
    limiter: Live, breaks: Callable[[], object], tasks: int = 32
) -> tuple[float, float]:
    """Return the longest wait of any request while the server breaks, and the loop's own lag."""
    loop = asyncio.get_running_loop()
    lag, waits = Lag(), [0.0]
    is_over = False

    async def ask(number: int) -> None:
        while not is_over:
            begun = loop.time()
            await limiter.ask(f"{number}")
            waits.append((loop.time() - begun) * 1e3)
            await asyncio.sleep(0)

    asking = [asyncio.create_task(ask(number)) for number in range(tasks)]
    await turns(20)
    await asyncio.to_thread(breaks)
    await limiter.connected(is_open=True)
    await turns(100)
    is_over = True
    await asyncio.gather(*asking)
    return max(waits), lag.stop()


@pytest.mark.parametrize("fault", ["kill", "pause", "drop", "cut"])
async def test_no_request_waits_longer_than_the_bound(
    own: Server, start_proxy: StartProxy, open_limiter: LiveLimiter, fault: str
) -> None:
    proxy = start_proxy(own.port)
    breaks: dict[str, Callable[[], object]] = {
        "kill": own.kill,
        "pause": own.pause,
        "drop": proxy.replies.drop,
        "cut": lambda: (proxy.refuse(), proxy.replies.cut_after(0)),
    }
    url = own.url if fault in ("kill", "pause") else proxy.url
    limiter = await opened(open_limiter(url, 'per = "account"\nrate = "1000000/day"', **PATIENCE))
    limiter.wait_for_answers(SHORT_S)
    wait, lag = await longest_wait_ms(limiter, breaks[fault])
    assert wait <= BOUND_MS + 2 * lag, lag
    assert limiter.batch_client.breaker.trips >= 1


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_no_request_waits_at_all_once_the_breaker_is_open(
    own: Server, open_limiter: LiveLimiter, fault: str
) -> None:
    limiter = await opened(open_limiter(own.url, DAY_100, **PATIENCE))
    getattr(own, fault)()
    await noticed(limiter)
    allowed = 0
    for _ in range(200):
        asking = limiter.ask().__await__()
        with pytest.raises(StopIteration) as ended:  # it ends without giving up its turn once
            next(asking)
        allowed += ended.value.value.allowed
    # Its share is whole, as it is alone: what it had before is not known here.
    assert allowed == 100


async def test_an_outage_keeps_nothing_of_the_requests_it_meets(
    own: Server, open_limiter: LiveLimiter
) -> None:
    limiter = await opened(open_limiter(own.url, DAY_100, **PATIENCE))
    own.kill()
    limiter.wait_for_answers(SHORT_S)
    await asyncio.gather(*(limiter.ask(f"account {number}") for number in range(40)))
    for number in range(500):
        await limiter.ask(f"account {number}")
    frames = 0
    trace = limiter.batch_client.fault.__traceback__
    while trace is not None:
        frames, trace = frames + 1, trace.tb_next
    assert frames <= 3


async def test_server_slow_is_given_up_and_asked_again(proxy: Proxy, open_limiter: LiveLimiter) -> None:
    limiter = await opened(open_limiter(proxy.url, DAY_100, **PATIENCE))
    proxy.replies.delay(0.3)
    limiter.wait_for_answers(SHORT_S)
    assert (await limiter.ask()).allowed
    assert limiter.watcher.faults == ["redis-slow"]
    assert limiter.batch_client.breaker.is_open
    proxy.replies.heal()
    limiter.wait_for_answers(LONG_S)
    await limiter.connected()
    limiter.watcher.faults.clear()
    assert (await limiter.ask()).allowed
    assert not limiter.watcher.faults


@pytest.mark.parametrize(
    ("stances", "allowed", "charged_here"),
    [
        (("local",), 3, True),
        (("open",), 20, False),
        (("closed",), 0, False),
        (("local", "open"), 3, True),
        (("local", "closed"), 0, False),
        (("open", "closed"), 0, False),
    ],
)
async def test_stance_decides_while_the_server_is_away(
    own: Server, open_limiter: LiveLimiter, stances: tuple[str, ...], allowed: int, charged_here: bool
) -> None:
    limits = [
        f'per = "account"\nrate = "{quota}/day"\nburst = {quota}\non_store_error = "{stance}"'
        for stance, quota in zip(stances, (3, 2), strict=False)
    ]
    limiter = await opened(open_limiter(own.url, *limits, **PATIENCE))
    own.kill()
    await noticed(limiter)
    found = [await limiter.ask() for _ in range(20)]
    assert sum(each.allowed for each in found) == allowed
    assert len(limiter.watcher.faults) == 20
    assert (found[0].reason == "limits") == charged_here


async def test_server_killed_to_lift_the_limits_lifts_nothing(own: Server, open_limiter: LiveLimiter) -> None:
    limiter = await opened(open_limiter(own.url, DAY_100, **PATIENCE))
    assert await limiter.admitted(60) == 60
    for expected in (100, 0, 0):
        own.kill()
        await noticed(limiter)
        # A share does not begin anew with each absence.
        assert await limiter.admitted(300) == expected
        own.start()
        await limiter.connected()
        # Though the server forgot everything: what was used meanwhile was handed over.
        if expected:
            assert await limiter.left() == [0]


@pytest.mark.parametrize("algorithm", COUNTING)
async def test_recovery_hands_over_what_was_used_and_no_more(
    own: Server, open_limiter: LiveLimiter, algorithm: str
) -> None:
    limit = f'per = "account"\nrate = "100/year"\n{written(algorithm, 100)}'
    limiter = await opened(open_limiter(own.url, limit, **PATIENCE))
    assert await limiter.admitted(20) == 20
    own.pause()
    await noticed(limiter, "a", "i")
    assert sum([(await limiter.ask()).allowed for _ in range(29)]) == 29
    own.resume()
    await limiter.connected()
    # The one that timed out was decided here, and perhaps by the server as well.
    assert (await limiter.left())[0] in (49, 50)
    assert await limiter.admitted(200) in (49, 50)


async def test_recovery_hands_over_limits_with_costs_of_their_own(
    own: Server, open_limiter: LiveLimiter
) -> None:
    limiter = await opened(
        open_limiter(
            own.url,
            DAY_100,
            'per = "account"\nrate = "1000/day"\nburst = 1000\nunit = "tokens"\ncost = 7',
            **PATIENCE,
        )
    )
    own.kill()
    await noticed(limiter)
    for _ in range(10):
        assert (await limiter.ask()).allowed
    own.start()
    await limiter.connected()
    assert await limiter.left() == [90, 930]


async def test_what_was_decided_here_while_others_were_answered_is_handed_over(
    server: Server, open_limiter: LiveLimiter
) -> None:
    # A batch is given up, the breaker stays closed: no recovery follows that would see to it.
    limiter = await opened(open_limiter(server.url, DAY_100))
    plan = limiter.store.plan([compiled_rule(RuleSpec("fixed-window", 100, DAY))], [[0]])
    for _ in range(30):
        assert limiter.store.local_fallback.decide(plan, [7], limiter.now_ns(), None, commit=True).allowed

    async def left() -> int:
        return (await plan.apeek([7], limiter.now_ns())).remaining(0)

    await limiter.store._beat(limiter.batch_client)
    assert await left() == 70
    await limiter.store._beat(limiter.batch_client)
    assert await left() == 70
    assert not limiter.batch_client.breaker.trips


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_answers_that_come_late_again_and_again_add_one_share_in_all(
    server: Server, open_limiter: LiveLimiter, mode: str
) -> None:
    """Hazard: a host that the server answers has its share afresh each time that an answer is late."""
    hosts = [await opened(open_limiter(server.url, SLOW_100, mode=mode)) for _ in range(2)]
    late = hosts[0]
    await late.store.fair_share.beat(late.batch_client)
    assert late.store.share == 0.5
    by_server = sum([await host.admitted(150) for host in hosts])
    assert by_server == 100  # both sides: all of the limit, and no unit more
    by_share = []
    for _ in range(5):
        if late.store.lease_client is not None:
            late.store.lease_client.leases.clear()  # a refusal stands there for a moment
        late.batch_client.breaker.trip()
        by_share.append(await late.admitted(150))
        late.batch_client.breaker.close_circuit()
        await late.store._beat(late.batch_client)  # hands over
        assert [await host.admitted(10) for host in hosts] == [0, 0]
    assert by_share == [50, 0, 0, 0, 0]
    # It is a debt of the caller's at the server, and not forgiven.
    assert late.store.local_fallback.waiting == 0
    assert [verdict.reset_after_ns // HOUR for verdict in (await late.look()).verdicts] == [149]


async def test_corrections_of_an_outage_are_made_after_it(own: Server, open_limiter: LiveLimiter) -> None:
    limiter = await opened(
        open_limiter(own.url, 'per = "account"\nrate = "100/day"\nalgorithm = "sliding-log"', **PATIENCE)
    )
    found = await limiter.ask()
    own.pause()
    await noticed(limiter)
    found.settle(requests=31)
    own.resume()
    await limiter.connected()
    assert await limiter.left() == [69]


async def test_partition_admits_at_most_the_hosts_shares(
    server: Server, start_proxy: StartProxy, open_limiter: LiveLimiter
) -> None:
    # Each in a memory of its own: three hosts.
    proxies = [start_proxy(server.port) for _ in range(3)]
    hosts = [open_limiter(proxy.url, DAY_100, **PATIENCE) for proxy in proxies]
    for host in hosts:
        await opened(host)
    for host in hosts:
        await host.store.fair_share.beat(host.batch_client)
        assert (host.store.fair_share.hosts, host.store.share) == (3, 0.5)
    for proxy in proxies:
        proxy.refuse()
        proxy.replies.cut_after(0)
    for host in hosts:
        await noticed(host)
    assert [await host.admitted(300) for host in hosts] == [50, 50, 50]


async def test_host_that_was_cut_off_long_ago_leaves_its_share_to_the_others(
    server: Server, open_limiter: LiveLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = [await opened(open_limiter(server.url, DAY_100)) for _ in range(2)]
    beats = one.store.fair_share
    await beats.beat(one.batch_client)
    assert (beats.workers, beats.hosts) == (2, 2)
    server.client.hdel("ratelimit:workers", str(other.store.worker))
    one.hush()
    beats.pause(0)
    await beats.beat(one.batch_client)
    # It may be the server that forgot: not before half a minute of answers.
    assert (beats.workers, beats.hosts, one.store.share) == (1, 2, 0.5)
    monkeypatch.setattr(fair_share, "FEWER_AFTER_NS", 0)
    await beats.beat(one.batch_client)
    assert (beats.workers, beats.hosts, one.store.share) == (1, 1, 1.0)


# -- servers that answer, but not what was asked ---------------------------------------------------


async def is_decided_here(limiter: Live) -> None:
    """Assert that requests go on, at this worker's share, while the breaker is open."""
    assert (await limiter.ask()).allowed
    await limiter.connected(is_open=True)
    assert limiter.watcher.faults
    assert await limiter.admitted(200) <= 100


async def test_server_out_of_memory_is_no_decision(own: Server, open_limiter: LiveLimiter) -> None:
    limiter = await opened(open_limiter(own.url, DAY_100, **PATIENCE))
    own.client.config_set("maxmemory-policy", "noeviction")
    own.client.config_set("maxmemory", "1")
    await is_decided_here(limiter)
    own.client.config_set("maxmemory", "0")
    await limiter.connected()
    assert await limiter.admitted(200) == 0


async def test_server_that_became_a_replica_is_no_decision(own: Server, open_limiter: LiveLimiter) -> None:
    limiter = await opened(open_limiter(own.url, DAY_100, **PATIENCE))
    own.client.execute_command("REPLICAOF", "127.0.0.1", 1)
    await is_decided_here(limiter)
    own.client.execute_command("REPLICAOF", "NO", "ONE")
    await limiter.connected()
    assert await limiter.admitted(200) == 0


@contextmanager
def busy(server: Server) -> Iterator[None]:
    """Keep the server busy with a script that never ends."""
    server.client.config_set("lua-time-limit", "5")

    def run() -> None:
        with Redis.from_url(server.url) as client, pytest.raises(RedisError):
            client.eval("while true do end", 0)

    running = Thread(target=run)
    running.start()
    try:
        until(lambda: _is_busy(server), "the server to be busy")
        yield
    finally:
        server.client.script_kill()
        running.join()


def _is_busy(server: Server) -> bool:
    try:
        server.client.get("x")
    except RedisError as error:
        return "BUSY" in str(error)
    return False


async def test_server_busy_with_a_script_is_no_decision(own: Server, open_limiter: LiveLimiter) -> None:
    limiter = await opened(open_limiter(own.url, DAY_100, **PATIENCE))
    with busy(own):
        await is_decided_here(limiter)
        await turns(60)
        assert limiter.batch_client.breaker.is_open
    await limiter.connected()
    assert await limiter.admitted(200) == 0


async def test_server_loading_is_no_decision(start_server: StartServer, open_limiter: LiveLimiter) -> None:
    server = start_server(
        {"save": "3600 1", "key-load-delay": 15_000, "loading-process-events-interval-bytes": 1024}
    )
    pipe = server.client.pipeline()
    for number in range(600):
        pipe.set(f"filling{number}", "x" * 50)
    pipe.execute()
    limiter = await opened(open_limiter(server.url, DAY_100, **PATIENCE))
    assert await limiter.admitted(30) == 30
    server.client.save()
    server.kill()
    server.start(loaded=False)
    assert await limiter.admitted(200) == 100
    assert not server.answers(loaded=True)
    assert limiter.batch_client.breaker.is_open
    server.client.config_set("key-load-delay", 0)  # until then it loads
    await limiter.connected()
    assert await limiter.left() == [0]


async def test_first_connection_that_never_comes_delays_nobody_for_long(
    own: Server, open_limiter: LiveLimiter
) -> None:
    own.pause()
    limiter = open_limiter(own.url, DAY_100, **PATIENCE)
    lag = Lag()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    found = await asyncio.gather(*(limiter.ask() for _ in range(200)))
    # No worker here knows whether there are other hosts.
    assert sum(each.allowed for each in found) == 50
    assert (loop.time() - begun) * 1e3 <= BOUND_MS + 2 * lag.stop() + 200  # 200 decisions, processor time
    own.resume()
    await limiter.connected()
    assert await limiter.left() == [50]


async def test_lanes_and_connections_do_not_pile_up_while_the_server_flaps(
    own: Server, open_limiter: LiveLimiter
) -> None:
    limiter = await opened(open_limiter(own.url, DAY_100, **PATIENCE))
    for _ in range(10):
        own.pause()
        limiter.wait_for_answers(SHORT_S)
        await asyncio.gather(*(limiter.ask() for _ in range(20)))
        await limiter.connected(is_open=True)
        limiter.wait_for_answers(LONG_S)
        own.resume()
        await limiter.connected()
    await limiter.admitted(50)
    mine: list[Any] = [each for each in own.client.client_list() if each["name"] == "ratelimit"]
    assert len(mine) <= 4
