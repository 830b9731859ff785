"""`ratelimit correlator`: correlates for all hosts, in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import ExitStack, suppress

import click

from ratelimit.cli.failure import DEPLOYMENT, USAGE, Failure
from ratelimit.cli.loading import load_to_start
from ratelimit.cli.terminal import LineFormatter
from ratelimit.cli.workers import served_metrics
from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter
from ratelimit.worker.diagnostics import start_logging
from ratelimit.worker.upkeep import Upkeep

LOOKS_S = 0.2
RELOADS_S = 2.0

log = logging.getLogger("ratelimit")


@click.command("correlator")
@click.argument("policy", type=click.Path())
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve /metrics on this port.")
@click.option(
    "--metrics-host", default="127.0.0.1", show_default=True, help="The address that /metrics is served on."
)
def correlator_command(policy: str, metrics_port: int | None, metrics_host: str) -> None:
    """Correlate for all hosts that share a Redis, in a process that serves no requests.

    Takes the lease that one of the hosts' correlators holds, as soon as it is free. With
    `correlator_runs_in = "process"` in the file of `tuning` the workers leave it to such processes: run two,
    and the second takes over within seconds when the first one ends. The policy file is watched.

    \b
    Examples:
      ratelimit correlator policy.toml
      ratelimit correlator policy.toml --metrics-port 9464

    SIGTERM or Ctrl-C saves its memory to the server and hands the lease over.
    Exit code 4 if the store cannot be opened.
    """
    loaded = load_to_start(policy)  # warnings are for the log
    if loaded.compiled.correlation is None:
        raise Failure("the policy has no correlation", USAGE, hint="Write `[correlation]` into it.")
    if loaded.compiled.remote is None:
        raise Failure(
            "the policy names no server, so each host's workers correlate by themselves",
            USAGE,
            hint='Set [store] url = "redis://…" where several hosts are to share a correlator.',
        )
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    with ExitStack() as stack:
        try:
            limiter = Limiter(policy, correlates=True)
        except StoreError as error:
            raise Failure(f"{error} [{error.code}]", DEPLOYMENT) from error
        stack.callback(limiter.close)
        start_logging(limiter)
        if metrics_port is not None:
            stack.callback(served_metrics(limiter, metrics_host, metrics_port))
        asyncio.run(_live(limiter, loaded.name))
    log.info("ended; what is known is saved, and the lease is free")


async def _live(limiter: Limiter, name: str) -> None:
    """Correlate until a signal says to end, and say what changes."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await limiter.aopen_connections()  # what clusters have used is carried over by way of this loop
    upkeep = Upkeep(limiter, RELOADS_S)
    upkeep.start()
    saying = Saying(limiter, name)
    try:
        while not ended.is_set():
            saying.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOKS_S):
                    await ended.wait()
    finally:
        await asyncio.to_thread(upkeep.stop)
        await limiter.aclose_connections()


class Saying:
    """Says what changes, once each time.

    Args:
        limiter: the limiter to report on.
        name: of the policy.
    """

    def __init__(self, limiter: Limiter, name: str) -> None:
        self._limiter = limiter
        self._name = name
        self._is_leading: bool | None = None
        self._trouble = ""

    def look(self) -> None:
        """Say what is other than the last time."""
        numbers, clustering = self._limiter.correlation, self._limiter.clustering
        is_leading = clustering is not None and clustering.is_leading
        # Whether another correlates is known once something was heard of it.
        if is_leading is not self._is_leading and (is_leading or numbers.get("lease_term")):
            self._is_leading = is_leading
            said = "correlates for all hosts of %s" if is_leading else "stands by: another correlates for %s"
            log.info(said, self._name)
        trouble = "" if clustering is None else clustering.trouble
        if trouble and not self._trouble:
            log.warning("the server cannot be reached, and is tried again until it answers: %s", trouble)
        elif self._trouble and not trouble:
            log.info("the server answers again")
        self._trouble = trouble
