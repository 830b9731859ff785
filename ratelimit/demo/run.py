"""The run of the demo: starts everything, shows it, judges it, and leaves nothing behind.

Child processes: the population, and the server with two workers. With a Redis there are two servers
that share nothing else, as on two hosts. Each ends when the pipe to its standard input closes, so
even a killed demo cleans up. On every other way out they are ended by their pids.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from ratelimit.demo.client import Connection
from ratelimit.demo.state import State
from ratelimit.telemetry.exposed import of_text

if TYPE_CHECKING:
    from ratelimit.demo.shared import Shared

USUAL_PORT = 8429
START_S = 20.0
STOP_S = 5.0
POLICY_VARIABLE = "RATELIMIT_DEMO_POLICY"


# A closed terminal is a way out like any other.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoFailed(Exception):
    """The demo cannot run here; the message says why and what to do."""


def policy_path() -> Path:
    """Return the policy file that the demo is shipped with."""
    return Path(str(files("ratelimit.demo") / "policy.toml"))


def free_ports(wanted: int | None, count: int) -> list[int]:
    """Return ports that can be listened on; the wanted or the usual one is the first.

    Raises:
        DemoFailed: the wanted one is taken.
    """
    ports = [free_port(wanted)]
    while len(ports) < count:
        other = free_port(None, usual=False)
        if other not in ports:
            ports.append(other)
    return ports


def free_port(wanted: int | None, *, usual: bool = True) -> int:
    """Return a port that can be listened on: the wanted one, the usual one, or any.

    Raises:
        DemoFailed: the wanted one is taken.
    """
    for port in (wanted,) if wanted else (USUAL_PORT, 0) if usual else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if wanted:
                    raise DemoFailed(
                        f"port {port} is not free ({error.strerror}): choose another with --port"
                    ) from error
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed("no port is free on 127.0.0.1")


async def run(
    seconds: float,
    ports: Sequence[int],
    seed: int,
    show: Callable[[State], None],
    shared: Shared | None = None,
) -> State:
    """Run the demo, calling `show` as it goes on; return how things stood at the end.

    Args:
        seconds: how long people call.
        ports: where to listen: one for each host; several share counters by `shared` alone.
        seed: of all pauses.
        show: given the state now and then.
        shared: the Redis; None for a store in this host's memory.

    Raises:
        DemoFailed: a server did not start, or the Redis does not answer.
    """
    state = State(seconds, ports, str(policy_path()), None if shared is None else shared.place)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, stop.set)
    try:
        async with contextlib.AsyncExitStack() as stack:
            if shared is not None:
                await _reach(shared)
                stack.push_async_callback(shared.clean)
            for port in ports:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-demo-")))
                server = await stack.enter_async_context(_server(folder, port, shared))
                await _started(server, port, folder, stop)
            async with _population(ports, seconds, seed) as population:
                await _watch(population, state, stop, show)
            connections = [Connection(port) for port in ports]
            await _scrape(connections, state)
            for connection in connections:
                connection.drop()
    finally:
        for number in _ENDING:
            loop.remove_signal_handler(number)
    return state


async def _reach(shared: Shared) -> None:
    from ratelimit.demo.shared import Unreachable  # needs the client library

    try:
        await shared.reach()
    except Unreachable as error:
        raise DemoFailed(str(error)) from error


async def _watch(
    population: asyncio.subprocess.Process, state: State, stop: asyncio.Event, show: Callable[[State], None]
) -> None:
    assert population.stdout is not None  # we asked for the pipe; not input
    connections = [Connection(port) for port in state.ports]
    stopped = asyncio.create_task(stop.wait())
    try:
        while not stopped.done():
            line = asyncio.create_task(population.stdout.readline())
            await asyncio.wait((line, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                line.cancel()
                return
            if not line.result():
                return
            state.take_report(line.result().decode())
            await _scrape(connections, state)
            show(state)
    finally:
        stopped.cancel()
        for connection in connections:
            connection.drop()


async def _scrape(connections: Sequence[Connection], state: State) -> None:
    # The board can live with numbers a quarter of a second old.
    with contextlib.suppress(ConnectionError, ValueError, asyncio.TimeoutError):
        texts = [await asyncio.wait_for(connection.metrics(), 2) for connection in connections]
        state.take_snapshots([of_text(text) for text in texts])
        # The actors are known to one worker of one host.
        for connection in connections:
            state.take_actors(await asyncio.wait_for(connection.actors(), 2))


@contextlib.asynccontextmanager
async def _server(
    folder: Path, port: int, shared: Shared | None
) -> AsyncIterator[asyncio.subprocess.Process]:
    # A copy with a store of its own: the shipped file stays as it is, each run starts from full budgets.
    policy = folder / "policy.toml"
    table = str(folder / "table").replace("\\", "\\\\").replace('"', '\\"')
    store = f'\n[store]\nmemory = "{table}"\n' if shared is None else shared.policy(table)
    policy.write_text(policy_path().read_text("utf-8") + store, "utf-8")
    tuning = policy_path().with_name("tuning.toml")
    if tuning.exists():
        (folder / tuning.name).write_text(tuning.read_text("utf-8"), "utf-8")
    environment = {**os.environ, POLICY_VARIABLE: str(policy)}
    if shared is not None:
        environment |= shared.environment
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ratelimit.demo.server",
            str(port),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C is ours to hear; we tell the children
        )
        try:
            yield process
        finally:
            await end(process)


@contextlib.asynccontextmanager
async def _population(
    ports: Sequence[int], seconds: float, seed: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ratelimit.demo.population",
        ",".join(map(str, ports)),
        str(seconds),
        str(seed),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await end(process)


async def _started(server: asyncio.subprocess.Process, port: int, folder: Path, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_S
    connection = Connection(port)
    while loop.time() < deadline and server.returncode is None and not stop.is_set():
        try:
            await asyncio.wait_for(connection.metrics(), 2)
        except (TimeoutError, ConnectionError):
            await asyncio.sleep(0.05)
        else:
            connection.drop()
            return
    if stop.is_set():
        return
    log = (folder / "server.log").read_text("utf-8", "replace").strip().splitlines()
    said = "\n".join(log[-15:]) or "it said nothing"
    raise DemoFailed(f"the demo's server did not start within {START_S:.0f} s:\n{said}")


async def end(process: asyncio.subprocess.Process) -> None:
    """End one child: its pipe first, then a signal, then force; always by its pid."""
    if process.stdin is not None:
        process.stdin.close()
    for send in (None, process.terminate, process.kill):
        if send is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                send()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_drained(process), STOP_S)
            return


async def _drained(process: asyncio.subprocess.Process) -> None:
    # A child that writes to a full pipe without a reader would never end.
    while process.stdout is not None and await process.stdout.read(65536):
        pass
    await process.wait()
