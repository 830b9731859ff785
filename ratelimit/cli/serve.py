"""`ratelimit serve`: decides for proxies, over Envoy's protocol and over HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click

from ratelimit.asgi.check import PROXIES, Proxy
from ratelimit.cli.failure import DEPLOYMENT, POLICY, USAGE, Failure
from ratelimit.cli.loading import load_to_start, show_problems
from ratelimit.cli.terminal import LineFormatter
from ratelimit.cli.workers import run_workers, served_metrics
from ratelimit.environment.extras import how_to_install
from ratelimit.errors import PolicyError, StoreError
from ratelimit.inspection.access.current_policy import tallied
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.serving.domains.counting import Counting
from ratelimit.serving.domains.files import DomainFiles
from ratelimit.serving.domains.loading import load_domains
from ratelimit.serving.domains.service import DomainService
from ratelimit.serving.domains.settings import Settings, tables_of, unread
from ratelimit.serving.domains.statistics import Statistics
from ratelimit.serving.reach import untold_here
from ratelimit.stores.factory import open_store
from ratelimit.worker.diagnostics import start_logging
from ratelimit.worker.upkeep import Upkeep

RELOADS_S = 2.0
GRACE_S = 5.0
"""Longest time for calls under way when the process ends."""
COUNTERS = 500_000
"""Counters of descriptors that there is room for without a policy."""
STATISTICS = "RATELIMIT_SERVE_STATISTICS"
"""Tells the processes of one command where they leave their numbers for each other."""

log = logging.getLogger("ratelimit")


@click.command("serve")
@click.argument("policy", type=click.Path(), required=False)
@click.option(
    "--descriptors",
    type=click.Path(),
    metavar="PATH",
    help="Decide by the descriptors of Envoy's own rate-limit service: its YAML file, or a folder of them.",
)
@click.option("--envoy", metavar="HOST:PORT", help="Serve Envoy's rate-limit service (gRPC) here.")
@click.option(
    "--processor",
    metavar="HOST:PORT",
    help="Serve Envoy's external processor (gRPC) here: it sees answers begin and end, as [adaptive] needs.",
)
@click.option("--http", metavar="HOST:PORT", help="Serve a check over HTTP here: 204, or the refusal.")
@click.option(
    "--for",
    "proxy",
    type=click.Choice(PROXIES),
    help="The proxy that calls over HTTP: its fields are believed, and no others. Needed with --http.",
)
@click.option(
    "--json", "in_json", metavar="HOST:PORT", help="With --descriptors: serve /json and /healthcheck here."
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
    policy: str | None,
    descriptors: str | None,
    envoy: str | None,
    processor: str | None,
    http: str | None,
    proxy: Proxy | None,
    in_json: str | None,
    workers: int,
    metrics_port: int | None,
    metrics_host: str,
) -> None:
    """Answer rate-limit checks from proxies, using the same policy and counters as your applications.

    With --descriptors this takes the place of Envoy's own rate-limit service (envoyproxy/ratelimit): the
    same files, decisions and fields. POLICY may be left out then; where it is given it decides as well.

    Callers are not authenticated: listen where only proxies can reach it. Processes on one
    host share their budgets.

    \b
    Examples:
      ratelimit serve policy.toml --envoy 127.0.0.1:8081
      ratelimit serve policy.toml --http 127.0.0.1:8082 --for nginx --workers 2
      ratelimit serve --descriptors ratelimit.yaml --envoy 127.0.0.1:8081

    SIGTERM or Ctrl-C ends it after the calls that are under way. Calls that wait for room are refused then.
    Exit code 4 if the store or an address is not available.
    """
    doors = Doors(envoy, http, proxy, in_json, processor)
    _check(policy, descriptors, doors)
    if policy is not None:
        load_to_start(policy)  # warnings are for the log
    settings = None if descriptors is None else _settings(descriptors)
    if workers > 1:
        metrics = () if metrics_port is None else (metrics_host, metrics_port)
        _serve_by_several(policy, descriptors, doors, workers, metrics)
        return
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    with ExitStack() as stack:
        try:
            limiter = _limiter(stack, policy, descriptors)
        except StoreError as error:
            raise Failure(f"{error} [{error.code}]", DEPLOYMENT) from error
        start_logging(limiter)
        by_domains = None
        if descriptors is not None and settings is not None:
            by_domains = _domains(stack, limiter, descriptors, settings, is_topped=policy is not None)
        if policy is not None:
            for line in untold_here(limiter, by_descriptors=envoy is not None, proxy=proxy):
                log.warning("%s", line)
        if metrics_port is not None:
            more = None if by_domains is None else by_domains.statistics.text
            stack.callback(served_metrics(limiter, metrics_host, metrics_port, more))
        try:
            asyncio.run(_live(limiter, doors, by_domains))
        except OSError as error:
            raise Failure(f"{error.strerror or error}", DEPLOYMENT) from error
    log.info("ended")


class Doors(NamedTuple):
    """The places that are served, each where it is given."""

    envoy: str | None
    http: str | None
    proxy: Proxy | None
    in_json: str | None
    processor: str | None = None


def _check(policy: str | None, descriptors: str | None, doors: Doors) -> None:
    """Refuse options that do not go together."""
    if policy is None and descriptors is None:
        raise Failure("nothing to decide by", USAGE, hint="Name a policy, or --descriptors PATH, or both.")
    if (doors.envoy, doors.http, doors.in_json, doors.processor) == (None,) * 4:
        raise Failure("nothing to serve", USAGE, hint="Give --envoy HOST:PORT, --http HOST:PORT, or both.")
    if (doors.http is None) != (doors.proxy is None):
        wrong = "--http without --for" if doors.proxy is None else "--for without --http"
        raise Failure(
            f"{wrong}: a check over HTTP believes the fields of one proxy",
            USAGE,
            hint=f"Name the proxy that calls: --for {'|'.join(PROXIES)}.",
        )
    if doors.http is not None and policy is None:
        raise Failure("--http without a policy: descriptors do not decide it", USAGE, hint="Name a policy.")
    if doors.processor is not None and policy is None:
        raise Failure("--processor without a policy to decide by", USAGE, hint="Name a policy.")
    if doors.in_json is not None and descriptors is None:
        raise Failure("--json without --descriptors: it is a call with descriptors", USAGE)


def _settings(descriptors: str) -> Settings:
    """Return the settings that the environment has, once it and the files are known to be in order."""
    try:
        settings = Settings.of(os.environ)
        tables_of(os.environ)
    except ValueError as error:
        raise Failure(f"the environment: {error}", USAGE) from error
    try:
        load_domains(descriptors, merges=settings.merges)
    except PolicyError as error:
        show_problems(error.problems)
        raise Failure(f"{descriptors}: {tallied(error.problems)}", POLICY) from error
    return settings


def _limiter(stack: ExitStack, policy: str | None, descriptors: str | None) -> Limiter:
    """Return the limiter of a policy, or one without limits: its counters are named by the descriptors."""
    if policy is not None:
        limiter = Limiter(policy)
        stack.callback(limiter.close)
        return limiter
    tables = tables_of(os.environ)
    tree = {"version": 1, **tables, "store": {"keys": COUNTERS, **tables.get("store", {})}}
    try:
        empty = Policy.from_mapping(tree, str(descriptors))
    except PolicyError as error:
        raise Failure(f"REDIS_URL cannot be used: {error}", USAGE) from error
    empty.warnings = ()  # that it limits nothing is no surprise
    named = copy(empty)
    named.path = descriptors
    store = open_store(named)
    stack.callback(store.close)
    limiter = Limiter(empty, store=store)
    stack.callback(limiter.close)
    return limiter


class _ByDomains(NamedTuple):
    """What decides by descriptors."""

    answering: Any
    statistics: Statistics
    is_healthy: Callable[[], bool]


def _domains(
    stack: ExitStack, limiter: Limiter, descriptors: str, settings: Settings, *, is_topped: bool
) -> _ByDomains:
    remote = limiter.policy.compiled.remote
    if remote is not None and remote.mode != "exact":
        raise Failure(
            "--descriptors with a store that leases",
            USAGE,
            hint='Descriptors are counted exactly: write mode = "exact" under [store].',
        )
    for line in unread(os.environ, has_policy=is_topped):
        log.warning("%s", line)
    folder = os.environ.get(STATISTICS)
    statistics = Statistics(settings.near, None if folder is None else Path(folder))
    files = DomainFiles(descriptors, merges=settings.merges, statistics=statistics)
    files.start()
    stack.callback(files.stop)
    service = DomainService(files.current, Counting(limiter), settings, statistics)
    try:
        from ratelimit.serving.envoy import ByDomains
    except ImportError as error:
        raise Failure(
            "descriptors need grpcio", USAGE, hint=f"Install it: {how_to_install('grpcio')}"
        ) from error
    log.info("deciding by %d domains of %s", len(files.current()), descriptors)
    return _ByDomains(
        ByDomains(limiter, service, is_topped=is_topped),
        statistics,
        lambda: len(files.current()) > 0 or not settings.needs_domain,
    )


def _serve_by_several(
    policy: str | None,
    descriptors: str | None,
    doors: Doors,
    workers: int,
    metrics: Sequence[object],
) -> None:
    arguments = ["serve"] if policy is None else ["serve", policy]
    addresses = {"--processor": doors.processor, "--http": doors.http, "--json": doors.in_json}
    for option, address in {"--envoy": doors.envoy, **addresses}.items():
        if address is not None:
            if _split(address)[1] == 0:
                raise Failure(f"{address}: several workers need a port they can share", USAGE)
            arguments += [option, address]
    if doors.proxy is not None:
        arguments += ["--for", doors.proxy]
    if descriptors is not None:
        arguments += ["--descriptors", descriptors]
    # One of them answers for all: their counters are in the same memory.
    first = list(arguments)
    for option, value in zip(("--metrics-host", "--metrics-port"), metrics, strict=False):
        first += [option, str(value)]
    with TemporaryDirectory(prefix="ratelimit-serve-") as folder:
        os.environ[STATISTICS] = folder
        code = run_workers([first, *[arguments] * (workers - 1)])
    if code:
        raise Failure(f"a worker ended with exit code {code}", code)


async def _live(limiter: Limiter, doors: Doors, by_domains: _ByDomains | None) -> None:
    """Serve until a signal says to end."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    upkeep = Upkeep(limiter, RELOADS_S)
    servers: list[Any] = []

    def is_healthy() -> bool:
        return not ended.is_set() and (by_domains is None or by_domains.is_healthy())

    upkeep.start()
    try:
        if doors.envoy is not None:
            answering = None if by_domains is None else by_domains.answering
            servers.append(await _envoy(limiter, doors.envoy, answering, is_healthy))
        if doors.processor is not None:
            servers.append(await _processor(limiter, doors.processor))
        if doors.http is not None and doors.proxy is not None:
            servers.append(await _http(limiter, *_split(doors.http), doors.proxy))
        if doors.in_json is not None and by_domains is not None:
            servers.append(await _json(*_split(doors.in_json), by_domains, is_healthy))
        await ended.wait()
    finally:
        limiter.runtime.refuse_waiting()
        for server in servers:
            await server.stop(GRACE_S)
        await asyncio.to_thread(upkeep.stop)
        await limiter.aclose_connections()


async def _envoy(limiter: Limiter, address: str, answering: Any, is_healthy: Callable[[], bool]) -> Any:
    if not address.startswith("unix:"):
        _split(address)
    try:
        from ratelimit.serving.envoy import serve_envoy
    except ImportError as error:
        raise Failure(
            "Envoy's service needs grpcio", USAGE, hint=f"Install it: {how_to_install('grpcio')}"
        ) from error
    return await serve_envoy(limiter, address, answering, is_healthy=is_healthy)


async def _processor(limiter: Limiter, address: str) -> Any:
    if not address.startswith("unix:"):
        _split(address)
    try:
        from ratelimit.serving.processor import serve_processor
    except ImportError as error:
        raise Failure(
            "Envoy's external processor needs grpcio", USAGE, hint=f"Install it: {how_to_install('grpcio')}"
        ) from error
    return await serve_processor(limiter, address)


async def _json(host: str, port: int, by_domains: _ByDomains, is_healthy: Callable[[], bool]) -> Any:
    _need_uvicorn()
    from ratelimit.serving.domains.web import pages_of
    from ratelimit.serving.web import serve_domains

    return await serve_domains(pages_of(by_domains.answering.adecide, is_healthy), host, port)


async def _http(limiter: Limiter, host: str, port: int, proxy: Proxy) -> Any:
    _need_uvicorn()
    from ratelimit.serving.web import serve_http

    return await serve_http(limiter, host, port, proxy)


def _need_uvicorn() -> None:
    try:
        import uvicorn  # noqa: F401  # whether it is there
    except ImportError as error:
        raise Failure(
            "the check over HTTP needs uvicorn", USAGE, hint=f"Install it: {how_to_install('uvicorn')}"
        ) from error


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise Failure(f"{address!r} is no HOST:PORT", USAGE, hint="Write, for example, 127.0.0.1:8081.")
    return host.strip("[]"), int(port)
