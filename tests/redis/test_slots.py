"""A cluster: limits of one decision in different slots, slots that move, masters that die."""

from __future__ import annotations

import asyncio

from tests.support.redis.cluster import Cluster, slot_of
from tests.support.redis.live import Live, LiveLimiter, eventually, turns
from tests.support.redis.migration import Migration
from tests.support.redis.patience import PATIENCE_S
from tests.support.redis.server import Server
from tests.support.stopwatch import Stopwatch

SHORT_S, LONG_S = 0.025, 60.0
ACCOUNT_100 = 'per = "account"\nrate = "100/day"\nalgorithm = "sliding-log"'
IP_150 = 'per = "ip"\nrate = "150/day"\nalgorithm = "sliding-log"'
SLOTS_40 = 'per = "ip"\nconcurrent = 40'


def keys_in(cluster: Cluster) -> dict[bytes, Server]:
    """Return every key of the store, and where it is."""
    found = {}
    for node in cluster.masters():
        for name in node.client.keys("ratelimit:*"):
            if "workers" not in name:
                found[name.encode()] = node
    return found


async def settled(limiter: Live, expected: dict[str, list[int]]) -> None:
    """Wait for what is on its way back, and assert what remains."""
    found: dict[str, list[int]] = {}
    with Stopwatch() as watch:
        while found != expected and watch.s < PATIENCE_S:
            found = {account: await limiter.left(account) for account in expected}
            await turns(1)
    assert found == expected


async def test_limits_in_different_slots_are_charged_all_or_none(
    cluster: Cluster, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(cluster.cluster_url, ACCOUNT_100, IP_150)
    accounts = [f"a{number}" for number in range(6)]
    found = await asyncio.gather(*(limiter.admitted(60, account) for account in accounts))
    # What a refused request holds for the time of a trip can refuse others, so some may be left.
    assert 100 <= sum(found) <= 150
    await settled(
        limiter,
        {account: [100 - each, 150 - sum(found)] for account, each in zip(accounts, found, strict=True)},
    )
    assert sum([(await limiter.ask("last")).allowed for _ in range(60)]) == 150 - sum(found)
    assert len({slot_of(name) for name in keys_in(cluster)}) > 3
    assert not limiter.watcher.faults


async def test_only_what_a_node_without_the_script_was_asked_is_asked_again(
    cluster: Cluster, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(cluster.cluster_url, ACCOUNT_100)
    accounts = [f"a{number}" for number in range(12)]
    await asyncio.gather(*(limiter.ask(account) for account in accounts))
    assert len({node.port for node in keys_in(cluster).values()}) == 3
    for rounds, node in enumerate(cluster.masters(), 2):
        node.client.script_flush()
        begun = limiter.batch_client.round_trips
        await asyncio.gather(*(limiter.ask(account) for account in accounts))
        assert limiter.batch_client.round_trips == begun + 1  # in which all nodes were asked
        assert {(await limiter.left(account))[0] for account in accounts} == {100 - rounds}
    assert not limiter.watcher.faults


async def test_refusal_by_one_slot_leaves_nothing_charged_in_another(
    cluster: Cluster, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(
        cluster.cluster_url, 'per = "account"\nrate = "5/day"\nburst = 5', IP_150, SLOTS_40
    )
    assert await limiter.admitted(30) == 5
    await settled(limiter, {"a": [0, 145, 35]})


async def test_cancelled_between_slots_gets_everything_back(
    cluster: Cluster, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(cluster.cluster_url, ACCOUNT_100, IP_150, SLOTS_40)
    await limiter.look()
    for pause in range(6):
        asking = [asyncio.create_task(limiter.ask()) for _ in range(10)]
        await turns(pause // 2)
        await asyncio.sleep(0)
        for task in asking:
            task.cancel()
        for found in await asyncio.gather(*asking, return_exceptions=True):
            if not isinstance(found, BaseException):
                found.release()
                found.settle(requests=0)
        await settled(limiter, {"a": [100, 150, 40]})


async def test_slots_that_move_under_load_lose_no_charge(cluster: Cluster, open_limiter: LiveLimiter) -> None:
    # MOVED, ASK and TRYAGAIN, many times over, while one limit is used up.
    limiter = open_limiter(
        cluster.cluster_url, 'per = "account"\nrate = "3000/year"\nalgorithm = "fixed-window"'
    )
    limiter.wait_for_answers(LONG_S)  # as long as three thousand at once may take
    await limiter.ask()
    ((name, owner),) = keys_in(cluster).items()
    slot = slot_of(name)
    answers = [True]
    is_over = False

    async def ask() -> None:
        while not is_over:
            answers.append((await limiter.ask()).allowed)

    asking = [asyncio.create_task(ask()) for _ in range(8)]
    for _ in range(6):
        target = next(node for node in cluster.masters() if node is not owner)
        migration = Migration(cluster, slot, target)
        await asyncio.to_thread(migration.begin)
        await turns(5)
        await asyncio.to_thread(migration.finish)
        await turns(5)
        owner = target
    is_over = True
    await asyncio.gather(*asking)
    assert not limiter.watcher.faults
    allowed = answers.count(True)
    assert allowed > 20
    assert await limiter.left() == [3000 - allowed if allowed < 3000 else 0]
    await limiter.admitted(3000)
    assert await limiter.left() == [0]


async def test_lost_master_is_replaced_and_no_second_budget_granted(
    cluster: Cluster, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(cluster.cluster_url, ACCOUNT_100, timeout="25ms")
    await limiter.look()
    await limiter.connected()
    limiter.wait_for_answers(LONG_S)
    assert await limiter.admitted(30) == 30
    (owner,) = keys_in(cluster).values()
    await asyncio.to_thread(cluster.replica(owner).catch_up, owner)
    await asyncio.to_thread(cluster.fail_over, owner)
    limiter.wait_for_answers(SHORT_S)
    meanwhile = await limiter.admitted(300)
    limiter.wait_for_answers(LONG_S)
    await limiter.connected()
    # At most what the limit is, once here and once there; and what was used here counts there, too.
    assert 30 + meanwhile + await limiter.admitted(200) <= 200
    assert await limiter.left() == [0]


async def test_hung_master_opens_the_breaker_and_keeps_it_open(
    cluster: Cluster, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(cluster.cluster_url, ACCOUNT_100, timeout="25ms")
    await limiter.look()
    await limiter.connected()
    limiter.wait_for_answers(LONG_S)
    assert await limiter.admitted(10) == 10
    (owner,) = keys_in(cluster).values()
    owner.pause()
    limiter.wait_for_answers(SHORT_S)
    try:
        assert (await limiter.ask()).allowed
        await limiter.connected(is_open=True)
        trips = limiter.batch_client.breaker.trips
        # The other masters answer: that is not enough, or every other request would wait again.
        await turns(100)
        assert limiter.batch_client.breaker.trips == trips
        assert limiter.batch_client.breaker.is_open
    finally:
        limiter.wait_for_answers(LONG_S)
        owner.resume()
    await eventually(lambda: not limiter.batch_client.breaker.is_open, "the breaker to close")
    assert (await limiter.left())[0] in (88, 89)


async def test_hung_master_opens_the_breaker_though_others_answer_all_the_time(
    cluster: Cluster, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(cluster.cluster_url, ACCOUNT_100, timeout="25ms")
    await limiter.look()
    await limiter.connected()
    limiter.wait_for_answers(LONG_S)
    homes: dict[str, Server] = {}
    known = keys_in(cluster)
    for number in range(30):
        await limiter.ask(f"a{number}")
        ((_, homes[f"a{number}"]),) = keys_in(cluster).items() - known.items()
        known = keys_in(cluster)
    lost = homes["a0"]
    others = [account for account, home in homes.items() if home is not lost]
    is_over = False

    async def ask(account: str) -> None:
        while not is_over:
            await limiter.ask(account)
            await asyncio.sleep(0)

    asking = [asyncio.create_task(ask(account)) for account in others[:2]]
    await turns(20)
    lost.pause()
    limiter.wait_for_answers(SHORT_S)
    try:
        await limiter.ask("a0")
        await limiter.connected(is_open=True)
    finally:
        is_over = True
        limiter.wait_for_answers(LONG_S)
        lost.resume()
    await asyncio.gather(*asking)
    await limiter.connected()


async def test_first_node_named_may_be_gone_later(cluster: Cluster, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(cluster.cluster_url, ACCOUNT_100)
    await limiter.look()
    await limiter.connected()
    first = next(node for node in cluster.nodes if f":{node.port}/" in cluster.url)
    if first in cluster.masters():
        await asyncio.to_thread(cluster.fail_over, first)
    else:
        first.kill()
    await limiter.ask()
    await limiter.connected()
    await limiter.store.aclose_connections()
    limiter.watcher.faults.clear()
    await limiter.look()
    await limiter.connected()
    assert await limiter.admitted(150) in (99, 100)
