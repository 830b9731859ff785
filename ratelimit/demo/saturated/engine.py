"""A stand-in for a server of language models: so many places, and a queue without bound before them.

    python -m ratelimit.demo.saturated.engine PORT

It works on `PLACES` requests at once and on each for a quarter of a second on average. The first byte
of an answer comes when a place is had. A request keeps its turn when its caller hangs up, as most servers
do not look. It ends when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import random
import sys

PLACES = 8
MEAN_S = 0.25
CAPACITY = PLACES / MEAN_S
"""Answers a second."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"


async def serve(port: int) -> None:
    """Serve until the standard input is closed."""
    places = asyncio.Semaphore(PLACES)
    draws = random.Random(1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            async with places:
                writer.write(HEAD + b"first ")
                await asyncio.sleep(draws.uniform(0.5, 1.5) * MEAN_S)
            writer.write(b"last\n")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
