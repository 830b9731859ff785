"""`ratelimit serve`: decides for proxies, over Envoy's protocol and over HTTP."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import ExitStack
from typing import Any

import click

from ratelimit.cli.failure import DEPLOYMENT, USAGE, Failure
from ratelimit.cli.loading import load_to_start
from ratelimit.cli.terminal import LineFormatter
from ratelimit.cli.workers import run_workers
from ratelimit.environment.extras import how_to_install
from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter
from ratelimit.worker.diagnostics import start_logging
from ratelimit.worker.upkeep import Upkeep

RELOADS_S = 2.0
GRACE_S = 5.0
"""How long calls that are under way may take when the process ends."""

log = logging.getLogger("ratelimit")


@click.command("serve", short_help="Decide for Envoy, nginx and other proxies.")
@click.argument("policy", type=click.Path())
@click.option("--envoy", metavar="HOST:PORT", help="Serve Envoy's rate-limit service (gRPC) here.")
@click.option("--http", metavar="HOST:PORT", help="Serve a check over HTTP here: 204, or the refusal.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that share the port and the limits, one for each core.",
)
def serve_command(policy: str, envoy: str | None, http: str | None, workers: int) -> None:
    """Decide for proxies, by the policy that applications go by, in the same memory.

    Nothing here asks who is calling: listen where only proxies can reach it. Processes on one
    host share their budgets.

    \b
    Examples:
      ratelimit serve policy.toml --envoy 127.0.0.1:8081
      ratelimit serve policy.toml --http 127.0.0.1:8082 --workers 2

    SIGTERM or Ctrl-C ends it after the calls that are under way. Calls that wait for room are refused then.
    Exit code 4 if the store or an address cannot be had.
    """
    if envoy is None and http is None:
        raise Failure("nothing to serve", USAGE, hint="Give --envoy HOST:PORT, --http HOST:PORT, or both.")
    load_to_start(policy)  # warnings are for the log
    if workers > 1:
        _serve_by_several(policy, envoy, http, workers)
        return
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    with ExitStack() as stack:
        try:
            limiter = Limiter(policy)
        except StoreError as error:
            raise Failure(f"{error} [{error.code}]", DEPLOYMENT) from error
        stack.callback(limiter.close)
        start_logging(limiter)
        asking = [rule.name for rule in limiter.rules if rule.action == "challenge" and not rule.shadow]
        if asking:
            log.warning(
                "%s: a proxy's call cannot be asked for a step-up, so limits that challenge refuse until "
                "an application of the same policy has let the caller pass",
                asking[0],
            )
        held = [rule.name for rule in limiter.rules if rule.algorithm == "concurrency"]
        if held:
            log.warning("%s: a call has no end, so limits on what runs at once never refuse here", held[0])
        try:
            asyncio.run(_live(limiter, envoy, http))
        except OSError as error:
            raise Failure(f"{error.strerror or error}", DEPLOYMENT) from error
    log.info("ended")


def _serve_by_several(policy: str, envoy: str | None, http: str | None, workers: int) -> None:
    arguments = ["serve", policy]
    for option, address in (("--envoy", envoy), ("--http", http)):
        if address is not None:
            if _split(address)[1] == 0:
                raise Failure(f"{address}: several workers need a port they can share", USAGE)
            arguments += [option, address]
    code = run_workers(workers, arguments)
    if code:
        raise Failure(f"a worker ended with exit code {code}", code)


async def _live(limiter: Limiter, envoy: str | None, http: str | None) -> None:
    """Serve until a signal says to end."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    upkeep = Upkeep(limiter, RELOADS_S)
    servers: list[Any] = []
    upkeep.start()
    try:
        if envoy is not None:
            servers.append(await _envoy(limiter, envoy))
        if http is not None:
            servers.append(await _http(limiter, *_split(http)))
        await ended.wait()
    finally:
        limiter.runtime.refuse_waiting()
        for server in servers:
            await server.stop(GRACE_S)
        await asyncio.to_thread(upkeep.stop)
        await limiter.aclose_connections()


async def _envoy(limiter: Limiter, address: str) -> Any:
    _split(address)
    try:
        from ratelimit.serving.envoy import serve_envoy
    except ImportError as error:
        raise Failure(
            f"Envoy's service needs grpcio and xds-protos ({error})",
            USAGE,
            hint=f"Install them: {how_to_install('grpcio')} {how_to_install('xds-protos').split()[-1]}",
        ) from error
    return await serve_envoy(limiter, address)


async def _http(limiter: Limiter, host: str, port: int) -> Any:
    try:
        import uvicorn  # noqa: F401  # whether it is there
    except ImportError as error:
        raise Failure(
            "the check over HTTP needs uvicorn", USAGE, hint=f"Install it: {how_to_install('uvicorn')}"
        ) from error
    from ratelimit.serving.web import serve_http

    return await serve_http(limiter, host, port)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise Failure(f"{address!r} is no HOST:PORT", USAGE, hint="Write, for example, 127.0.0.1:8081.")
    return host.strip("[]"), int(port)
