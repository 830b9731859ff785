"""The servers that the questions are asked of, and what those say of their own work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from redis import Redis

from tests.support.redis.binary import Binary, binaries
from tests.support.redis.server import Options, Server


@contextmanager
def running(binary: Binary | None = None, options: Options | None = None) -> Iterator[Server]:
    """Start a server on a free port of this machine and end it; Valkey from the package index by default."""
    server = Server(binary or binaries()[0], options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass(frozen=True, slots=True)
class Work:
    """What a server has done so far.

    Attributes:
        processor_us: microseconds of processor time, of all its threads.
        script_us: microseconds in scripts.
        scripts: how many it ran.
        received, sent: bytes, of all connections.
    """

    processor_us: float
    script_us: float
    scripts: int
    received: int = 0
    sent: int = 0

    @classmethod
    def of(cls, client: Redis) -> Work:
        """Ask a server."""
        cpu, stats, net = client.info("cpu"), client.info("commandstats"), client.info("stats")
        runs = [stats[name] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats]
        return cls(
            1e6 * (cpu["used_cpu_user"] + cpu["used_cpu_sys"]),
            sum(run["usec"] for run in runs),
            sum(run["calls"] for run in runs),
            net["total_net_input_bytes"],
            net["total_net_output_bytes"],
        )

    def since(self, before: Work) -> Work:
        """Return what was done in between."""
        return Work(
            self.processor_us - before.processor_us,
            self.script_us - before.script_us,
            self.scripts - before.scripts,
            self.received - before.received,
            self.sent - before.sent,
        )

    def plus(self, other: Work) -> Work:
        """Return both together."""
        return Work(
            self.processor_us + other.processor_us,
            self.script_us + other.script_us,
            self.scripts + other.scripts,
            self.received + other.received,
            self.sent + other.sent,
        )


def describe(server: Server) -> str:
    """Return what kind of server it is, with its version."""
    about = server.client.info("server")
    name = "Valkey" if "valkey_version" in about else "Redis"
    return f"{name} {about.get('valkey_version', about['redis_version'])}"
