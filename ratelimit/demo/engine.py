"""A stand-in for a server of language models: so many places, and a queue without bound before them.

    python -m ratelimit.demo.engine PORT

It works on `PLACES` requests at once and on each for a quarter of a second on average. The first byte
of an answer comes when a place is had. A request keeps its turn when its caller hangs up, as most servers
do not look. A number on its standard input is how many places there are from then on; it ends when the
standard input is closed.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import deque

PLACES = 8
MEAN_S = 0.25
CAPACITY = PLACES / MEAN_S
"""Answers a second."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"


class Places:
    """Places that are given in the order of asking. Those that are lost are lost when they are left."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Wait for a place."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._give()
        await turn

    def leave(self) -> None:
        """Give a place back."""
        self._taken -= 1
        self._give()

    def become(self, count: int) -> None:
        """There are so many from now on."""
        self._count = count
        self._give()

    def _give(self) -> None:
        while self._waiting and self._taken < self._count:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


async def serve(port: int) -> None:
    """Serve until the standard input is closed."""
    places = Places(PLACES)
    draws = random.Random(1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await places.take()
            try:
                writer.write(HEAD + b"first ")
                await asyncio.sleep(draws.uniform(0.5, 1.5) * MEAN_S)
            finally:
                places.leave()
            writer.write(b"last\n")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024)
    async with server:
        while line := await asyncio.to_thread(sys.stdin.readline):
            places.become(int(line))


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
