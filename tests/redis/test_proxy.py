"""The proxy's faults as a client of redis.asyncio sees them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.support.redis.certificate import Certificate
from tests.support.redis.fixtures import StartProxy, StartServer
from tests.support.redis.patience import PATIENCE_S, until
from tests.support.redis.proxy import Proxy
from tests.support.redis.server import Server
from tests.support.stopwatch import Stopwatch

BRIEF_S = 0.1
"""The clients' patience where the fault is that nothing comes,"""
LONG_S = 60.0
"""and where an answer is to come, be the machine ever so busy."""


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Redis]:
    """A client through the proxy that is already connected, and neither retries nor waits long."""
    async with connected(proxy) as one:
        await one.ping()
        yield one


def connected(proxy: Proxy) -> Redis:
    return Redis(port=proxy.port, socket_timeout=LONG_S, retry=Retry(NoBackoff(), 0))


@contextmanager
def impatient(client: Redis, setting: str = "socket_timeout") -> Iterator[None]:
    """Let a client, and the connection that it has, wait only briefly."""
    pool = client.connection_pool

    def wait(seconds: float) -> None:
        pool.connection_kwargs[setting] = seconds
        for connection in pool._available_connections:
            setattr(connection, setting, seconds)

    wait(BRIEF_S)
    try:
        yield
    finally:
        wait(LONG_S)


async def test_without_faults_nothing_is_different(client: Redis, proxy: Proxy) -> None:
    large = bytes(range(256)) * 8_000
    await client.set("key", large)
    assert await client.get("key") == large
    counts = await asyncio.gather(*(client.incr("count") for _ in range(50)))
    assert sorted(counts) == list(range(1, 51))
    assert proxy.requests.passed > len(large) < proxy.replies.passed
    assert proxy.accepted == proxy.connections


@pytest.mark.parametrize("way", ["requests", "replies"])
async def test_delay_is_a_longer_way_not_a_narrower_one(proxy: Proxy, way: str) -> None:
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    getattr(proxy, way).delay(0.1)
    before = time.monotonic()
    reading = asyncio.create_task(reader.readexactly(20 * len(":1\r\n")))
    with Stopwatch() as watch:
        for _ in range(20):
            writer.write(b"HLEN key\r\n")
            await asyncio.wait({reading}, timeout=0.002)
        assert await reading == b":0\r\n" * 20
    assert time.monotonic() - before >= 0.1
    assert watch.s < 20 * 0.1
    proxy.heal()
    with Stopwatch() as watch:
        took_s = 0.1
        while took_s >= 0.1 and watch.s < PATIENCE_S:  # the machine may hold up some of them for as long
            before = time.monotonic()
            writer.write(b"HLEN key\r\n")
            assert await reader.readexactly(4) == b":0\r\n"
            took_s = time.monotonic() - before
    assert watch.s < PATIENCE_S
    writer.close()
    await writer.wait_closed()


async def test_dropped_requests_are_never_executed(proxy: Proxy, server: Server) -> None:
    async with connected(proxy) as client:
        await client.ping()
        proxy.requests.drop()
        with impatient(client), pytest.raises(RedisTimeoutError):
            await client.incr("key")
        proxy.heal()
        assert await client.incr("key") == 1


async def test_dropped_replies_leave_the_client_in_doubt(proxy: Proxy, server: Server) -> None:
    async with connected(proxy) as client:
        await client.ping()
        proxy.replies.drop()
        with impatient(client), pytest.raises(RedisTimeoutError):
            await client.incr("key")
        until(lambda: server.client.get("key") == "1", "the server, slower than the client was patient")
        proxy.heal()
        assert await client.incr("key") == 2


def test_connection_that_lost_bytes_stays_mute(proxy: Proxy) -> None:
    with socket.create_connection((proxy.host, proxy.port)) as raw:
        raw.sendall(b"PING\r\n")
        assert raw.recv(100) == b"+PONG\r\n"
        proxy.replies.drop()
        raw.sendall(b"INCR key\r\n")
        until(lambda: proxy.replies.lost == len(b":1\r\n"), "the reply to be dropped")
        proxy.heal()
        raw.sendall(b"PING\r\n")
        raw.settimeout(BRIEF_S)
        with pytest.raises(TimeoutError):
            raw.recv(100)


async def test_held_bytes_arrive_when_released(client: Redis, proxy: Proxy, server: Server) -> None:
    proxy.requests.hold()
    asking = asyncio.create_task(client.incr("key"))
    done, _ = await asyncio.wait({asking}, timeout=BRIEF_S)
    assert not done
    assert server.client.get("key") is None
    proxy.requests.release()
    assert await asking == 1


async def test_held_connection_can_be_cut(proxy: Proxy, client: Redis) -> None:
    proxy.replies.hold()
    asking = asyncio.create_task(client.ping())
    await asyncio.wait({asking}, timeout=BRIEF_S)
    proxy.cut()
    with pytest.raises(RedisConnectionError):
        await asking


@pytest.mark.parametrize("reset", [True, False])
async def test_cut_connections_are_replaced(client: Redis, proxy: Proxy, reset: bool) -> None:
    asking = asyncio.create_task(client.blpop(["nothing"], timeout=LONG_S))
    await asyncio.wait({asking}, timeout=BRIEF_S)
    proxy.cut(reset=reset)
    with pytest.raises(RedisConnectionError):
        await asking
    assert await client.ping()
    assert proxy.accepted >= 2


@pytest.mark.parametrize(("reset", "told"), [(True, ConnectionResetError), (False, None)])
def test_cut_is_a_reset_or_an_end(proxy: Proxy, reset: bool, told: type[OSError] | None) -> None:
    with socket.create_connection((proxy.host, proxy.port)) as raw:
        raw.sendall(b"PING\r\n")
        assert raw.recv(100) == b"+PONG\r\n"
        proxy.cut(reset=reset)
        if told:
            with pytest.raises(told):
                raw.recv(100)
        else:
            assert raw.recv(100) == b""


async def test_sliced_replies_are_put_together(client: Redis, proxy: Proxy) -> None:
    value = b"a\r\n$3\r\nb" * 50
    await client.set("key", value)
    proxy.replies.slice(1)
    proxy.requests.slice(3)
    async with client.pipeline(transaction=False) as pipe:
        for _ in range(3):
            pipe.get("key").mget("key", "none")
        assert await pipe.execute() == [value, [value, None]] * 3


async def test_gap_between_slices_takes_its_time(client: Redis, proxy: Proxy) -> None:
    proxy.replies.slice(1, gap_s=0.01)
    before = time.monotonic()
    await client.ping()
    assert time.monotonic() - before >= 0.06  # "+PONG\r\n" has six gaps before its last byte


async def test_garbled_type_is_an_error(client: Redis, proxy: Proxy) -> None:
    proxy.replies.garble(every=1_000)
    with pytest.raises((InvalidResponse, RedisConnectionError)):
        await client.ping()
    proxy.heal()
    assert await client.ping()


async def test_garbled_ends_of_lines_are_waited_for(proxy: Proxy) -> None:
    async with connected(proxy) as client:
        await client.ping()
        proxy.replies.garble()
        with impatient(client), pytest.raises(RedisTimeoutError):
            await client.ping()
        proxy.heal()
        assert await client.ping()


async def test_half_closed_replies_end_the_connection(client: Redis, proxy: Proxy, server: Server) -> None:
    proxy.replies.half_close()
    with pytest.raises(RedisConnectionError):
        await client.incr("key")
    assert await client.incr("key") in (1, 2)


def test_half_closed_replies_leave_requests_open(proxy: Proxy, server: Server) -> None:
    with socket.create_connection((proxy.host, proxy.port)) as raw:
        raw.sendall(b"PING\r\n")
        assert raw.recv(100) == b"+PONG\r\n"
        proxy.replies.half_close()
        assert raw.recv(100) == b""
        raw.sendall(b"RPUSH queue last\r\n")
        assert server.client.blpop(["queue"], timeout=LONG_S) == ("queue", "last")


def test_half_closed_requests_end_at_the_server(proxy: Proxy, server: Server) -> None:
    with socket.create_connection((proxy.host, proxy.port)) as raw:
        raw.sendall(b"PING\r\n")
        assert raw.recv(100) == b"+PONG\r\n"
        proxy.requests.half_close()
        assert raw.recv(100) == b""  # the server saw the end and closed its side


async def test_reply_cut_in_the_middle_was_executed(client: Redis, proxy: Proxy, server: Server) -> None:
    proxy.replies.cut_after(2)
    with pytest.raises(RedisConnectionError):
        await client.incr("key")
    assert server.client.get("key") == "1"
    assert await client.incr("key") == 2  # once: the next connection is whole


async def test_request_cut_in_the_middle_was_not(client: Redis, proxy: Proxy, server: Server) -> None:
    proxy.requests.cut_after(5, reset=True)
    with pytest.raises(RedisConnectionError):
        await client.incr("key")
    assert server.client.get("key") is None


async def test_refused_clients_are_told_at_once(client: Redis, proxy: Proxy) -> None:
    proxy.refuse()
    assert await client.ping()  # present connections are not meant
    async with connected(proxy) as late:
        with Stopwatch() as watch, pytest.raises(RedisConnectionError, match=r"refused|Connect call failed"):
            await late.ping()
        assert watch.s < 1
        proxy.listen()
        assert await late.ping()


async def test_ignored_clients_wait_for_their_own_patience(client: Redis, proxy: Proxy) -> None:
    proxy.ignore()
    assert await client.ping()
    async with connected(proxy) as late:
        before = time.monotonic()
        with (
            impatient(late, "socket_connect_timeout"),
            pytest.raises((RedisConnectionError, RedisTimeoutError)),
        ):
            await late.ping()
        assert time.monotonic() - before >= BRIEF_S
        proxy.heal()
        assert await late.ping()


async def test_killed_server_behind_resets(start_server: StartServer, start_proxy: StartProxy) -> None:
    server = start_server()
    async with connected(start_proxy(server.port)) as client:
        await client.ping()
        server.kill()
        for _ in range(3):
            with pytest.raises(RedisConnectionError):
                await client.ping()
        server.start()
        assert await client.ping()


async def test_tls_before_a_server_without(
    server: Server, start_proxy: StartProxy, certificate: Certificate
) -> None:
    proxy = start_proxy(server.port, certificate=certificate)
    async with Redis.from_url(proxy.url, ssl_ca_certs=str(certificate.path)) as client:
        assert await client.incr("key") == 1
        proxy.replies.slice(1)
        assert await client.incr("key") == 2
    async with Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0)) as stranger:
        with pytest.raises(RedisConnectionError, match=r"(?i)certificate verify failed"):
            await stranger.ping()


async def test_blocked_loop_does_not_stop_the_network(proxy: Proxy, server: Server) -> None:
    _, writer = await asyncio.open_connection(proxy.host, proxy.port)
    proxy.requests.delay(0.05)
    writer.write(b"RPUSH queue sent\r\n")
    # This call blocks the test's loop; the request arrives meanwhile.
    assert server.client.blpop(["queue"], timeout=LONG_S) == ("queue", "sent")
    writer.close()
    await writer.wait_closed()
