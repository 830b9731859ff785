"""The run of the saturated demo: server, gateway and callers, once without a limit and once with one."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ratelimit.demo.run import START_S, DemoFailed, end, free_port
from ratelimit.demo.saturated.callers import TARGET_S, Outcome, call

ENGINE, GATEWAY = "ratelimit.demo.saturated.engine", "ratelimit.demo.saturated.gateway"
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
        await stack.enter_async_context(started(folder, ENGINE, engine))
        words = [str(engine), *([str(policy)] if limited else [])]
        await stack.enter_async_context(started(folder, GATEWAY, gateway, *words))
        return await call(gateway, seconds, seed)


@asynccontextmanager
async def started(folder: Path, module: str, port: int, *words: str) -> AsyncIterator[Process]:
    """Run a module as a process that listens on a port, and end it.

    Raises:
        DemoFailed: it did not start.
    """
    name = module.rpartition(".")[2]
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, str(port), *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        while process.returncode is None and loop.time() < deadline:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        else:
            said = (folder / f"{name}.log").read_text("utf-8", "replace").strip() or "it said nothing"
            raise DemoFailed(f"the {name} of the demo did not start:\n{said[-1000:]}")
        yield process
    finally:
        await end(process)
