"""Signs of life of all workers, the share of each limit that a host has, and whether all hash alike.

A host's share is all of each limit if no other host shares the server, and else one half. All workers of a
host have it together. So an honest caller may come to any worker of any host, and change in mid-outage.
It is not refused as long as it keeps within half of its limits. *H* hosts let through *H*/2 limits at most.
A share that followed the traffic could be led by it; decision 17 has the comparison.

The number of hosts lies in the host's memory, for all of its workers, also for those that start while the
server is away. It rises at once. It falls only after the server has answered for half a minute without a
break and heard of fewer hosts: after an outage, hosts come back one by one.

With its sign a worker leaves the mark of its hash key. For a worker that hashes with another key
counts the same callers under other names, and grants each of them its budget once more.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from ratelimit.core.memory.host import host_of, hosts_in, set_hosts
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.redis.transport.resp import numbers_in

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec
    from ratelimit.stores.redis.protocols import ServerLink, Worker

SCRIPT = (files("ratelimit.stores.redis.fallback") / "scripts" / "fair_share.lua").read_bytes()
_FAREWELL = b"return redis.call('HDEL', KEYS[1], ARGV[1])"
SHARE = 0.5
"""Part of each limit that a host has beside others, or before it knows whether there are others."""
GONE_AFTER_US = 30_000_000
"""A worker that ended without a word is missed so long; one that ends in order says so."""
FEWER_AFTER_NS = GONE_AFTER_US * 1000
"""So long without a break the server has to say that there are fewer hosts."""
READERS_A_SECOND = 50
"""Every beat reads all workers' signs: the more there are, the rarer beats become."""
HOST_BITS = 52

MOST_WORKERS = 1_000_000
"""More there are not. A number beyond is a fault, and would have this worker ask no more."""
_SENSE = (range(1, MOST_WORKERS + 1), range(1, MOST_WORKERS + 1), range(MOST_WORKERS + 1))
"""What the script may say: workers, their hosts, workers with another key."""

_SIGN = struct.Struct("<dd")


class Sign(NamedTuple):
    """The report of a worker about itself: its host, and the mark of its hash key."""

    host: float
    mark: str


MILLIONTHS = 1_000_000


def part_of(number: int, millionths: int) -> int:
    """Return a share of a limit's number, rounded up as `Rule.scaled` does."""
    return -(-number * millionths // MILLIONTHS)


def share_of(hosts: int) -> float:
    """Return the part of each limit that a host lets through while the server is away."""
    return 1.0 if hosts == 1 else SHARE


def signs_key(spec: RemoteSpec) -> bytes:
    """Return the name under which all workers leave their signs."""
    name = "{workers}" if spec.topology == "cluster" else "workers"
    return f"{spec.prefix}:{name}".encode()


def mark_of(key: bytes) -> str:
    """Return what says which hash key it is, without telling it."""
    return fingerprint_of(key)[:8].hex()


def signs_in(signs: Iterable[bytes], now_us: int) -> list[Sign]:
    """Return the signs that workers have left of late."""
    found = []
    for sign in signs:
        if len(sign) >= _SIGN.size:
            seen_us, host = _SIGN.unpack_from(sign)
            if abs(now_us - seen_us) <= GONE_AFTER_US:
                found.append(Sign(host, sign[_SIGN.size :].decode("ascii", "replace")))
    return found


class FairShare:
    """Gives a worker's sign of life, and learns how many hosts share the server.

    Args:
        store: the worker, as its server and its host know it.
    """

    def __init__(self, store: Worker) -> None:
        self._store = store
        self._key = signs_key(store.spec)
        self._mark = mark_of(store.table.key)
        self.workers = 0
        """How many there are on all hosts, 0 as long as it is not known."""
        self._skip = 0
        self._fewer_since_ns: int | None = None

    @property
    def hosts(self) -> int:
        """The number of hosts, 0 as long as no worker of this host knows."""
        hosts = hosts_in(self._store.table)
        return hosts if hosts <= MOST_WORKERS else 0  # else the memory is damaged

    @property
    def share(self) -> float:
        """This host's part of each limit."""
        return share_of(self.hosts)

    def pause(self, beats: int) -> None:
        """Leave out so many beats."""
        self._skip = beats

    def begin_anew(self) -> None:
        """Note that the server was away: other hosts may not have given a sign yet."""
        self._fewer_since_ns = None

    async def beat(self, batch_client: ServerLink) -> None:
        """Give a sign, and learn.

        Raises:
            redis.exceptions.RedisError, OSError: the server cannot be asked, or says what makes no
                sense. What was known stays.
        """
        if self._skip:
            self._skip -= 1
            return
        store = self._store
        host = host_of(store.table, secrets.randbits(HOST_BITS) | 1) & ((1 << HOST_BITS) - 1)
        try:
            workers, hosts, strangers = numbers_in(
                await batch_client.evaluate(
                    SCRIPT, [self._key], [str(store.worker), str(host), str(GONE_AFTER_US), self._mark]
                ),
                _SENSE,
            )
        except BaseException:
            self.begin_anew()
            raise
        self.workers = workers
        self._learn(min(hosts, workers), store.clock.now_ns())
        self._skip = workers // READERS_A_SECOND
        if strangers and store.diagnose is not None:
            store.diagnose("redis-key")

    def _learn(self, hosts: int, now_ns: int) -> None:
        if hosts >= self.hosts:
            set_hosts(self._store.table, hosts)
            self._fewer_since_ns = None
        elif self._fewer_since_ns is None or now_ns < self._fewer_since_ns:
            self._fewer_since_ns = now_ns
        elif now_ns - self._fewer_since_ns >= FEWER_AFTER_NS:
            set_hosts(self._store.table, hosts)
            self._fewer_since_ns = None

    async def leave(self, batch_client: ServerLink) -> None:
        """Say that this worker ends: it is missed no longer.

        Raises:
            redis.exceptions.RedisError, OSError, TimeoutError: the server cannot be asked.
        """
        await batch_client.evaluate(_FAREWELL, [self._key], [str(self._store.worker)])
