"""Keys in the server: opaque names, an expiry on each, and strangers' values in their place."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from redis import Redis

from tests.support.redis.live import Live, LiveLimiter
from tests.support.redis.server import Server

EVERY_KIND = (
    'per = "account"\nrate = "5/day"',
    'per = "account"\nrate = "5/day"\nalgorithm = "fixed-window"',
    'per = "account"\nrate = "5/day"\nalgorithm = "sliding-window"',
    'per = "account"\nrate = "5/day"\nalgorithm = "sliding-log"',
    'per = "account"\nconcurrent = 5',
    'per = "account"\nunit = "distinct:ip"\nrate = "5/day"',
)
HOSTILE = [
    "a{b}c",
    "{}",
    "}{",
    "a b",
    "a\r\nFLUSHALL\r\n",
    "\x00",
    "*",
    "x" * 500,
    "'; redis.call('FLUSHALL') --",
]


def raw(server: Server) -> Redis:
    return Redis.from_url(server.url)


async def test_braces_spaces_and_newlines_in_keys_reach_no_name(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(server.url, *EVERY_KIND[:5])
    for text in HOSTILE:
        assert await limiter.admitted(8, text) == 5
    with raw(server) as client:
        names = set(client.scan_iter("*"))
    assert len(names) >= 5 * len(HOSTILE)
    for name in names - {b"ratelimit:workers"}:
        assert re.fullmatch(rb"ratelimit:[A-Za-z0-9_-]{11}", name), name


async def test_keys_do_without_expiry_at_no_time(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, *EVERY_KIND)
    with raw(server) as client:
        for number in range(12):
            found = await limiter.ask("a", str(number))
            if number % 3 == 1:
                found.settle(requests=3)
            elif number % 3 == 2:
                found.settle(requests=0)
            await limiter.look()
            lives = {name: client.pttl(name) for name in client.scan_iter("*")}
            assert len(lives) >= 6
            assert all(0 < life <= 2 * 86_400_000 for life in lives.values()), lives


async def test_keys_persisted_by_hand_get_an_expiry_with_their_next_charge(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(server.url, *EVERY_KIND)
    await limiter.ask(ip="1")
    with raw(server) as client:
        names = [name for name in client.scan_iter("*") if name != b"ratelimit:workers"]
        assert [client.persist(name) for name in names] == [1] * 6
        assert (await limiter.ask(ip="2")).allowed
        assert all(client.pttl(name) > 0 for name in names)


def text_there(client: Redis, name: bytes) -> None:
    client.set(name, "a stranger's")


def nothing_there(client: Redis, name: bytes) -> None:
    client.set(name, "")


def list_there(client: Redis, name: bytes) -> None:
    client.rpush(name, "a", "b")


def hash_there(client: Redis, name: bytes) -> None:
    client.hset(name, mapping={"u": "many", "f": "0", "n": "nan", "0": "short", "3": ""})


def long_log_there(client: Redis, name: bytes) -> None:
    client.hset(name, mapping={"u": "5", "f": "0", "n": "9007199254740991"})


def zset_there(client: Redis, name: bytes) -> None:
    client.zadd(name, {"x": float("inf"), "y": 9e15, "z": 1})


def bytes_there(client: Redis, name: bytes) -> None:
    kind = client.type(name)
    client.set(name, b"\xff" * (client.strlen(name) if kind == b"string" else 9))


@pytest.mark.parametrize("kind", range(6))
@pytest.mark.parametrize(
    "there", [text_there, nothing_there, list_there, hash_there, long_log_there, zset_there, bytes_there]
)
async def test_wrong_type_or_garbage_at_a_key_is_repaired(
    server: Server, open_limiter: LiveLimiter, kind: int, there: Callable[[Redis, bytes], None]
) -> None:
    limiter = open_limiter(server.url, EVERY_KIND[kind])
    await limiter.ask(ip="0")
    with raw(server) as client:
        (name,) = (name for name in client.scan_iter("*") if name != b"ratelimit:workers")
        before = client.type(name)
        if there is not bytes_there:
            client.delete(name)
        there(client, name)
        client.persist(name)
        await ask_until_refused(limiter)
        assert not limiter.watcher.faults, limiter.batch_client.fault
        assert client.type(name) == before
        assert client.pttl(name) > 0


async def ask_until_refused(limiter: Live) -> None:
    """Ask for other members until the limit is used up."""
    answers = [(await limiter.ask(ip=str(number))).allowed for number in range(30)]
    assert answers.count(True) <= 10


async def test_prefix_keeps_two_policies_apart(server: Server, open_limiter: LiveLimiter) -> None:
    one = open_limiter(server.url, EVERY_KIND[0], prefix="one")
    two = open_limiter(server.url, EVERY_KIND[0], prefix="two")
    assert await one.admitted(9) == 5
    assert await two.admitted(9) == 5
    with raw(server) as client:
        assert {name.split(b":")[0] for name in client.scan_iter("*")} == {b"one", b"two"}


async def test_keys_take_no_more_memory_than_is_said(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, *EVERY_KIND[:3])
    await limiter.ask()
    with raw(server) as client:
        used = [client.memory_usage(name) for name in client.scan_iter("*") if name != b"ratelimit:workers"]
    assert len(used) == 3
    assert max(used) <= 120
