"""A master with a replica, and three sentinels that watch them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from tests.support.redis.binary import Binary
from tests.support.redis.patience import PATIENCE_S, until
from tests.support.redis.server import Options, Server

NAME = "primary"
PATIENT_S = 3_600
"""After which a silent server counts as down but during a failover that a test asks for.

A busy machine stops any process for seconds, and sentinels would take it for a dead one.
"""
IMPATIENT_S = 1
"""The same while one is to be noticed."""
FAILOVER_TIMEOUT_MS = 3_000
TIMES = {
    # How often sentinels look around and talk: by default every 10, 2 and 1 seconds.
    "info-period": 100,
    "publish-period": 100,
    "ask-period": 100,
    # A sentinel that was itself stopped for two seconds would fail over nothing for half a minute.
    "tilt-trigger": 1_000 * PATIENT_S,
}
"""What sentinels do when, in milliseconds."""
QUORUM = 2


class Sentinel(Server):
    """One sentinel process. Its configuration is a file, since it writes down there what it learns."""

    def __init__(self, binary: Binary) -> None:
        super().__init__(binary)
        self.identity = secrets.token_hex(20)
        self.file = self.folder / "sentinel.conf"

    def command(self) -> list[str]:
        return [str(self.binary.path), str(self.file), "--sentinel"]

    def configure(self, master: Server, replica: Server, others: list[Sentinel]) -> None:
        """Write down the server to watch, and its Sentinels: what it would find out by itself in seconds."""
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            "protected-mode no",
            f"dir {self.folder}",
            f"sentinel myid {self.identity}",
            f"sentinel monitor {NAME} {master.host} {master.port} {QUORUM}",
            f"sentinel down-after-milliseconds {NAME} {1_000 * PATIENT_S}",
            f"sentinel failover-timeout {NAME} {FAILOVER_TIMEOUT_MS}",
            f"sentinel known-replica {NAME} {replica.host} {replica.port}",
            *(f"sentinel known-sentinel {NAME} {one.host} {one.port} {one.identity}" for one in others),
        ]
        self.file.write_text("\n".join(lines) + "\n")

    def start(self, *, loaded: bool = True, patience_s: float = PATIENCE_S) -> None:
        super().start(loaded=loaded, patience_s=patience_s)
        self.client.execute_command("SENTINEL", "DEBUG", *(word for pair in TIMES.items() for word in pair))

    def named(self) -> int:
        """Return the port of what it says is the master."""
        address = self.client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(address[1])

    def bear(self, seconds: float) -> None:
        """Count the master, and whatever belongs to it, as down after so long a silence."""
        milliseconds = round(1_000 * seconds)
        self.client.execute_command("SENTINEL", "SET", NAME, "down-after-milliseconds", milliseconds)

    def is_calm(self) -> bool:
        """Return whether it sees a master to which nothing happens."""
        return self.seen("MASTER")["flags"] == "master"

    def sees_all(self, replica: Server) -> bool:
        """Return whether it sees both servers in their roles, and both other sentinels."""
        (below,) = map(_fields, self.client.execute_command("SENTINEL", "REPLICAS", NAME))
        return (
            self.is_calm()
            and self.seen("MASTER")["num-other-sentinels"] == "2"
            and (below["flags"], below["port"]) == ("slave", str(replica.port))
            and below["master-link-status"] == "ok"
        )

    def seen(self, what: str) -> dict[str, str]:
        """Return what it says of the master in answer to a command such as `MASTER`."""
        return _fields(self.client.execute_command("SENTINEL", what, NAME))


class Sentinels:
    """Two servers and the three that watch them, from `start` to `stop`.

    Attributes:
        servers: the two servers, in either role.
        watchers: the sentinels.
    """

    def __init__(self, binary: Binary, options: Options | None = None) -> None:
        master = Server(binary, options)
        replica = Server(binary, {**(options or {}), "replicaof": f"{master.host} {master.port}"})
        self.servers = [master, replica]
        self.watchers = [Sentinel(binary) for _ in range(3)]

    @property
    def name(self) -> str:
        """What the sentinels call the master."""
        return NAME

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The sentinels' addresses, as client libraries take them."""
        return [(one.host, one.port) for one in self.watchers]

    def start(self) -> None:
        """Start all five; returns when each sentinel would lead a failover."""
        master, replica = self.servers
        for server in self.servers:
            server.start()
        for one in self.watchers:
            one.configure(master, replica, [other for other in self.watchers if other is not one])
            one.start()
        until(self.is_well, "the sentinels to be well")

    def stop(self) -> None:
        for server in (*self.servers, *self.watchers):
            server.stop()

    def master(self) -> Server:
        """Return the running server that is master and that all running sentinels name."""
        named = {one.named() for one in self._running()}
        for server in self.servers:
            if named == {server.port} and server.is_running and _role(server) == "master":
                return server
        raise LookupError(f"the sentinels name {sorted(named)}, which is no running master")

    def fail_over(self) -> Server:
        """Kill the master and return the other server once all sentinels name it.

        With the old master restarted, they make it a replica of the new one (`settle`).
        Nothing else makes them fail over: at all other times they are patient.
        """
        old = self.master()
        old.kill()
        return self.elect(old)

    def elect(self, old: Server) -> Server:
        """Let the sentinels notice that the master was killed; return the other once all name it."""
        heir = next(server for server in self.servers if server is not old)
        # They choose no replica that missed its master for more than ten times what they bear.
        missed_s = heir.client.info("replication").get("master_link_down_since_seconds", 0)
        with self.impatient(IMPATIENT_S + missed_s / 5):
            until(lambda: self._is_elected(heir), f"{heir!r} to be elected")
        # One that began a failover in its last impatient moment gives it up: the old master is dead.
        until(lambda: all(one.is_calm() for one in self._running()), "the sentinels to be calm")
        return heir

    @contextmanager
    def impatient(self, down_after_s: float = IMPATIENT_S) -> Iterator[None]:
        """Let the sentinels meanwhile count a server, or one of them, as down after so short a silence."""
        try:
            for one in self._running():
                one.bear(down_after_s)
            yield
        finally:
            for one in self._running():
                one.bear(PATIENT_S)

    def settle(self) -> None:
        """Wait until one is master, the other its replica in step, and the sentinels know."""
        until(self.is_well, "the sentinels to be well")

    def is_well(self) -> bool:
        """Return whether both servers are in their roles and every sentinel sees that."""
        try:
            master = self.master()
            replica = next(server for server in self.servers if server is not master)
            link = replica.client.info("replication")
            if link.get("master_port") != master.port or link["master_link_status"] != "up":
                return False
            return all(one.sees_all(replica) for one in self.watchers)
        except (LookupError, RedisError):
            return False

    def _is_elected(self, heir: Server) -> bool:
        return {one.named() for one in self._running()} == {heir.port} and _role(heir) == "master"

    def _running(self) -> list[Sentinel]:
        return [one for one in self.watchers if one.is_running]


def _role(server: Server) -> str:
    return str(server.client.info("replication")["role"])


def _fields(reply: dict[str, str] | list[str]) -> dict[str, str]:
    """Return a reply of names and values as a mapping, which the older protocol sends as a list."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
