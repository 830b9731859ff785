"""Connections with a server as they are made: name service, TLS, and the handshake that it expects."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from redis.exceptions import AuthenticationError, ConnectionError, ResponseError, TimeoutError

from ratelimit.stores.redis.transport.connect import (
    CLIENT_NAME,
    CONNECT_TIMEOUT_S,
    credentials_of,
    resolve,
    sentinel_of,
    tls_context,
)
from ratelimit.stores.redis.transport.connection import Replies, ServerConnection
from ratelimit.stores.redis.transport.resp import command

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec


class Dialer:
    """Makes connections with the server of one spec, with its cluster's nodes, or with its Sentinels' master.

    Args:
        spec: which server, as which user. Password and certificates are read anew for each connection.

    Raises:
        StoreError: no connection could ever be made, as with `connect`.
    """

    def __init__(self, spec: RemoteSpec) -> None:
        self._spec = spec = resolve(spec)
        self._timeout_s = max(CONNECT_TIMEOUT_S, spec.timeout_ns / 1e9)
        self._credentials = credentials_of(spec)
        tls_context(spec)  # a wrong path is better told now
        self._sentinel = sentinel_of(spec) if spec.topology == "sentinel" else None

    async def dial(self) -> ServerConnection:
        """Return a connection with the server, or with the node that is master now; the caller closes it.

        Raises:
            redis.exceptions.RedisError: it could not be made, or the server refuses this user.
        """
        spec = self._spec
        if spec.path is not None:
            return await self._open(spec.path, 0)
        if self._sentinel is not None:
            return await self._open(*await self._sentinel.discover_master(spec.master or ""))
        return await self._open(*spec.nodes[0])

    async def dial_node(self, host: str, port: int) -> ServerConnection:
        """Return a connection with one node of a cluster, as `dial` does."""
        return await self._open(host, port)

    async def aclose_connections(self) -> None:
        """Close the connections with Sentinels."""
        for each in () if self._sentinel is None else self._sentinel.sentinels:
            await each.aclose()

    async def _open(self, host: str, port: int) -> ServerConnection:
        greeting = self._greeting()
        loop = asyncio.get_running_loop()
        greeted: asyncio.Future[Replies] = loop.create_future()

        def tell(replies: Replies | BaseException) -> None:
            if greeted.done():
                return
            if isinstance(replies, BaseException):
                greeted.set_exception(replies)
            else:
                greeted.set_result(replies)

        def made() -> ServerConnection:
            return ServerConnection(b"".join(greeting), len(greeting), tell)

        connection: ServerConnection | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                if port == 0:
                    _, connection = await loop.create_unix_connection(made, host)
                else:
                    context = tls_context(self._spec)
                    transport, connection = await loop.create_connection(made, host, port, ssl=context)
                    peer: socket.socket = transport.get_extra_info("socket")
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                await greeted
        except BaseException as error:
            if connection is not None:
                connection.close_connection()
            failure = _failure(error, host if port == 0 else f"{host}:{port}")
            if failure is error:
                raise
            raise failure from error
        return connection

    def _greeting(self) -> list[bytes]:
        """Return the commands that a connection begins with, the login first."""
        commands = []
        if self._credentials is not None:
            login = self._credentials.get_credentials()
            commands.append(command(b"AUTH", *(word.encode() for word in login)))
        commands.append(command(b"CLIENT", b"SETNAME", CLIENT_NAME.encode()))
        if self._spec.database:
            commands.append(command(b"SELECT", b"%d" % self._spec.database))
        return commands


def _failure(error: BaseException, where: str) -> BaseException:
    """Return what a failure to connect is in the client library's classes."""
    if isinstance(error, asyncio.TimeoutError):
        return TimeoutError("Timeout connecting to server")
    if isinstance(error, OSError):
        return ConnectionError(f"{where}: {error.strerror or error}")
    if type(error) is ResponseError and "AUTH" in str(error):
        return AuthenticationError(str(error))  # of a server that knows no password
    return error
