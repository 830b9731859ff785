"""The run of the demo: starts everything, shows it, and leaves nothing behind.

Child processes: the crowd, and the server with two workers. With a Redis there are two servers that share
nothing else, as on two hosts. Each ends when the pipe to its standard input closes, so even a killed demo
cleans up. On every other way out they are ended by their pids.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ratelimit.demo.crowd import ask, get
from ratelimit.demo.outcome import State
from ratelimit.environment.location import LocationError, parse_location
from ratelimit.errors import RateLimitError
from ratelimit.policy import Policy

USUAL_PORT = 8429
START_S = 20.0
STOP_S = 5.0
POLICY_VARIABLE = "RATELIMIT_DEMO_POLICY"
URL_VARIABLE = "RATELIMIT_DEMO_REDIS"
KEY_VARIABLE = "RATELIMIT_DEMO_HASH_KEY"
# A closed terminal is a way out like any other.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoFailed(Exception):
    """The demo cannot run here; the message says why and what to do."""


def policy_path() -> Path:
    """Return the policy file that the demo is shipped with."""
    return Path(str(files("ratelimit.demo") / "policy.toml"))


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


class Shared:
    """The Redis or Valkey that the hosts of a run count in, under a prefix of their own.

    Args:
        url: the server's.
    """

    def __init__(self, url: str) -> None:
        self._prefix = f"ratelimit-demo-{secrets.token_hex(4)}"
        # A URL may hold a password, which no file needs to.
        self.environment = {URL_VARIABLE: url, KEY_VARIABLE: secrets.token_hex(16)}
        try:
            location = parse_location(url)
            self.place = ", ".join(f"{host}:{port}" for host, port in location.nodes) or str(location.path)
        except LocationError:
            self.place = "Redis"

    def policy(self, table: str) -> str:
        """Return what a host's policy says of its store."""
        return (
            f'\n[hashing]\nkey = "env:{KEY_VARIABLE}"\n'
            f'\n[store]\nurl = "env:{URL_VARIABLE}"\nprefix = "{self._prefix}"\nmemory = "{table}"\n'
            # Callers, hosts and server share these cores: a wait for a processor is no outage.
            'timeout = "500ms"\n'
        )

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        """Yield a client of the server."""
        from ratelimit.stores.redis.transport.connect import connect, resolve

        spec = Policy.from_toml(f"version = 1\n{self.policy('./demo')}").compiled.remote
        assert spec is not None  # the text names one
        client = connect(resolve(spec, self.environment), timeout_s=3)
        try:
            async with asyncio.timeout(10):
                yield client
        finally:
            await client.aclose()

    async def reach(self) -> None:
        """Ask the server whether it is there.

        Raises:
            DemoFailed: it is not, or its URL cannot be used.
        """
        try:
            async with self.client() as client:
                await client.ping()
        except RateLimitError as error:
            raise DemoFailed(str(error)) from error
        except Exception as error:  # the client's own errors are of many types
            said = f"{type(error).__name__}: {error}".rstrip(" :")
            raise DemoFailed(f"no Redis answers at {self.place}: {said}") from error

    async def clean(self) -> None:
        """Remove this run's keys; what cannot be removed expires by itself."""
        with contextlib.suppress(Exception):  # the server has gone: so have we
            async with self.client() as client:
                async for key in client.scan_iter(match=f"*{self._prefix}*", count=500):
                    await client.unlink(key)


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
    stop = asyncio.create_task(asyncio.Event().wait())
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, stop.cancel)
    try:
        async with contextlib.AsyncExitStack() as stack:
            if shared is not None:
                await shared.reach()
                stack.push_async_callback(shared.clean)
            for port in ports:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-demo-")))
                environment = _prepared(folder, shared)
                await stack.enter_async_context(
                    listening(folder, "ratelimit.demo.server", port, environment=environment, stop=stop)
                )
            words = (",".join(map(str, ports)), str(seconds), str(seed))
            crowd = await stack.enter_async_context(
                child("ratelimit.demo.crowd", *words, stdout=asyncio.subprocess.PIPE)
            )
            assert crowd.stdout is not None  # we asked for the pipe; not input
            while not stop.done():
                line = asyncio.create_task(crowd.stdout.readline())
                await asyncio.wait((line, stop), return_when=asyncio.FIRST_COMPLETED)
                if not line.done() or not line.result():
                    line.cancel()
                    break
                state.take_report(line.result().decode())
                for port in ports:  # the actors are known to one worker of one host
                    with contextlib.suppress(OSError, ValueError):
                        state.take_actors((await asyncio.wait_for(ask(port, get("/actors")), 2))[1])
                show(state)
    finally:
        stop.cancel()
        for number in _ENDING:
            loop.remove_signal_handler(number)
    return state


def _prepared(folder: Path, shared: Shared | None) -> Mapping[str, str]:
    """Write a host's policy, with a store of its own: each run starts from full budgets."""
    table = str(folder / "table").replace("\\", "\\\\").replace('"', '\\"')
    store = f'\n[store]\nmemory = "{table}"\n' if shared is None else shared.policy(table)
    policy, tuning = folder / "policy.toml", policy_path().with_name("tuning.toml")
    policy.write_text(policy_path().read_text("utf-8") + store, "utf-8")
    if tuning.exists():
        (folder / tuning.name).write_text(tuning.read_text("utf-8"), "utf-8")
    return {POLICY_VARIABLE: str(policy), **({} if shared is None else shared.environment)}


@contextlib.asynccontextmanager
async def child(
    module: str, *words: str, environment: Mapping[str, str] | None = None, **streams: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module as a process that ends when this one does, and end it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *words),
        stdin=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        start_new_session=True,  # Ctrl-C is ours to hear; we tell the children
        **streams,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None  # it is a pipe
        process.stdin.close()
        for send in (None, process.terminate, process.kill):
            if send is not None and process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    send()
            with contextlib.suppress(asyncio.TimeoutError):
                # A child that writes to a full pipe without a reader would never end.
                await asyncio.wait_for(process.communicate(), STOP_S)
                break


@contextlib.asynccontextmanager
async def listening(
    folder: Path,
    module: str,
    port: int,
    *words: str,
    environment: Mapping[str, str] | None = None,
    stop: asyncio.Task[Any] | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module as a process that listens on a port, and end it.

    Raises:
        DemoFailed: it did not start.
    """
    path = folder / f"{module.rpartition('.')[2]}.log"
    with path.open("wb") as log:
        async with child(
            module, str(port), *words, environment=environment, stdout=log, stderr=log
        ) as process:
            loop = asyncio.get_running_loop()
            deadline = loop.time() + START_S
            while stop is None or not stop.done():
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                if process.returncode is not None or loop.time() > deadline:
                    said = "\n".join(path.read_text("utf-8", "replace").strip().splitlines()[-15:])
                    name = path.stem
                    raise DemoFailed(
                        f"the demo's {name} did not start within {START_S:.0f} s:\n"
                        f"{said or 'it said nothing'}"
                    )
                await asyncio.sleep(0.05)
            yield process
