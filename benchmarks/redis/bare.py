"""Clients that do nothing else: the calls that a middleware over a Redis is compared with.

A bare round trip is one call of a script of one limit, made of the API key in the request's headers,
over a connection with a buffer of its own: about the least that any limiter does for a request. The
same call is what this library sends for the request, byte for byte, and is there before the request.
So the server and the wire do the same for both, and what the middleware takes longer is its own.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.middleware import receive, send
from benchmarks.redis.apps import base, policy_path
from benchmarks.redis.contenders import GCRA
from benchmarks.scenarios import PLENTY
from ratelimit import RateLimitMiddleware
from ratelimit.stores.redis.transport.resp import command, read_reply
from tests.asgi.driver import lifespan

MOST_TRIES = 30


class Connection(asyncio.BufferedProtocol):
    """One call at a time on a bare connection: about the least that any client does for a request."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._reply: asyncio.Future[bytes] | None = None
        self._space = bytearray(65_536)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        assert self._reply is not None
        self._reply.set_result(bytes(self._space[:nbytes]))

    async def ask(self, text: bytes) -> bytes:
        """Send a command, return the server's reply as it came."""
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(text)
        return await self._reply

    def close(self) -> None:
        """End the connection."""
        self._transport.close()


async def connect(url: str) -> Connection:
    """Return a connection with a server."""
    place = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(
        Connection, place.hostname or "", place.port or 6379
    )
    return connection


async def round_trip(url: str, app: ASGIApp) -> ASGIApp:
    """The route behind one script call of one limit, by a client that does nothing else."""
    connection = await connect(url)
    digest = hashlib.sha1(GCRA.encode(), usedforsecurity=False).hexdigest().encode()
    await connection.ask(command(b"SCRIPT", b"LOAD", GCRA.encode()))
    interval = str(3600 / PLENTY).encode()

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        account = next(value for name, value in scope["headers"] if name == b"x-api-key")
        text = command(b"EVALSHA", digest, b"1", b"bare:" + account, interval, b"3600", b"1")
        reply = await connection.ask(text)
        if not reply.startswith(b"*3\r\n:1"):
            raise AssertionError(reply)
        await app(scope, receive, send)

    return behind


def same_call(connection: Connection, calls: Mapping[str, bytes], app: ASGIApp) -> ASGIApp:
    """The route behind what this library sends for the request, byte for byte, by the same bare client."""

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        reply = await connection.ask(calls[scope["client"][0]])
        if not reply.startswith(b"$"):
            raise AssertionError(reply)
        await app(scope, receive, send)

    return behind


async def calls_of(url: str, scopes: Sequence[Scope], limits: int, quota: int) -> dict[str, bytes]:
    """Return what this library sends for each of these requests, by the client's address."""
    place = urlsplit(url)
    sent: list[bytes] = []
    relays: list[asyncio.Future[Any]] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: list[bytes]) -> None:
        while data := await reader.read(65_536):
            log.append(data)
            writer.write(data)
        writer.close()
        await writer.wait_closed()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(place.hostname, place.port)
        ways = pass_on(reader, far_writer, sent), pass_on(far_reader, writer, [])
        relays.append(asyncio.gather(*ways, return_exceptions=True))

    relaying = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = relaying.sockets[0].getsockname()[1]
    policy = policy_path(f"redis://127.0.0.1:{port}/0", limits, quota)
    try:
        # On another loop: as it ends, a middleware holds up its own, and still sends through the relay.
        return await asyncio.to_thread(asyncio.run, _calls(policy, scopes, sent))
    finally:
        relaying.close()
        await asyncio.gather(*relays)


async def _calls(policy: Path, scopes: Sequence[Scope], sent: list[bytes]) -> dict[str, bytes]:
    middleware = RateLimitMiddleware(base(), policy=policy, reload_interval_s=0)
    try:
        await middleware.limiter.aopen_connections()
        return {scope["client"][0]: await _call(middleware, scope, sent) for scope in scopes}
    finally:
        await lifespan(middleware)  # as it ends its connections and threads are let go of
        middleware.limiter.close()


async def _call(app: ASGIApp, scope: Scope, sent: list[bytes]) -> bytes:
    for again in range(MOST_TRIES):
        if again > 1:  # a busy machine's server counts as away for a second
            await asyncio.sleep(1)
        sent.clear()
        await app(dict(scope), receive, send)
        # Beside it, once a second, goes a sign of life, which is no call of a script by its digest.
        calls = [each for each in _commands(b"".join(sent)) if each[0] == b"EVALSHA"]
        if len(calls) == 1:
            return command(*calls[0])
    raise AssertionError("the server was not asked for a request, or for several")


def _commands(text: bytes) -> Iterator[list[bytes]]:
    """Yield the commands in what was sent; on a connection they look as replies do."""
    at = 0
    while (found := read_reply(text, at)) is not None:
        words, at = found
        yield words
