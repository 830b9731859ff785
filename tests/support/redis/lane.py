"""One direction of a proxy's connections and what is done to the bytes in it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.redis.proxy import ServerConnection

CHUNK_BYTES = 65_536
QUEUED_CHUNKS = 64
"""How much a delay holds back per connection before the sender feels it: 4 MiB."""

FLIPPED = bytes(byte ^ 0x80 for byte in range(256))
"""Garbling: no byte of the protocol's own stays one."""


class Lane:
    """What happens to all bytes that pass one way, on present and future connections.

    Faults add up and stay until `heal`. Each method returns when its fault is
    in force, and may be called from any thread but the proxy's own.

    Attributes:
        passed: bytes delivered so far, over all connections.
        lost: bytes swallowed so far.
    """

    def __init__(self, run: Callable[[Callable[[], object]], None], links: set[ServerConnection]) -> None:
        self.passed = 0
        self.lost = 0
        self._run = run
        self._links = links
        self._open = asyncio.Event()
        self._clear()

    def delay(self, seconds: float) -> None:
        """Deliver everything so much later, in order: a longer way, not a narrower one."""
        self._run(lambda: self._set(delay_s=seconds))

    def drop(self) -> None:
        """Swallow bytes without a word.

        A connection that lost some stays mask_shared this way even after `heal`. TCP delivers nothing
        behind a gap, so a later answer never takes the place of a lost one.
        """
        self._run(lambda: self._set(drops=True))

    def hold(self) -> None:
        """Keep bytes back until `release`, which delivers all of them: a partition that heals."""
        self._run(self._open.clear)

    def release(self) -> None:
        self._run(self._open.set)

    def slice(self, size: int, *, gap_s: float = 0) -> None:
        """Deliver at most `size` bytes at a time, with that gap between: parsers see every boundary."""
        self._run(lambda: self._set(piece_bytes=size, gap_s=gap_s))

    def garble(self, *, every: int = 1) -> None:
        """Change the first of every so many bytes of what arrives together."""
        self._run(lambda: self._set(garbled_every=every))

    def half_close(self) -> None:
        """End this direction of the present connections with a FIN; the other direction goes on."""
        self._run(lambda: [link.half_close(self) for link in self._links])

    def cut_after(self, size: int, *, reset: bool = False) -> None:
        """Let `size` more bytes pass, then cut the connection they were on; once."""
        self._run(lambda: self._set(left_bytes=size, resets=reset))

    def heal(self) -> None:
        """Lift all faults of this direction."""
        self._run(self._clear)

    def _set(self, **faults: object) -> None:
        for name, value in faults.items():
            setattr(self, name, value)

    def _clear(self) -> None:
        self.delay_s = 0.0
        self.drops = False
        self.piece_bytes = CHUNK_BYTES
        self.gap_s = 0.0
        self.garbled_every = 0
        self.left_bytes: int | None = None
        self.resets = False
        self._open.set()

    async def carry(
        self, link: ServerConnection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Move bytes of one connection until its end, then end the other side's reading, too."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_CHUNKS)
        delivering = asyncio.create_task(self._deliver(link, queue, writer))
        try:
            data = b"any"
            while data and not delivering.done():
                data = await reader.read(CHUNK_BYTES)
                await queue.put((loop.time() + self.delay_s, data))
            await delivering
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)

    async def _deliver(
        self, link: ServerConnection, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        lost = False
        while True:
            due, data = await queue.get()
            if due > loop.time():
                await _until(due)
            if not self._open.is_set():
                await self._open.wait()
            if not data:
                break
            lost = lost or self.drops or self in link.ended
            if lost:
                self.lost += len(data)
            else:
                await self._write(link, data, writer)
        if not lost:
            end(writer)

    async def _write(self, link: ServerConnection, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self.garbled_every:
            changed = bytearray(data)
            changed[:: self.garbled_every] = changed[:: self.garbled_every].translate(FLIPPED)
            data = bytes(changed)
        cut = self.left_bytes is not None and len(data) >= self.left_bytes
        if self.left_bytes is not None:
            data = data[: self.left_bytes]
            self.left_bytes -= len(data)
        for start in range(0, len(data), self.piece_bytes):
            piece = data[start : start + self.piece_bytes]
            writer.write(piece)
            self.passed += len(piece)
            await writer.drain()
            if self.gap_s:
                await _until(asyncio.get_running_loop().time() + self.gap_s)
        if cut:
            self.left_bytes = None
            link.cut(reset=self.resets)


def end(writer: asyncio.StreamWriter) -> None:
    """Send a FIN behind what is written; TLS knows no half-close, so there it closes."""
    if writer.is_closing():
        return
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


def abort(writer: asyncio.StreamWriter) -> None:
    """Close with an RST, whatever is still to be sent."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _until(instant: float) -> None:
    loop = asyncio.get_running_loop()
    reached: asyncio.Future[None] = loop.create_future()
    timer = loop.call_at(instant, reached.set_result, None)
    try:
        await reached
    finally:
        timer.cancel()
