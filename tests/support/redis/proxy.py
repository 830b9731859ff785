"""A TCP proxy that breaks connections in every way a network does, on command.

It runs on an event loop and a thread of its own, so a test that blocks its loop still
sees the network move. It adds about 0.3 ms to a round trip:
compare times only through it, or only past it.

One difference from a bare server remains: where the server behind is down,
the client's connection is accepted and then reset. `refuse` is the fault of a
host that refuses.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from tests.support.redis.certificate import Certificate
from tests.support.redis.lane import Lane, abort, end
from tests.support.redis.port import free_port

PATIENCE_S = 10


class ServerConnection:
    """One client's connection and the proxy's own to the server behind it."""

    def __init__(
        self,
        proxy: Proxy,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._near, self._far = near, far
        self._over = asyncio.get_running_loop().create_future()
        self.ended: set[Lane] = set()

    async def serve(self) -> None:
        """Carry both directions until both have ended, one breaks, or the connection is cut."""
        near_reader, near_writer = self._near
        far_reader, far_writer = self._far
        ways = [
            asyncio.create_task(self._proxy.requests.carry(self, near_reader, far_writer)),
            asyncio.create_task(self._proxy.replies.carry(self, far_reader, near_writer)),
        ]
        carrying = asyncio.gather(*ways)
        try:
            await asyncio.wait({carrying, self._over}, return_when=asyncio.FIRST_COMPLETED)
            broken = carrying.done() and carrying.exception() is not None
            self.cut(reset=broken)
        finally:
            self.cut(reset=True)
            # Each by itself: what gathered them is done when one has failed, and cancels no other.
            for way in ways:
                way.cancel()
            await asyncio.gather(carrying, *ways, return_exceptions=True)

    def cut(self, *, reset: bool) -> None:
        """Close both sides, with an RST or with a FIN behind what was delivered."""
        if not self._over.done():
            self._over.set_result(None)
            for _, writer in (self._near, self._far):
                if reset:
                    abort(writer)
                else:
                    writer.close()

    def half_close(self, pipeline: Lane) -> None:
        """End one direction; what comes after that way is lost."""
        self.ended.add(pipeline)
        end(self._far[1] if pipeline is self._proxy.requests else self._near[1])


class Proxy:
    """A listening port before a server; a context manager.

    Attributes:
        requests: faults of what clients send.
        replies: faults of what the server sends.
        accepted: connections accepted so far.

    Args:
        port: where the server behind listens, on `host`.
        certificate: serve TLS to clients; the server behind is spoken to without.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1", certificate: Certificate | None = None) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self.accepted = 0
        self._behind = (host, port)
        self._context = certificate.server_context() if certificate else None
        self._links: set[ServerConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._full: list[socket.socket] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.requests = Lane(self._run, self._links)
        self.replies = Lane(self._run, self._links)
        self._thread.start()
        self.listen()

    @property
    def url(self) -> str:
        scheme, host = ("rediss", "localhost") if self._context else ("redis", self.host)
        return f"{scheme}://{host}:{self.port}/0"

    @property
    def connections(self) -> int:
        """How many connections exist now."""
        return len(self._links)

    def listen(self) -> None:
        """Accept new connections (again)."""
        self._await(self._listen())

    def refuse(self) -> None:
        """Refuse new connections, as a host without the server does; present ones go on."""
        self._await(self._deafen())

    def ignore(self) -> None:
        """Leave new connections without an answer, as a host that is gone does; present ones go on."""
        self._await(self._ignore())

    def cut(self, *, reset: bool = True) -> None:
        """Close all present connections: with an RST, or with a FIN."""
        self._run(lambda: [link.cut(reset=reset) for link in self._links])

    def heal(self) -> None:
        """Lift all faults and accept new connections."""
        self.requests.heal()
        self.replies.heal()
        self.listen()

    def stop(self) -> None:
        """Reset all connections and end the thread."""
        if not self._loop.is_closed():
            self._await(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, change: Callable[[], object]) -> None:
        async def changed() -> None:
            change()

        self._await(changed())

    def _await(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)

    async def _listen(self) -> None:
        if self._listener is None:
            self._empty()
            self._listener = await asyncio.start_server(
                self._accept,
                self.host,
                self.port,
                ssl=self._context,
                ssl_shutdown_timeout=1 if self._context else None,
                backlog=1_024,
            )

    async def _deafen(self) -> None:
        self._empty()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _ignore(self) -> None:
        await self._deafen()
        # Nothing accepts from this socket; once its queue of one is full the kernel drops what knocks.
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        deaf.bind((self.host, self.port))
        deaf.listen(0)
        self._full.append(deaf)
        for _ in range(2):
            knock = socket.socket()
            knock.setblocking(False)
            knock.connect_ex((self.host, self.port))
            self._full.append(knock)

    def _empty(self) -> None:
        for one in self._full:
            one.close()
        self._full.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)

        def is_over(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not writer.is_closing():  # cancelled before there was a connection, or before its first turn
                abort(writer)

        task.add_done_callback(is_over)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far = await asyncio.open_connection(*self._behind)
        except OSError:
            abort(writer)
            return
        link = ServerConnection(self, (reader, writer), far)
        self._links.add(link)
        try:
            await link.serve()
        finally:
            self._links.discard(link)

    async def _stop(self) -> None:
        await self._deafen()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
