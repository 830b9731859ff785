"""The process that plays all people, and reports on its standard output.

    python -m ratelimit.demo.crowd PORT,… SECONDS SEED

Calls go to all ports in turn, as through a load balancer. One JSON object a line, four times a second: the
totals so far of each population. It ends when the time is up, or when its standard input is closed, so that
it cannot outlive the demo that started it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ratelimit.demo.people import POPULATIONS, Person, Population, address_of, everyone
from ratelimit.parsing.json import read_json

REPORT_S = 0.25


async def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Ask a server on this machine once; return the status and the body.

    Raises:
        OSError, ValueError: there is no answer.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head[9:12]), body
    finally:
        writer.close()


def get(path: str) -> bytes:
    """Return a request for a page."""
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode()


def post(person: Person, population: Population, address: str) -> bytes:
    """Return a person's request for a chat."""
    asked = {"max_tokens": population.output_tokens, "stream": population.stream}
    body = json.dumps({"messages": [{"role": "user", "content": "hello"}], **asked})
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {person.account}\r\n"
        f"x-forwarded-for: {address}\r\nuser-agent: {person.program}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")


class Play:
    """All people at work, and what became of their calls.

    Args:
        ports: where to call.
        seed: of all pauses.
    """

    def __init__(self, ports: Sequence[int], seed: int) -> None:
        self._ports, self._seed = ports, seed
        self._decided = dict.fromkeys(ports, 0)
        self._totals: dict[str, dict[str, Any]] = {
            population.name: {"admitted": 0, "refused": Counter(), "failed": 0} for population in POPULATIONS
        }

    async def run(self, seconds: float) -> None:
        """Let everyone call until the time is up, or standard input is closed."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        tasks = [
            asyncio.create_task(self._person(population, number, person, call))
            for population, number, person in everyone()
            for call in range(population.parallel)
        ]
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        closed = asyncio.create_task(reader.read())
        while (left := started + seconds - loop.time()) > 0 and not closed.done():
            await asyncio.wait((closed,), timeout=min(REPORT_S, left))
            line = {
                "elapsed_s": loop.time() - started,
                "decided": list(self._decided.values()),
                "populations": self._totals,
            }
            print(json.dumps(line), flush=True)
        for task in (*tasks, closed):
            task.cancel()
        await asyncio.gather(*tasks, closed, return_exceptions=True)

    async def _person(self, population: Population, number: int, person: Person, parallel: int) -> None:
        totals = self._totals[population.name]
        index = POPULATIONS.index(population)
        dice = random.Random(f"{self._seed}/{index}/{number}/{parallel}")
        # No two start at the same instant: people do not, and a thundering herd proves nothing.
        await asyncio.sleep(dice.uniform(0, person.pause_s))
        for call in itertools.count():
            port = self._ports[(number + call) % len(self._ports)]
            try:
                request = post(person, population, address_of(population, number, call))
                status, body = await ask(port, request)
                self._decided[port] += 1
                if status == 429:
                    violated = read_json(body).get("violated-policies") or ["?"]
                    totals["refused"][violated[0]] += 1
                else:
                    totals["admitted" if status == 200 else "failed"] += 1
            except (OSError, ValueError):
                totals["failed"] += 1
                await asyncio.sleep(1)
            await asyncio.sleep(person.pause_s * dice.uniform(0.75, 1.25))


if __name__ == "__main__":
    where = [int(port) for port in sys.argv[1].split(",")]
    asyncio.run(Play(where, int(sys.argv[3])).run(float(sys.argv[2])))
