"""One run for each means: all places at first, then half of them."""

from __future__ import annotations

import asyncio
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ratelimit.demo.engine import PLACES
from ratelimit.demo.run import listening
from ratelimit.demo.saturated import ENGINE, LIMIT, Outcome, call
from tests.support.redis.port import free_port

GATEWAY = "benchmarks.adaptive.real.gateway"


@dataclass(frozen=True, slots=True)
class Means:
    """What a gateway does against overload.

    Args:
        name: as the table has it.
        kind: as the gateway is told.
        value: its number, of each of two workers; "" where it has none.
    """

    name: str
    kind: str
    value: str = ""


MEANS = (
    Means("nothing", "none"),
    Means("[adaptive] first_byte = 0.5s", "adaptive"),
    Means("asyncio.Semaphore(10)", "semaphore", "10"),
    Means("uvicorn --limit-concurrency 6", "limit-concurrency", "6"),
    Means("uvicorn --limit-concurrency 10", "limit-concurrency", "10"),
    Means("uvicorn --limit-concurrency 20", "limit-concurrency", "20"),
    Means("uvicorn --limit-concurrency 100", "limit-concurrency", "100"),
)
SHORT = MEANS[:2]


async def play(means: Means, seconds: int, seed: int) -> Outcome:
    """Return what became of the callers; half of the places are lost after half of the time.

    Raises:
        DemoFailed: a process did not start.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-benchmark-")))
        engine, gateway = free_port(), free_port()
        process = await stack.enter_async_context(listening(folder, ENGINE, engine))
        value = means.value or "-"
        if means.kind == "adaptive":
            policy = folder / "policy.toml"
            policy.write_text(LIMIT.format(table=folder / "table"))
            value = str(policy)
        await stack.enter_async_context(listening(folder, GATEWAY, gateway, str(engine), means.kind, value))
        await stack.enter_async_context(_told_later(process, seconds / 2, PLACES // 2))
        return await call(gateway, seconds, seed)


@asynccontextmanager
async def _told_later(process: Process, after_s: float, places: int) -> AsyncIterator[None]:
    """Tell the server how many places there are, some time from now."""

    async def tell() -> None:
        await asyncio.sleep(after_s)
        assert process.stdin is not None
        process.stdin.write(f"{places}\n".encode())

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()
