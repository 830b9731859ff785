"""The process that plays all people, and reports on its standard output.

    python -m ratelimit.demo.population PORT,… SECONDS SEED

Calls go to all ports in turn, as through a load balancer.
One JSON object a line, four times a second: the totals so far of each population.
It ends when the time is up, or when its standard input is closed, so that it
cannot outlive the demo that started it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from ratelimit.demo.client import Connection
from ratelimit.demo.people import POPULATIONS, Population, address_of, person_of

REPORT_S = 0.25


@dataclass(slots=True)
class Tally:
    """The outcomes of one population's calls."""

    sent: int = 0
    admitted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    """By the limit that the refusal named."""
    failed: int = 0


async def play(ports: Sequence[int], seconds: float, seed: int) -> None:
    """Let all populations call until the time is up."""
    tallies = {population.name: Tally() for population in POPULATIONS}
    tasks = [
        asyncio.create_task(
            _person(
                ports,
                index,
                population,
                person,
                tallies[population.name],
                random.Random(f"{seed}/{index}/{person}/{call}"),
            )
        )
        for index, population in enumerate(POPULATIONS)
        for person in range(population.people)
        for call in range(population.parallel)
    ]
    loop = asyncio.get_running_loop()
    started = loop.time()
    closed = asyncio.create_task(_stdin_closed())
    try:
        while (elapsed := loop.time() - started) < seconds and not closed.done():
            await asyncio.wait((closed,), timeout=min(REPORT_S, seconds - elapsed))
            _report(loop.time() - started, tallies)
    finally:
        for task in (*tasks, closed):
            task.cancel()
        await asyncio.gather(*tasks, closed, return_exceptions=True)
    _report(loop.time() - started, tallies)


async def _person(
    ports: Sequence[int], index: int, population: Population, person: int, tally: Tally, dice: random.Random
) -> None:
    connections = [Connection(port) for port in ports]
    whose = person_of(population, person)
    # No two start at the same instant: people do not, and a thundering herd proves nothing.
    await asyncio.sleep(dice.uniform(0, whose.pause_s))
    for call in itertools.count():
        address = address_of(index, population, person, call)
        connection = connections[(person + call) % len(connections)]
        tally.sent += 1
        try:
            answer = await connection.chat(
                whose, address, output_tokens=population.output_tokens, stream=population.stream
            )
            if answer.status == 200:
                tally.admitted += 1
                if population.stream:
                    await connection.finish()
            elif answer.status == 429:
                limit = answer.limit or "?"
                tally.refused[limit] = tally.refused.get(limit, 0) + 1
            else:
                tally.failed += 1
        except ConnectionError:
            tally.failed += 1
            await asyncio.sleep(1)
        await asyncio.sleep(whose.pause_s * dice.uniform(0.75, 1.25))


def _report(elapsed_s: float, tallies: dict[str, Tally]) -> None:
    line = {"elapsed_s": elapsed_s, "populations": {name: asdict(tally) for name, tally in tallies.items()}}
    print(json.dumps(line), flush=True)


async def _stdin_closed() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while await reader.read(1024):
        pass


if __name__ == "__main__":
    asyncio.run(play([int(port) for port in sys.argv[1].split(",")], float(sys.argv[2]), int(sys.argv[3])))
