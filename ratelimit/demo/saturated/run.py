"""The run of the saturated demo: server, gateway and callers, once without a limit and once with one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from ratelimit.demo.run import free_port, listening
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
        await stack.enter_async_context(listening(folder, ENGINE, engine))
        words = [str(engine), *([str(policy)] if limited else [])]
        await stack.enter_async_context(listening(folder, GATEWAY, gateway, *words))
        return await call(gateway, seconds, seed)
