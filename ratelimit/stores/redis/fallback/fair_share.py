"""Each worker's sign of life, what its fair share of the traffic is, and whether all hash alike.

Nine tenths of a worker's share are what it has had of all workers' decisions in the last ten
seconds or so. The last tenth is the same for all workers, so that traffic that moves to an
idle worker finds something there. All shares together are one.

With its sign a worker leaves the mark of its hash key. For a worker that hashes with another key
counts the same callers under other names, and grants each of them its budget once more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING

from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.redis.transport.resp import numbers_in

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec
    from ratelimit.stores.redis.protocols import Asking, Worker

SCRIPT = (files("ratelimit.stores.redis.fallback") / "scripts" / "fair_share.lua").read_bytes()
_FAREWELL = b"return redis.call('HDEL', KEYS[1], ARGV[1])"
FOR_EVERYBODY = 0.1
GONE_AFTER_US = 30_000_000
"""A worker that ended without a word is missed so long; one that ends in order says so."""
READERS_A_SECOND = 50
"""Every beat reads all workers' signs: the more there are, the rarer beats become."""

MOST_WORKERS = 1_000_000
"""More there are not. A number beyond is a fault, and would have this worker ask no more."""
_SENSE = (range(1, MOST_WORKERS + 1), range(1_000_001), range(MOST_WORKERS + 1))
"""What the script may say: workers, this one's millionths of their decisions, workers with another key."""

_SIGN = struct.Struct("<dd")


def signs_key(spec: RemoteSpec) -> bytes:
    """Return the name under which all workers leave their signs."""
    name = "{workers}" if spec.topology == "cluster" else "workers"
    return f"{spec.prefix}:{name}".encode()


def mark_of(key: bytes) -> str:
    """Return what says which hash key it is, without telling it."""
    return fingerprint_of(key)[:8].hex()


def marks_in(signs: Iterable[bytes], now_us: int) -> list[str]:
    """Return the marks of the workers that have left a sign of late."""
    return [
        sign[_SIGN.size :].decode("ascii", "replace")
        for sign in signs
        if len(sign) >= _SIGN.size and abs(now_us - _SIGN.unpack_from(sign)[0]) <= GONE_AFTER_US
    ]


class FairShare:
    """Reports how many decisions a worker made, and learns its share.

    Args:
        store: the worker that reports, as its server and its host know it.
    """

    def __init__(self, store: Worker) -> None:
        self._store = store
        self._key = signs_key(store.spec)
        self._mark = mark_of(store.table.key)
        self.made = 0
        """Decisions since the last report."""
        self.workers = 0
        """How many there are, 0 as long as it is not known."""
        self._share = 0.0
        self._skip = 0

    @property
    def share(self) -> float:
        """The fair share; before the server has said it, as if there were only this host's workers."""
        if self.workers:
            return self._share
        return 1.0 / max(1, self._store.table.seated)

    def pause(self, beats: int) -> None:
        """Leave out so many beats."""
        self._skip = beats

    async def beat(self, batch_client: Asking) -> None:
        """Report and learn.

        Raises:
            redis.exceptions.RedisError, OSError: the server cannot be asked, or says what makes no
                sense. What was known stays.
        """
        if self._skip:
            self._skip -= 1
            return
        self.made += self._store.made_from_leases()
        made, self.made = self.made, 0
        try:
            workers, millionths, strangers = numbers_in(
                await batch_client.evaluate(
                    SCRIPT, [self._key], [str(self._store.worker), str(made), str(GONE_AFTER_US), self._mark]
                ),
                _SENSE,
            )
        except BaseException:
            self.made += made
            raise
        self.workers = workers
        self._share = (1 - FOR_EVERYBODY) * millionths / 1e6 + FOR_EVERYBODY / workers
        self._skip = workers // READERS_A_SECOND
        if strangers and self._store.diagnose is not None:
            self._store.diagnose("redis-key")

    async def leave(self, batch_client: Asking) -> None:
        """Say that this worker ends: its share is the others' at once.

        Raises:
            redis.exceptions.RedisError, OSError, TimeoutError: the server cannot be asked.
        """
        await batch_client.evaluate(_FAREWELL, [self._key], [str(self._store.worker)])
