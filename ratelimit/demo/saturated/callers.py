"""Callers that come whether or not the ones before were answered, at random, three times too many."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from ratelimit.demo.saturated.engine import CAPACITY

TIMES = 3.0
TARGET_S = 0.5
"""The time to the first byte that is to be kept."""
PATIENCE_S = 8.0
"""After which a caller goes."""
_CHAT = b"GET /v1/chat HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"


@dataclass
class Second:
    """The outcomes of the requests of one second.

    Args:
        came: all of them.
        refused: turned away at once.
        in_time: answers that began in time.
        given_up: callers that went without an answer.
        waits_s: of each answer, until its first byte.
    """

    came: int = 0
    refused: int = 0
    in_time: int = 0
    given_up: int = 0
    waits_s: list[float] = field(default_factory=list)


@dataclass
class Outcome:
    """The outcomes of all requests of a run, by the second in which they came.

    Args:
        seconds: see there.
        late_s: how late a caller came at worst, as the machine was busy; its wait counts from when it
            was to come.
    """

    seconds: list[Second] = field(default_factory=list)
    late_s: float = 0.0

    def part(self, begin: int, end: int) -> Outcome:
        """Return the outcome of some of the seconds."""
        return Outcome(self.seconds[begin:end], self.late_s)

    @property
    def waits_s(self) -> list[float]:
        """Of each answer, until its first byte."""
        return [wait_s for second in self.seconds for wait_s in second.waits_s]

    @property
    def given_up(self) -> int:
        """Callers that went without an answer."""
        return sum(second.given_up for second in self.seconds)

    @property
    def in_time(self) -> int:
        """Answers that began in time."""
        return sum(second.in_time for second in self.seconds)

    @property
    def refused(self) -> int:
        """Requests that were turned away at once."""
        return sum(second.refused for second in self.seconds)

    @property
    def came(self) -> int:
        """All requests."""
        return sum(second.came for second in self.seconds)

    def wait_s(self, share: float) -> float:
        """Return the wait that this share of the answers does not exceed; 0 without answers."""
        ranked = sorted(self.waits_s)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


async def call(port: int, seconds: float, seed: int) -> Outcome:
    """Call a gateway for so long; return when all callers have their answer or have gone."""
    outcome = Outcome([Second() for _ in range(int(seconds))])
    draws = random.Random(seed)
    loop = asyncio.get_running_loop()
    began = loop.time()
    at = 0.0
    async with asyncio.TaskGroup() as group:
        while (at := at + draws.expovariate(TIMES * CAPACITY)) < int(seconds):
            await asyncio.sleep(began + at - loop.time())
            outcome.late_s = max(outcome.late_s, loop.time() - began - at)
            group.create_task(ask(port, _CHAT, outcome.seconds[int(at)], began + at, TARGET_S))
    return outcome


async def ask(port: int, request: bytes, second: Second, began: float, target_s: float) -> None:
    """Ask once, and note what becomes of it.

    Args:
        port: where to ask.
        request: as it is sent, with `Connection: close`.
        second: takes the outcome.
        began: when the request was to come, by the event loop's clock.
        target_s: the time to the first byte that is to be kept.
    """
    loop = asyncio.get_running_loop()
    second.came += 1
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
                if status == b"503":
                    second.refused += 1
                    return
                if not await reader.read(1):
                    raise OSError("the answer has no first byte")
                took_s = loop.time() - began
                second.waits_s.append(took_s)
                second.in_time += took_s <= target_s
                await reader.read()
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError):  # a time-out is an OSError
        second.given_up += 1
