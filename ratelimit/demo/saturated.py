"""A server that is asked for three times what it can do: without an adaptive limit and with one.

Three processes on loopback: a stand-in for a server of language models (`engine`), a gateway with two workers
before it (`server`), and this one with the callers. They come whether or not the ones before were answered,
at random, three times too many. It stays on this machine and leaves no files behind.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ratelimit.demo.engine import CAPACITY, PLACES
from ratelimit.demo.run import free_port, listening

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


ENGINE, GATEWAY = "ratelimit.demo.engine", "ratelimit.demo.server"
LIMIT = f"""\
version = 1
[store]
memory = "{{table}}"
[adaptive]
first_byte = "{round(1000 * TARGET_S)}ms"
"""
"""The policy of the second run: no number of requests, only how soon answers have to begin."""


async def play(seconds: float, seed: int, begun: Callable[[bool], None]) -> tuple[Outcome, Outcome]:
    """Return what came of it without a limit, and with one.

    Args:
        seconds: how long callers come, each time.
        seed: of when they come.
        begun: told before each run whether it has a limit.

    Raises:
        DemoFailed: a process did not start.
    """
    begun(False)
    without = await played(seconds, seed, limited=False)
    begun(True)
    return without, await played(seconds, seed, limited=True)


async def played(seconds: float, seed: int, *, limited: bool) -> Outcome:
    """Return what came of one run.

    Raises:
        DemoFailed: a process did not start.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-demo-")))
        policy = folder / "policy.toml"
        policy.write_text(LIMIT.format(table=folder / "table"))
        engine, gateway = free_port(None, usual=False), free_port(None, usual=False)
        await stack.enter_async_context(listening(folder, ENGINE, engine))
        words = [str(engine), *([str(policy)] if limited else [])]
        await stack.enter_async_context(listening(folder, GATEWAY, gateway, *words))
        return await call(gateway, seconds, seed)


BARS = " ▁▂▃▄▅▆▇█"


def print_head(console: Console, seconds: float) -> None:
    """Say what is about to be seen."""
    console.print(
        f"A server with {PLACES} places, which answers {CAPACITY:.0f} requests a second, is asked for "
        f"{TIMES * CAPACITY:.0f}: {seconds:.0f} seconds without a limit, and {seconds:.0f} with one.",
        style="dim",
    )


def print_outcome(console: Console, without: Outcome, limited: Outcome) -> None:
    """Write both side by side, and what it takes to have the second."""
    table = Table(box=None, padding=(0, 2))
    table.add_column("")
    table.add_column("without", justify="right")
    table.add_column("with", justify="right", style="bold")
    late = f"first byte within {TARGET_S:g} s, of what came"
    table.add_row(late, _percent(without.in_time, without.came), _percent(limited.in_time, limited.came))
    table.add_row("… of what the server can do", *map(_of_capacity, (without, limited)))
    table.add_row(
        "half of the answers began within", *(f"{one.wait_s(0.5):.2f} s" for one in (without, limited))
    )
    table.add_row("95 % of them within", *(f"{one.wait_s(0.95):.2f} s" for one in (without, limited)))
    table.add_row("refused, with 503", *(f"{one.refused:,}" for one in (without, limited)))
    table.add_row("callers that gave up", *(f"{one.given_up:,}" for one in (without, limited)))
    table.add_row("in time, second by second", *map(_bars, (without, limited)))
    console.print(table)
    console.print("The policy that did it:", style="dim")
    console.print(Text(f'  [adaptive]\n  first_byte = "{round(1000 * TARGET_S)}ms"', "bold"))
    console.print("docs/adaptive.md explains how to adopt it without turning requests away.", style="dim")


def outcome_json(without: Outcome, limited: Outcome) -> dict[str, object]:
    """Return the same for programs."""
    return {
        name: {
            "came": one.came,
            "in_time": one.in_time,
            "refused": one.refused,
            "given_up": one.given_up,
            "first_byte_p50_s": round(one.wait_s(0.5), 3),
            "first_byte_p95_s": round(one.wait_s(0.95), 3),
            "in_time_by_second": [second.in_time for second in one.seconds],
        }
        for name, one in (("without", without), ("with", limited))
    }


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.0f} %"


def _of_capacity(outcome: Outcome) -> str:
    return f"{100 * outcome.in_time / (CAPACITY * max(1, len(outcome.seconds))):.0f} %"


def _bars(outcome: Outcome) -> Text:
    most = len(BARS) - 1
    return Text(
        "".join(BARS[min(most, round(most * second.in_time / CAPACITY))] for second in outcome.seconds),
        "green",
    )
