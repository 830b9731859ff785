"""A master with a replica, and three sentinels that watch them."""

from __future__ import annotations

import secrets

from redis.exceptions import RedisError

from tests.support.redis.binary import Binary
from tests.support.redis.patience import PATIENCE_S, until
from tests.support.redis.server import Options, Server

NAME = "primary"
DOWN_AFTER_MS = 1_000
"""After which a silent master counts as down: longer than a busy machine keeps one from running."""
FAILOVER_TIMEOUT_MS = 3_000
PERIODS_MS = {"info-period": 100, "publish-period": 100, "ask-period": 100}
"""How often sentinels look around and talk: by default every 10, 2 and 1 seconds."""
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
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {NAME} {FAILOVER_TIMEOUT_MS}",
            f"sentinel known-replica {NAME} {replica.host} {replica.port}",
            *(f"sentinel known-sentinel {NAME} {one.host} {one.port} {one.identity}" for one in others),
        ]
        self.file.write_text("\n".join(lines) + "\n")

    def start(self, *, loaded: bool = True, patience_s: float = PATIENCE_S) -> None:
        super().start(loaded=loaded, patience_s=patience_s)
        self.client.execute_command(
            "SENTINEL", "DEBUG", *(word for pair in PERIODS_MS.items() for word in pair)
        )

    def named(self) -> int:
        """Return the port of what it says is the master."""
        address = self.client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(address[1])


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
        named = {one.named() for one in self.watchers if one.is_running}
        for server in self.servers:
            if named == {server.port} and server.is_running and _role(server) == "master":
                return server
        raise LookupError(f"the sentinels name {sorted(named)}, which is no running master")

    def fail_over(self) -> Server:
        """Kill the master and return the other server once all sentinels name it.

        With the old master restarted, they make it a replica of the new one (`settle`).
        """
        old = self.master()
        old.kill()
        return self.wait_for_heir(old)

    def be_patient_for(self, seconds: float) -> None:
        """Count a master as down when it was silent for so long."""
        for one in self.watchers:
            one.client.execute_command(
                "SENTINEL", "SET", NAME, "down-after-milliseconds", int(seconds * 1000)
            )

    def wait_for_heir(self, old: Server) -> Server:
        """Return the server that all sentinels name in place of a killed master, once they do."""
        heir = next(server for server in self.servers if server is not old)

        def is_elected() -> bool:
            named = {one.named() for one in self.watchers if one.is_running}
            return named == {heir.port} and _role(heir) == "master"

        until(is_elected, f"{heir!r} to be elected")
        return heir

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
            return all(_sees_all(one, replica) for one in self.watchers)
        except (LookupError, RedisError):
            return False


def _role(server: Server) -> str:
    return str(server.client.info("replication")["role"])


def _sees_all(sentinel: Sentinel, replica: Server) -> bool:
    seen = _fields(sentinel.client.execute_command("SENTINEL", "MASTER", NAME))
    (below,) = map(_fields, sentinel.client.execute_command("SENTINEL", "REPLICAS", NAME))
    return (
        (seen["flags"], seen["num-other-sentinels"]) == ("master", "2")
        and (below["flags"], below["port"]) == ("slave", str(replica.port))
        and below["master-link-status"] == "ok"
    )


def _fields(reply: dict[str, str] | list[str]) -> dict[str, str]:
    """Return a reply of names and values as a mapping, which the older protocol sends as a list."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
