"""A real cluster of three masters with a replica each, joined as an operator would join it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from redis.crc import key_slot
from redis.exceptions import RedisError

from tests.support.redis.binary import Binary
from tests.support.redis.patience import until
from tests.support.redis.server import Options, Server

SLOTS = 16_384
PATIENT_MS = 3_600_000
"""After which a silent node counts as failed but during what a test asks for.

A busy machine stops any process for seconds, and the others would take it for a dead one.
"""
IMPATIENT_MS = 1_000
"""The same while one is to be noticed. An election takes another 0.5 to 1 s."""
PING_MS = 500
"""How often nodes talk to each other; by itself half of what they bear."""
UNWELL = frozenset({"handshake", "fail", "fail?", "noaddr"})
"""What a node says of another that it does not know or that does not answer."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A node as another one sees it: a line of CLUSTER NODES.

    Attributes:
        master: the node it replicates, or an empty text for a master.
        slots: the ranges it owns, both ends included.
        open_slots: slots it is giving away or taking over.
    """

    identity: str
    port: int
    flags: frozenset[str]
    master: str
    slots: tuple[range, ...]
    open_slots: tuple[int, ...]

    @classmethod
    def parse(cls, line: str) -> Peer:
        identity, address, flags, master, _ping, _pong, _epoch, _link, *owned = line.split()
        ranges, opened = [], []
        for word in owned:
            if word.startswith("["):
                opened.append(int(word[1:].split("-", 1)[0]))
            else:
                first, _, last = word.partition("-")
                ranges.append(range(int(first), int(last or first) + 1))
        port = int(address.split("@")[0].rpartition(":")[2])
        return cls(
            identity, port, frozenset(flags.split(",")), master.strip("-"), tuple(ranges), tuple(opened)
        )


class Cluster:
    """Six servers that are one cluster, from `start` to `stop`.

    Attributes:
        nodes: the servers; the first three were made masters, and the replica
            of `nodes[n]` is `nodes[n + 3]`. Failovers change roles, not places.
    """

    def __init__(
        self,
        binary: Binary,
        options: Options | None = None,
        *,
        masters: int = 3,
    ) -> None:
        settings: Options = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": IMPATIENT_MS,  # patience would have it wait for longer before it starts
            "cluster-ping-interval": PING_MS,
            "cluster-replica-no-failover": "yes",  # but in `fail_over`
            "cluster-announce-ip": "127.0.0.1",
            "cluster-allow-replica-migration": "no",  # each master keeps the one it was given
            "cluster-replica-validity-factor": 0,  # a replica stands for election however long it was alone
            **(options or {}),
        }
        self.binary = binary
        self.nodes = [Server(binary, settings) for _ in range(2 * masters)]
        self._masters = masters
        self._identities: dict[str, Server] = {}

    @property
    def url(self) -> str:
        """The address of one running node; clients learn the others from it."""
        return next(node.url for node in self.nodes if node.is_running)

    @property
    def cluster_url(self) -> str:
        """The same as a policy names a cluster."""
        return self.url.replace("redis://", "redis+cluster://").removesuffix("/0")

    def start(self) -> None:
        """Start and join the nodes; returns when all of them agree that the cluster is well."""
        for node in self.nodes:
            node.start()
        self._identities = {str(node.ask("CLUSTER", "MYID")): node for node in self.nodes}
        masters, replicas = self.nodes[: self._masters], self.nodes[self._masters :]
        for number, node in enumerate(self.nodes, 1):
            # Epochs of their own spare them to settle which node's configuration is the newer.
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number)
        edges = [SLOTS * number // self._masters for number in range(self._masters + 1)]
        for number, node in enumerate(masters):
            first, last = edges[number], edges[number + 1] - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        for number, node in enumerate(self.nodes):
            # Every pair, not a chain: gossip would find the rest, a second later.
            for other in self.nodes[:number]:
                node.ask("CLUSTER", "MEET", other.host, other.port)
        until(lambda: all(self._knows_all(node) for node in self.nodes), "all nodes to have met")
        for master, replica in zip(masters, replicas, strict=True):
            replica.ask("CLUSTER", "REPLICATE", self.identity(master))
        with self.impatient():
            self._wait(self.is_well, "the cluster to be well")
        self.settle()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def settle(self) -> None:
        """Wait until all nodes run, are in touch and say that the cluster is well.

        Raises:
            TimeoutError: they do not; with what each of them sees.
        """
        self._come_to(self.is_well, "the cluster to be well", self.nodes)

    def reset(self) -> None:
        """Bring back nodes that were killed or paused, close open slots, and empty all."""
        for node in self.nodes:
            if node.is_running:
                node.resume()
            else:
                node.start()
        for node in self.nodes:
            node.restore()
        self.settle()
        self._close_slots()
        for node in self.masters():
            node.reset()

    def identity(self, node: Server) -> str:
        """Return a node's name in the cluster."""
        return next(name for name, one in self._identities.items() if one is node)

    def peers(self, seen_by: Server) -> list[Peer]:
        """Return all nodes as that one sees them."""
        text = str(seen_by.ask("CLUSTER", "NODES"))
        return [Peer.parse(line) for line in text.splitlines()]

    def peer(self, node: Server) -> Peer:
        """Return a node as it sees itself."""
        return next(peer for peer in self.peers(node) if "myself" in peer.flags)

    def masters(self) -> list[Server]:
        """Return the running nodes that are masters with slots by their own account."""
        return [node for node, peer in self._running() if "master" in peer.flags and peer.slots]

    def replica(self, master: Server) -> Server:
        """Return the running replica of a master, which itself may be dead."""
        name = self.identity(master)
        return next(node for node, peer in self._running() if peer.master == name)

    def owner(self, key: str | bytes) -> Server:
        """Return the running master that owns a key's slot."""
        return self.owner_of(slot_of(key))

    def owner_of(self, slot: int) -> Server:
        """Return the running master that owns a slot."""
        for node, peer in self._running():
            if "master" in peer.flags and any(slot in owned for owned in peer.slots):
                return node
        raise LookupError(f"no running master owns slot {slot}")

    def fail_over(self, master: Server, *, by: Callable[[Server], None] = Server.kill) -> Server:
        """Make a master fail and return its replica once that is master in all others' eyes.

        Nothing else makes a replica take over, however long its master is silent.

        Args:
            by: what happens to the master: `Server.kill` or `Server.pause`.
        """
        heir = self.replica(master)
        name, slots = self.identity(heir), self.peer(master).slots
        others = [node for node in self.nodes if node.is_running and node is not master]
        alive = {self.identity(node) for node in others}
        by(master)
        heir.client.config_set("cluster-replica-no-failover", "no")

        def is_elected() -> bool:
            for node in others:
                peers = {peer.identity: peer for peer in self.peers(node)}
                if peers[name].slots != slots or any(peers[one].flags & UNWELL for one in alive):
                    return False
            return all(self._info(node)["cluster_state"] == "ok" for node in others)

        self._come_to(is_elected, f"{heir!r} to be elected", others)
        heir.client.config_set("cluster-replica-no-failover", "yes")
        return heir

    @contextmanager
    def impatient(self, nodes: Sequence[Server] | None = None) -> Iterator[None]:
        """Let nodes, by default all that run, count others as failed meanwhile after a short silence."""
        awake = [node for node in self.nodes if node.is_running] if nodes is None else nodes
        try:
            for node in awake:
                node.client.config_set("cluster-node-timeout", IMPATIENT_MS)
            yield
        finally:
            for node in awake:
                node.client.config_set("cluster-node-timeout", PATIENT_MS)

    def announce(self, node: Server, port: int) -> None:
        """Make the cluster name another port as that node's, such as a proxy's; its own takes it back.

        Clients and the node's replica then come through there; the nodes' own bus does not.
        """
        node.client.config_set("cluster-announce-port", 0 if port == node.port else port)
        name = self.identity(node)

        def is_known() -> bool:
            return all(
                peer.port == port
                for other in self.nodes
                if other.is_running
                for peer in self.peers(other)
                if peer.identity == name
            )

        until(is_known, f"the cluster to name port {port}")

    def is_well(self) -> bool:
        """Return whether all nodes agree: all slots served, one replica each, all connections up."""
        try:
            if not all(self._knows_all(node) and _is_in_step(node) for node in self.nodes):
                return False
        except RedisError:  # such as LOADING: a replica takes over its master's data
            return False
        peers = self.peers(self.nodes[0])
        followed = sorted(peer.master for peer in peers if peer.master)
        return followed == sorted(peer.identity for peer in peers if peer.slots) and self.is_agreed()

    def is_agreed(self) -> bool:
        """Return whether all running nodes name the same owners, roles, ports and epoch.

        A slot that moves on before that can leave two masters with one epoch, and nodes that
        believe the earlier owner.
        """
        views, epochs = [], set()
        for node in self.nodes:
            if node.is_running:
                info = self._info(node)
                if info["cluster_state"] != "ok":
                    return False
                epochs.add(info["cluster_current_epoch"])
                peers = self.peers(node)
                views.append({peer.identity: (peer.master, peer.slots, peer.port) for peer in peers})
        return len(epochs) == 1 and all(view == views[0] for view in views)

    def _come_to(self, is_so: Callable[[], bool], what: str, nodes: Sequence[Server]) -> None:
        """Wait, with impatient nodes, for what then holds with patient ones.

        Nodes take twice as long to forget a failure as to notice one: the last impatient
        moment may leave none behind.
        """
        while not is_so():
            with self.impatient(nodes):
                self._wait(is_so, what)

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        try:
            until(is_so, what)
        except TimeoutError as error:
            for node in self.nodes:
                if node.is_running:
                    error.add_note(f"{node!r}:\n{node.ask('CLUSTER', 'NODES')}")
            raise

    def _close_slots(self) -> None:
        """Only masters may be told, and Valkey's pass it on: a replica has its master's slots open too."""

        def opened() -> set[int]:
            return {slot for node in self.nodes for slot in self.peer(node).open_slots}

        for slot in opened():
            for node in self.masters():
                node.ask("CLUSTER", "SETSLOT", slot, "STABLE")
        until(lambda: not opened(), "replicas to have closed their slots")

    def _running(self) -> Iterator[tuple[Server, Peer]]:
        for node in self.nodes:
            if node.is_running:
                yield node, self.peer(node)

    def _knows_all(self, node: Server) -> bool:
        peers = self.peers(node)
        return len(peers) == len(self.nodes) and not any(peer.flags & UNWELL for peer in peers)

    def _info(self, node: Server) -> dict[str, str]:
        text = str(node.ask("CLUSTER", "INFO"))
        return dict(line.split(":", 1) for line in text.split())


def slot_of(key: str | bytes) -> int:
    """Return the slot of a key, by its hash tag if it has one."""
    return int(key_slot(key.encode() if isinstance(key, str) else key))


def _is_in_step(node: Server) -> bool:
    replication = node.client.info("replication")
    return bool(replication["role"] == "master" or replication["master_link_status"] == "up")
