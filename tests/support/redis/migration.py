"""Moving a slot from one master to another, in the steps an operator's tool takes."""

from __future__ import annotations

from tests.support.redis.cluster import Cluster
from tests.support.redis.patience import until
from tests.support.redis.server import Server

TIMEOUT_MS = 5_000


class Migration:
    """A slot under way between two masters.

    Between `begin` and `finish` the source answers for keys it still has, and
    ASK for all others; after `finish` it answers MOVED.

    Args:
        slot: the slot; its present owner is the source.
        target: a master that is to own it.
    """

    def __init__(self, cluster: Cluster, slot: int, target: Server) -> None:
        self.slot = slot
        self.source = cluster.owner_of(slot)
        self.target = target
        self._cluster = cluster
        if target is self.source:
            raise ValueError(f"{target!r} owns slot {slot} already")

    def begin(self) -> None:
        """Open the slot on both sides."""
        self._set(self.target, "IMPORTING", self._cluster.identity(self.source))
        self._set(self.source, "MIGRATING", self._cluster.identity(self.target))

    def move(self, limit: int = 100) -> int:
        """Move at most so many keys; return how many were there to move."""
        keys = self.source.client.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot, limit)
        if keys:
            self.source.client.execute_command(
                "MIGRATE", self.target.host, self.target.port, "", 0, TIMEOUT_MS, "KEYS", *keys
            )
        return len(keys)

    def finish(self) -> None:
        """Move the keys that are left and give the slot to the target; return when all nodes know."""
        while self.move():
            pass
        name = self._cluster.identity(self.target)
        # The target first: were it the last to know, both could send clients to each other meanwhile.
        others = [node for node in self._cluster.masters() if node not in (self.target, self.source)]
        for node in (self.target, self.source, *others):
            self._set(node, "NODE", name)
        until(self._cluster.is_agreed, f"all nodes to know that slot {self.slot} is {self.target!r}'s")

    def run(self) -> None:
        """Do it all."""
        self.begin()
        self.finish()

    def _set(self, node: Server, state: str, name: str) -> None:
        node.client.execute_command("CLUSTER", "SETSLOT", self.slot, state, name)
