"""Replies that are garbled, cut, late or of no call: no half decision, and nothing charged twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import msgspec
import pytest

from ratelimit.stores.redis.transport.connection import ServerConnection
from ratelimit.stores.redis.transport.exchanging import QuestionLink
from tests.support.policy_lines import tuning_line
from tests.support.redis.cluster import Cluster
from tests.support.redis.fixtures import StartProxy
from tests.support.redis.forger import Forger, bulk
from tests.support.redis.live import Live, LiveLimiter, turns
from tests.support.redis.proxy import Proxy
from tests.support.redis.server import Server

TEN = 'per = "account"\nrate = "10/day"\nburst = 10'
LOG = 'per = "account"\nrate = "1000/day"\nalgorithm = "sliding-log"'
"""What it gives back it gives back whole: of a bucket, a moment's flow would be gone."""
SHORT = {"timeout": "40ms"}
NOW = 1_700_000_000_000_000


def garbling(said: list[int]) -> Callable[[ServerConnection, int], None]:
    """Return what has a connection read these numbers, whatever came."""
    text = msgspec.msgpack.encode(said)
    reply = b"$%d\r\n%b\r\n" % (len(text), text)

    def buffer_updated(link: ServerConnection, count: int) -> None:
        link.buffer[: len(reply)] = reply
        QuestionLink.buffer_updated(link, len(reply))

    return buffer_updated


def script_calls(server: Server) -> int:
    """Return how often the deciding script was asked for."""
    return int(server.client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_reply_in_slices_is_one_reply(proxy: Proxy, open_limiter: LiveLimiter, size: int) -> None:
    limiter = open_limiter(proxy.url, TEN)
    await limiter.look()
    proxy.replies.slice(size)
    proxy.requests.slice(64 * size)
    assert await limiter.admitted(30) == 10
    assert await limiter.left() == [0]
    assert not limiter.watcher.faults


async def test_reply_garbled_closes_the_connection_and_decides_nothing(
    proxy: Proxy, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(proxy.url, TEN, timeout="1s")
    assert await limiter.admitted(4) == 4
    proxy.replies.garble()
    before = proxy.accepted
    found = await limiter.ask()
    assert found.allowed  # from this worker's share, which is whole
    assert limiter.watcher.faults
    proxy.replies.heal()
    await limiter.connected()
    assert proxy.accepted > before
    # What was decided here was handed over; what the garbled reply was about may have been charged, once.
    assert (await limiter.left())[0] in (4, 5)
    assert await limiter.admitted(20) <= 5


@pytest.mark.parametrize(
    "answer",
    [
        b":1\r\n",
        b"$-1\r\n",
        b"+OK\r\n",
        b"*0\r\n",
        b"*1\r\n$1\r\nx\r\n",
        b"$0\r\n\r\n",
        b"$4\r\nabcd\r\n",
        bulk([]),
        bulk([NOW]),
        bulk([NOW, 1]),
        bulk([NOW, 1, 0]),
        bulk([NOW, 1, 0, 0, 0]),
        bulk([NOW, 9, 0, 0]),
        bulk([NOW, -1, 0, 0]),
        bulk([NOW, 1, -5, 0]),
        bulk([NOW, 1, "x", 0]),
        bulk([NOW, 1, 0.5, 0]),
        bulk([NOW, 1, None, 0]),
        b"-ERR something\r\n",
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-BUSY Redis is busy running a script.\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-MASTERDOWN Link with MASTER is down\r\n",
        b"-MISCONF Redis is configured to save RDB snapshots\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"-NOSCRIPT No matching script.\r\n",
        b"-MOVED 1 127.0.0.1:1\r\n",
        b"-CROSSSLOT Keys in request don't hash to the same slot\r\n",
        b"nonsense\r\n",
        b"$99999999999999999999\r\n",
        b"*-5\r\n",
    ],
    ids=lambda answer: repr(answer)[:40],
)
async def test_nonsense_for_an_answer_is_no_decision(open_limiter: LiveLimiter, answer: bytes) -> None:
    async with Forger() as forger:
        limiter = open_limiter(forger.url, TEN, timeout="300ms")
        assert (await limiter.ask()).allowed
        assert not limiter.watcher.faults
        forger.answer = answer
        # From this worker's share, which is the whole limit.
        answers = [(await limiter.ask()).allowed for _ in range(15)]
        assert answers.count(True) in (10, 11)
        assert limiter.watcher.faults
        forger.answer = None
        await limiter.connected()
        before = forger.calls
        assert (await limiter.ask()).allowed
        assert forger.calls == before + 1
        await limiter.aclose()


@pytest.mark.parametrize(
    "said",
    [
        [NOW],
        [NOW, 9, 0, 0],
        [NOW, 0, 0, 0],
        [NOW, 1, 0],
        [NOW, 1, -5, 0],
        [NOW, 1, 5, -1],
    ],
)
async def test_nonsense_of_a_node_is_no_decision(
    cluster: Cluster, open_limiter: LiveLimiter, monkeypatch: pytest.MonkeyPatch, said: list[int]
) -> None:
    limiter = open_limiter(cluster.cluster_url, TEN, TEN.replace("account", "ip"))
    await limiter.look()
    await limiter.connected()
    limiter.hush()
    with monkeypatch.context() as garbled:
        garbled.setattr(ServerConnection, "buffer_updated", garbling(said))
        found = await limiter.ask()
    assert found.allowed  # here
    assert limiter.watcher.faults
    await limiter.connected()


@pytest.mark.parametrize("size", [0, 1, 20, 40])
async def test_reply_cut_in_the_middle_is_no_reply(
    proxy: Proxy, open_limiter: LiveLimiter, size: int
) -> None:
    limiter = open_limiter(proxy.url, TEN, timeout="1s")
    assert await limiter.admitted(3) == 3
    limiter.hush()
    await turns()
    proxy.replies.cut_after(size, reset=bool(size % 2))
    found = await asyncio.gather(*(limiter.ask() for _ in range(3)))
    assert all(each.allowed for each in found)
    assert limiter.watcher.faults
    await limiter.connected()
    assert (await limiter.left())[0] in (1, 4)


@pytest.mark.parametrize("direction", ["requests", "replies"])
async def test_connection_half_open_is_given_up(
    proxy: Proxy, open_limiter: LiveLimiter, direction: str
) -> None:
    limiter = open_limiter(proxy.url, TEN)
    assert await limiter.admitted(2) == 2
    getattr(proxy, direction).drop()
    limiter.wait_for_answers(0.04)
    assert (await limiter.ask()).allowed
    assert limiter.watcher.faults == ["redis-slow"]
    assert limiter.batch_client.breaker.is_open
    getattr(proxy, direction).heal()
    limiter.wait_for_answers(60)
    await limiter.connected()
    limiter.watcher.faults.clear()
    assert (await limiter.left())[0] in (6, 7)


@pytest.mark.parametrize("direction", ["requests", "replies"])
async def test_connection_half_closed_is_replaced(
    proxy: Proxy, open_limiter: LiveLimiter, direction: str
) -> None:
    limiter = open_limiter(proxy.url, TEN)
    assert await limiter.admitted(2) == 2
    getattr(proxy, direction).half_close()
    await turns()
    limiter.wait_for_answers(0.04)
    assert (await limiter.ask()).allowed
    limiter.wait_for_answers(60)
    await limiter.connected()
    assert (await limiter.left())[0] in (6, 7)


async def test_timed_out_decision_is_never_sent_twice(
    server: Server, proxy: Proxy, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(proxy.url, 'per = "account"\nrate = "1000/day"\nburst = 1000')
    await limiter.ask()
    server.client.config_resetstat()
    proxy.replies.hold()
    limiter.wait_for_answers(0.04)
    accounts = [f"b{number}" for number in range(50)]
    await asyncio.gather(*(limiter.ask(account) for account in accounts))
    assert set(limiter.watcher.faults) == {"redis-slow"}
    proxy.replies.release()
    limiter.wait_for_answers(60)
    await limiter.connected()
    # Charged by the reply that was too late, and for the decision made here: not a third time.
    assert {(await limiter.left(account))[0] for account in accounts} <= {998, 999}


async def test_cancelled_in_the_middle_gets_its_charge_back_and_nobody_elses_reply(
    proxy: Proxy, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(proxy.url, LOG, 'per = "account"\nconcurrent = 30')
    await limiter.look()
    rng = random.Random(7)
    used = {f"a{number}": number for number in range(20)}
    for account, count in used.items():
        for found in await asyncio.gather(*(limiter.ask(account) for _ in range(count))):
            found.release()
    proxy.replies.delay(0.004)
    for _ in range(15):
        accounts = rng.choices(list(used), k=40)
        asking = [asyncio.create_task(limiter.ask(account)) for account in accounts]
        await turns(rng.randrange(4))
        for task in asking[::2]:
            task.cancel()
        kept = await asyncio.gather(*asking, return_exceptions=True)
        for account, found in zip(accounts, kept, strict=True):
            if isinstance(found, BaseException):
                assert isinstance(found, asyncio.CancelledError)
                continue
            assert found.allowed
            # Each account's count is its own: another's reply would show.
            assert found.verdicts[0].remaining <= 1000 - used[account]
            assert found.verdicts[0].remaining > 1000 - used[account] - 40
            found.release()
            used[account] += 1
        proxy.replies.delay(0)
        await limiter.look()
        await eventually_left(limiter, {account: [1000 - count, 30] for account, count in used.items()})
        proxy.replies.delay(0.004)
    assert not limiter.watcher.faults


async def eventually_left(limiter: Live, expected: dict[str, list[int]]) -> None:
    for _ in range(100):
        found = {account: await limiter.left(account) for account in expected}
        if found == expected:
            return
    assert found == expected


async def test_cancelled_in_the_moment_of_the_answer_gets_its_charge_back(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(server.url, LOG, 'per = "account"\nconcurrent = 5')
    await limiter.look()
    asking = asyncio.create_task(limiter.ask())
    await asyncio.sleep(0)
    future = asking._fut_waiter  # type: ignore[attr-defined]
    # Called before the task that waits is woken: the answer is there, and no task takes it.
    ((wake, context),) = future._callbacks
    future.remove_done_callback(wake)
    future.add_done_callback(lambda _: asking.cancel())
    future.add_done_callback(wake, context=context)
    with pytest.raises(asyncio.CancelledError):
        await asking
    await eventually_left(limiter, {"a": [1000, 5]})


async def test_cancelled_while_it_waits_for_the_first_connection_charges_nothing(
    start_proxy: StartProxy, server: Server, open_limiter: LiveLimiter
) -> None:
    proxy = start_proxy(server.port)
    proxy.replies.hold()
    limiter = open_limiter(proxy.url, TEN)
    asking = asyncio.create_task(limiter.ask())
    await turns()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    proxy.replies.release()
    await limiter.connected()
    assert await limiter.left() == [10]


async def test_script_flushed_between_calls_is_loaded_and_asked_once_more(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(server.url, TEN)
    assert await limiter.admitted(2) == 2
    for left in (7, 6, 5):
        server.client.script_flush()
        server.client.config_resetstat()
        assert (await limiter.ask()).verdicts[0].remaining == left
        stats = server.client.info("commandstats")
        assert stats["cmdstat_evalsha"]["calls"] == 2
        assert stats["cmdstat_script|load"]["calls"] == 1
    assert not limiter.watcher.faults


async def test_server_restarted_has_no_script_and_gets_it(
    start_server: object, open_limiter: LiveLimiter
) -> None:
    server: Server = start_server()  # type: ignore[operator]
    limiter = open_limiter(server.url, TEN)
    assert await limiter.admitted(2) == 2
    server.restart()
    await limiter.ask()
    await limiter.connected()
    # Its memory is gone; what was decided here meanwhile is not.
    assert (await limiter.left())[0] in (9, 10)
    assert await limiter.admitted(20) in (9, 10)


async def test_slots_of_cancelled_and_timed_out_requests_return(
    proxy: Proxy, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(
        proxy.url, 'per = "account"\nconcurrent = 8', top=tuning_line("slot_kept_s = 1\n"), **SHORT
    )
    await limiter.look()
    proxy.replies.hold()
    await limiter.ask()
    proxy.replies.release()
    await limiter.connected()
    # Whether the late one holds a slot is not known here: no worker renews it, so it lapses with its lease.
    for _ in range(2000):
        if await limiter.left() == [8]:
            break
        await turns(1)
    assert await limiter.left() == [8]
