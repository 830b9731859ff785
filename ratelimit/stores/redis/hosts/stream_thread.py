"""A stream client with a thread and a loop of its own: no application's event loop waits for it."""

from __future__ import annotations

import asyncio
from threading import Thread

from ratelimit.stores.redis.hosts.queues import HostQueues
from ratelimit.stores.redis.hosts.stream_client import StreamClient

_ABANDONED: list[object] = []
"""Loops and sockets of the parent that a fork left here: closing them would end the parent's."""


class StreamThread:
    """Runs one stream client from its making to `stop`.

    Args:
        stream_client: the one.
        box: where an unexpected error is left; the stream client goes on.
    """

    def __init__(self, stream_client: StreamClient, box: HostQueues) -> None:
        self._stream_client = stream_client
        self._box = box
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._resigns = True
        self._thread = Thread(target=self._run, name="ratelimit-hosts", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        finally:
            self._loop.close()

    async def _live(self) -> None:
        while not self._ended.is_set():
            try:
                await self._stream_client.run(self._ended)
            except Exception as error:
                self._box.fault = error
                await asyncio.sleep(1.0)
        if self._resigns:
            await self._stream_client.resign()
        await self._stream_client.aclose_connections()

    def stop(self, patience_s: float, *, resigns: bool = True) -> None:
        """End the thread after giving the lease up, and wait for it for as long as that."""
        self._resigns = resigns
        if self._thread.is_alive() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(patience_s)

    def abandon(self) -> None:
        """In a forked child: touch nothing of what is the parent's."""
        _ABANDONED.append(self)
