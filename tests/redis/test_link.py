"""One connection: an answer is of the question that was asked, or the connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, InvalidResponse

from ratelimit.stores.redis.transport.connection import ServerConnection
from tests.redis.test_replies import TEN
from tests.support.redis.binary import Binary
from tests.support.redis.certificate import Certificate
from tests.support.redis.fixtures import StartServer
from tests.support.redis.live import Live, LiveLimiter, eventually, rules, turns
from tests.support.redis.server import Server

PING = b"*1\r\n$4\r\nPING\r\n"


class Far:
    """The other end: what it says, a test says."""

    def __init__(self) -> None:
        self.writer: asyncio.StreamWriter | None = None
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        while line := await reader.readline():
            if line.startswith(b"CLIENT"):  # the client that connects says what it is
                writer.write(b"+OK\r\n")

    async def say(self, text: bytes) -> None:
        assert self.writer is not None
        self.writer.write(text)
        await turns()

    async def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        assert self._server is not None
        self._server.close()


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    far = Far()
    await far.open()
    yield far
    await far.close()


async def connected(far: Far) -> AbstractConnection:
    pool = Redis(host="127.0.0.1", port=far.port, protocol=2).connection_pool
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    await connection.connect()
    while far.writer is None:
        await asyncio.sleep(0)
    return connection


async def opened(far: Far) -> tuple[ServerConnection, list[Any]]:
    """Return a connection, and where what it is told goes."""
    return ServerConnection(await connected(far)), []


async def test_replies_come_when_all_are_here(far: Far) -> None:
    link, told = await opened(far)
    link.ask(PING + PING, 2, told.append)
    for part in (b"+PO", b"NG\r\n:", b"7\r"):
        await far.say(part)
        assert not told
    await far.say(b"\n")
    assert told == [[b"PONG", 7]]
    link.ask(PING, 1, told.append)
    await far.say(b"$1\r\nx\r\n")
    assert told[1:] == [[b"x"]]
    assert link.is_open
    link.close_connection()
    await turns()


async def test_replies_longer_than_what_is_read_at_once_come_whole(far: Far) -> None:
    link, told = await opened(far)
    long = bytes(range(256)) * 2000
    link.ask(PING + PING, 2, told.append)
    await far.say(b"$%d\r\n%b\r\n$3\r\nend\r\n" % (len(long), long))
    await eventually(lambda: told, "both replies")
    assert told == [[long, b"end"]]
    link.close_connection()
    await turns()


async def test_what_follows_an_answer_is_nobodys_answer(far: Far) -> None:
    link, told = await opened(far)
    link.ask(PING, 1, told.append)
    await far.say(b"+one\r\n+two\r\n")
    assert told == [[b"one"]]
    assert not link.is_open


async def test_what_comes_unasked_ends_the_connection(far: Far) -> None:
    link, told = await opened(far)
    await far.say(b"+one\r\n")
    assert not link.is_open
    link.ask(PING, 1, told.append)
    assert not told


async def test_nonsense_ends_the_connection(far: Far) -> None:
    link, told = await opened(far)
    link.ask(PING, 1, told.append)
    await far.say(b"nonsense\r\n")
    assert isinstance(told[0], InvalidResponse)
    assert not link.is_open


async def test_far_end_that_says_no_more_is_told(far: Far) -> None:
    link, told = await opened(far)
    link.ask(PING, 1, told.append)
    assert far.writer is not None
    far.writer.write_eof()
    await turns()
    assert len(told) == 1
    assert isinstance(told[0], ConnectionError)
    assert not link.is_open


async def test_closed_by_its_owner_it_says_nothing(far: Far) -> None:
    link, told = await opened(far)
    link.ask(PING, 1, told.append)
    link.close_connection()
    await far.say(b"+late\r\n")
    assert not told


async def test_connection_that_is_gone_makes_no_link(far: Far) -> None:
    connection = await connected(far)
    await connection.disconnect()
    with pytest.raises(ConnectionError):
        ServerConnection(connection)


async def test_connection_that_ended_unused_is_replaced_before_anything_is_asked(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(server.url, TEN)
    assert await limiter.admitted(4) == 4
    for _ in range(3):
        server.client.client_kill_filter(_type="normal", skipme=True)
        await turns()
        assert await limiter.left() == [6]
    assert not limiter.watcher.faults


async def test_decisions_over_tls(
    binary: Binary, start_server: StartServer, certificate: Certificate
) -> None:
    if not binary.has_tls:
        pytest.skip("this server was built without TLS")
    server = start_server(certificate=certificate)
    text = rules(server.tls_url, TEN) + f'[store.tls]\nca = "{certificate.path}"\n'
    limiter = Live(text)
    assert [await limiter.admitted(1) for _ in range(12)] == [1] * 10 + [0] * 2
    assert await limiter.admitted(100, "other") == 10
    assert not limiter.watcher.faults
    await limiter.aclose()
