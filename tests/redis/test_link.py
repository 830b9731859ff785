"""One connection: an answer is of the question that was asked, or the connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    InvalidResponse,
    ResponseError,
    TimeoutError,
)

from ratelimit.stores.redis.transport.connection import ServerConnection
from ratelimit.stores.redis.transport.dial import Dialer
from ratelimit.stores.redis.transport.symptom import explain
from tests.redis.test_replies import TEN
from tests.support.redis.binary import Binary
from tests.support.redis.certificate import Certificate
from tests.support.redis.fixtures import StartServer
from tests.support.redis.live import Live, LiveLimiter, eventually, rules, turns
from tests.support.redis.policies import spec_of
from tests.support.redis.server import Server

PING = b"*1\r\n$4\r\nPING\r\n"


class Far:
    """The other end: what it says, a test says."""

    def __init__(self) -> None:
        self.writer: asyncio.StreamWriter | None = None
        self.port = 0
        self.greets = b"+OK\r\n"
        self.first = b""
        """What it says to whatever connects, before it closes the connection."""
        self.heard = b""
        self.ended = asyncio.Event()
        """Whether the client has closed the connection."""
        self._server: asyncio.Server | None = None

    async def open(self, certificate: Certificate | None = None) -> None:
        context = None if certificate is None else certificate.server_context()
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        if self.first:
            writer.write(self.first)
            writer.close()
            return
        while line := await reader.readline():
            self.heard += line
            if line.startswith(b"SETNAME"):  # the greeting's end
                writer.write(self.greets)
        self.ended.set()

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


def dialer(far: Far, **more: Any) -> Dialer:
    return Dialer(spec_of(f"redis://127.0.0.1:{far.port}", **more))


async def opened(far: Far) -> tuple[ServerConnection, list[Any]]:
    """Return a connection, and where what it is told goes."""
    return await dialer(far).dial(), []


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


async def test_greeting_is_the_name_alone_where_no_more_is_wanted(far: Far) -> None:
    link, _ = await opened(far)
    await turns()
    assert far.heard == b"*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$9\r\nratelimit\r\n"
    link.close_connection()
    await turns()


@pytest.mark.parametrize(
    ("first", "error", "words"),
    [
        (b"-DENIED Redis is running in protected mode because ...\r\n", ResponseError, "protected mode"),
        (b"-ERR max number of clients reached\r\n", ConnectionError, "max number"),
        (b"$1", ConnectionError, "closed|reset"),
    ],
)
async def test_server_that_closes_unasked_is_heard(
    far: Far, first: bytes, error: type[Exception], words: str
) -> None:
    far.first = first
    with pytest.raises(error, match=words):
        await dialer(far).dial()


async def test_server_that_knows_no_password_is_told_apart(far: Far) -> None:
    far.greets = b"-ERR AUTH <password> called without any password configured\r\n"
    with pytest.raises(AuthenticationError, match="without any password"):
        await dialer(far, password="x").dial()


async def test_server_that_never_greets_is_given_up(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ratelimit.stores.redis.transport.dial.CONNECT_TIMEOUT_S", 0.05)
    far.greets = b""
    with pytest.raises(TimeoutError, match="connecting"):
        await dialer(far, timeout="50ms").dial()


async def test_dial_that_is_cancelled_leaves_no_connection(far: Far) -> None:
    far.greets = b""
    dialing = asyncio.ensure_future(dialer(far).dial())
    await eventually(lambda: far.heard, "a greeting")
    dialing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialing
    assert far.writer is not None
    assert await asyncio.wait_for(far.ended.wait(), 60)


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


async def test_question_over_tls_and_a_certificate_that_is_not_believed(certificate: Certificate) -> None:
    far = Far()
    await far.open(certificate)
    url, told = f"rediss://127.0.0.1:{far.port}", []
    link = await Dialer(spec_of(url, ca=str(certificate.path))).dial()
    link.ask(PING, 1, told.append)
    await far.say(b"+PONG\r\n")
    await eventually(lambda: told, "an answer")
    assert told == [[b"PONG"]]
    link.close_connection()
    with pytest.raises(ConnectionError) as caught:
        await Dialer(spec_of(url)).dial()
    assert explain(caught.value)[0].startswith("the server's certificate is not believed")
    await far.close()


async def test_decisions_over_tls(
    binary: Binary, start_server: StartServer, certificate: Certificate
) -> None:
    if not binary.has_tls:
        pytest.skip("this server was built without TLS")
    server = start_server(certificate=certificate)
    text = rules(server.tls_url, TEN, ca=certificate.path)
    limiter = Live(text)
    assert [await limiter.admitted(1) for _ in range(12)] == [1] * 10 + [0] * 2
    assert await limiter.admitted(100, "other") == 10
    assert not limiter.watcher.faults
    await limiter.aclose()
