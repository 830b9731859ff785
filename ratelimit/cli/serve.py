"""`ratelimit serve`: decides for proxies, over Envoy's protocol and over HTTP."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import click

from ratelimit.asgi.check import PROXIES, Proxy
from ratelimit.cli.failure import DEPLOYMENT, USAGE, Failure
from ratelimit.cli.loading import load_to_start
from ratelimit.cli.metrics import served_metrics
from ratelimit.cli.terminal import LineFormatter
from ratelimit.cli.workers import run_workers
from ratelimit.environment.extras import how_to_install
from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter
from ratelimit.serving.reach import untold_here
from ratelimit.worker.diagnostics import start_logging
from ratelimit.worker.upkeep import Upkeep

RELOADS_S = 2.0
GRACE_S = 5.0
"""Longest time for calls under way when the process ends."""

log = logging.getLogger("ratelimit")


@click.command("serve", short_help="Decide for Envoy, nginx and other proxies.")
@click.argument("policy", type=click.Path())
@click.option("--envoy", metavar="HOST:PORT", help="Serve Envoy's rate-limit service (gRPC) here.")
@click.option("--http", metavar="HOST:PORT", help="Serve a check over HTTP here: 204, or the refusal.")
@click.option(
    "--for",
    "proxy",
    type=click.Choice(PROXIES),
    help="The proxy that calls over HTTP: its fields are believed, and no others. Needed with --http.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that share the port and the limits, one for each core.",
)
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve /metrics on this port.")
@click.option(
    "--metrics-host", default="127.0.0.1", show_default=True, help="The address that /metrics is served on."
)
def serve_command(
    policy: str,
    envoy: str | None,
    http: str | None,
    proxy: Proxy | None,
    workers: int,
    metrics_port: int | None,
    metrics_host: str,
) -> None:
    """Answer rate-limit checks from proxies, using the same policy and counters as your applications.

    Callers are not authenticated: listen where only proxies can reach it. Processes on one
    host share their budgets.

    \b
    Examples:
      ratelimit serve policy.toml --envoy 127.0.0.1:8081
      ratelimit serve policy.toml --http 127.0.0.1:8082 --for nginx --workers 2

    SIGTERM or Ctrl-C ends it after the calls that are under way. Calls that wait for room are refused then.
    Exit code 4 if the store or an address is not available.
    """
    if envoy is None and http is None:
        raise Failure("nothing to serve", USAGE, hint="Give --envoy HOST:PORT, --http HOST:PORT, or both.")
    if (http is None) != (proxy is None):
        wrong = "--http without --for" if proxy is None else "--for without --http"
        raise Failure(
            f"{wrong}: a check over HTTP believes the fields of one proxy",
            USAGE,
            hint=f"Name the proxy that calls: --for {'|'.join(PROXIES)}.",
        )
    load_to_start(policy)  # warnings are for the log
    if workers > 1:
        metrics = () if metrics_port is None else (metrics_host, metrics_port)
        _serve_by_several(policy, envoy, http, proxy, workers, metrics)
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
        for line in untold_here(limiter, by_descriptors=envoy is not None, proxy=proxy):
            log.warning("%s", line)
        if metrics_port is not None:
            stack.callback(served_metrics(limiter, metrics_host, metrics_port))
        try:
            asyncio.run(_live(limiter, envoy, http, proxy))
        except OSError as error:
            raise Failure(f"{error.strerror or error}", DEPLOYMENT) from error
    log.info("ended")


def _serve_by_several(
    policy: str,
    envoy: str | None,
    http: str | None,
    proxy: Proxy | None,
    workers: int,
    metrics: Sequence[object],
) -> None:
    arguments = ["serve", policy]
    for option, address in (("--envoy", envoy), ("--http", http)):
        if address is not None:
            if _split(address)[1] == 0:
                raise Failure(f"{address}: several workers need a port they can share", USAGE)
            arguments += [option, address]
    if proxy is not None:
        arguments += ["--for", proxy]
    # One of them answers for all: their counters are in the same memory.
    first = list(arguments)
    for option, value in zip(("--metrics-host", "--metrics-port"), metrics, strict=False):
        first += [option, str(value)]
    code = run_workers([first, *[arguments] * (workers - 1)])
    if code:
        raise Failure(f"a worker ended with exit code {code}", code)


async def _live(limiter: Limiter, envoy: str | None, http: str | None, proxy: Proxy | None) -> None:
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
        if http is not None and proxy is not None:
            servers.append(await _http(limiter, *_split(http), proxy))
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
            "Envoy's service needs grpcio", USAGE, hint=f"Install it: {how_to_install('grpcio')}"
        ) from error
    return await serve_envoy(limiter, address)


async def _http(limiter: Limiter, host: str, port: int, proxy: Proxy) -> Any:
    try:
        import uvicorn  # noqa: F401  # whether it is there
    except ImportError as error:
        raise Failure(
            "the check over HTTP needs uvicorn", USAGE, hint=f"Install it: {how_to_install('uvicorn')}"
        ) from error
    from ratelimit.serving.web import serve_http

    return await serve_http(limiter, host, port, proxy)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise Failure(f"{address!r} is no HOST:PORT", USAGE, hint="Write, for example, 127.0.0.1:8081.")
    return host.strip("[]"), int(port)
