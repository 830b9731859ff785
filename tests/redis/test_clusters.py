"""The cluster under test: whole at first, with slots that move and masters that die."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio.cluster import RedisCluster

from tests.support.redis.cluster import IMPATIENT_MS, SLOTS, UNWELL, Cluster, slot_of
from tests.support.redis.fixtures import StartProxy
from tests.support.redis.migration import Migration
from tests.support.redis.patience import PATIENCE_S, until
from tests.support.redis.server import Server

SILENT_S = 4 * IMPATIENT_MS / 1_000


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[RedisCluster]:
    async with RedisCluster.from_url(cluster.url, socket_timeout=PATIENCE_S) as one:
        yield one


def test_three_masters_share_all_slots_and_each_has_a_replica(cluster: Cluster) -> None:
    masters = cluster.masters()
    owned = sorted(slot for node in masters for part in cluster.peer(node).slots for slot in part)
    assert owned == list(range(SLOTS))
    replicas = [cluster.replica(master) for master in masters]
    assert len({node.port for node in (*masters, *replicas)}) == 6


async def test_client_reaches_every_master(cluster: Cluster, client: RedisCluster) -> None:
    for number in range(100):
        await client.set(f"key{number}", number)
    assert sum(node.client.dbsize() for node in cluster.masters()) == 100
    assert all(node.client.dbsize() for node in cluster.masters())
    owner = cluster.owner("key7")
    assert owner.client.get("key7") == "7"


def test_slot_is_by_the_hash_tag(cluster: Cluster) -> None:
    keys = ["{tag}a", b"b{tag}", "tag"]
    assert len({slot_of(key) for key in keys}) == 1
    assert cluster.owner("{tag}a").client.execute_command("CLUSTER", "KEYSLOT", "tag") == slot_of("tag")


def told(node: Server, command: str) -> str:
    """Return the first line a node answers, as it is on the connection: client libraries differ in errors."""
    with socket.create_connection((node.host, node.port), 5) as raw, raw.makefile("rwb") as file:
        file.write(f"{command}\r\n".encode())
        file.flush()
        return file.readline().decode().strip()


def test_open_slot_answers_ask_then_moved(cluster: Cluster) -> None:
    slot = slot_of("{tag}")
    source = cluster.owner_of(slot)
    target = next(node for node in cluster.masters() if node is not source)
    at_source, at_target = (f"{slot} 127.0.0.1:{node.port}" for node in (source, target))
    source.client.mset({"{tag}1": 1, "{tag}2": 2})
    migration = Migration(cluster, slot, target)
    migration.begin()
    assert source.client.get("{tag}1") == "1"
    assert told(source, "GET {tag}absent") == f"-ASK {at_target}"
    assert told(target, "GET {tag}1") == f"-MOVED {at_source}"  # but for clients that say ASKING
    assert told(source, "MGET {tag}1 {tag}absent").startswith("-TRYAGAIN ")
    assert migration.move(1) == 1
    assert source.client.dbsize() == target.client.dbsize() == 1
    migration.finish()
    assert target.client.mget("{tag}1", "{tag}2") == ["1", "2"]
    assert told(source, "GET {tag}1") == f"-MOVED {at_target}"
    assert cluster.owner_of(slot) is target


def test_slot_left_open_is_closed_for_the_next_test(cluster: Cluster) -> None:
    slot = slot_of("{tag}")
    source = cluster.owner_of(slot)
    target = next(node for node in cluster.masters() if node is not source)
    Migration(cluster, slot, target).begin()
    assert cluster.peer(source).open_slots == cluster.peer(target).open_slots == (slot,)
    cluster.reset()
    assert all(cluster.peer(node).open_slots == () for node in cluster.nodes)
    assert source.client.get("{tag}absent") is None


async def test_slot_moves_back_and_forth_under_load(cluster: Cluster) -> None:
    slot = slot_of("{tag}")
    keys = [f"{{tag}}{number}" for number in range(20)]
    done = asyncio.Event()

    async def count() -> int:
        counted = 0
        # A client each. One shared by tasks sends ASKING and what is asked on different connections. It
        # closes all of them at every fifth MOVED, whatever task waits there for a reply.
        async with RedisCluster.from_url(cluster.url) as client:
            while not done.is_set():
                for key in keys:
                    await client.incr(key)
                    counted += 1
        return counted

    counting = [asyncio.create_task(count()) for _ in range(3)]
    owner = cluster.owner_of(slot)
    for _ in range(4):
        target = next(node for node in cluster.masters() if node is not owner)
        migration = Migration(cluster, slot, target)
        await asyncio.to_thread(migration.begin)
        while await asyncio.to_thread(migration.move, 3):
            pass
        await asyncio.to_thread(migration.finish)
        owner = target
    done.set()
    counted = sum(await asyncio.gather(*counting))
    assert counted > len(keys)
    assert sum(map(int, owner.client.mget(keys))) == counted
    stats = [node.client.info("errorstats") for node in cluster.masters()]
    assert any("errorstat_ASK" in seen for seen in stats)
    assert any("errorstat_MOVED" in seen for seen in stats)


async def test_killed_master_is_followed_by_its_replica(cluster: Cluster, client: RedisCluster) -> None:
    await client.set("key", "kept")
    master = cluster.owner("key")
    cluster.replica(master).catch_up(master)  # replication is asynchronous: without this it may be lost
    heir = await asyncio.to_thread(cluster.fail_over, master)
    assert cluster.owner("key") is heir
    assert await client.get("key") == b"kept"
    cluster.reset()
    assert cluster.replica(heir) is master
    assert master.client.dbsize() == 0


def test_paused_master_is_followed_and_comes_back_as_replica(cluster: Cluster) -> None:
    master = cluster.owner("key")
    heir = cluster.fail_over(master, by=Server.pause)
    assert heir.client.set("key", "new")
    cluster.reset()
    assert cluster.owner("key") is heir
    assert cluster.replica(heir) is master


def test_master_that_a_busy_machine_stops_for_seconds_stays_master(cluster: Cluster) -> None:
    master = cluster.fail_over(cluster.owner("key"))
    cluster.reset()
    replica = cluster.replica(master)
    master.pause()
    until(lambda: replica.silence_of_master_s() >= SILENT_S, "its replica to miss it")
    others = [other for other in cluster.nodes if other is not master]
    assert not any(peer.flags & UNWELL for other in others for peer in cluster.peers(other))
    master.resume()
    cluster.settle()
    assert cluster.owner("key") is master
    assert cluster.replica(master) is replica


async def test_nodes_can_be_reached_through_proxies(cluster: Cluster, start_proxy: StartProxy) -> None:
    master = cluster.owner("key")
    proxy = start_proxy(master.port)
    cluster.announce(master, proxy.port)
    other = next(node for node in cluster.masters() if node is not master)
    async with RedisCluster.from_url(other.url) as client:
        await client.set("key", 1)
        assert proxy.requests.passed
        proxy.replies.delay(0.05)
        before = time.monotonic()
        await client.get("key")
        assert time.monotonic() - before >= 0.05
    cluster.reset()
    assert cluster.peer(master).port == master.port
