"""The hosts before one back end, as a server knows them: one small message from each, some times a second.

One call says what this host has, leases it a part of what may wait, and returns what the others said. The
server keeps no more than the last message of each host, and forgets all of them ten seconds after the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ratelimit.load.model.hosts import ALIVE_NS, LEAST_DEMAND, HostMessage, ServerReply
from ratelimit.parsing.json import JsonError, JsonReader
from ratelimit.stores.redis.caller import ServerCaller
from ratelimit.stores.redis.hosts.fencing import LOAD
from ratelimit.stores.redis.hosts.keys import Places

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

MOST_BYTES = 16_384
"""A message that is longer is none of ours."""
_READER = JsonReader(HostMessage)


class ServerLoad:
    """One host's part of it, for all of its limits.

    Args:
        remote: which server.
    """

    def __init__(self, remote: RemoteSpec) -> None:
        self._caller = ServerCaller(remote)
        self._places = Places(remote.prefix)
        self.close = self._caller.close

    def exchange(self, group: str, name: str, told: HostMessage, waiting: int) -> ServerReply:
        """Say what this host has before the back end of a limit, and return the server's answer.

        Args:
            group: the limit's name.
            name: the host's.
            told: its message.
            waiting: how many may be without a first byte, of all hosts.

        Raises:
            StoreError: code `redis-unreachable`; the others may or may not hear of it.
        """
        words = (
            name, told.unanswered, told.wanted, repr(told.demand), waiting, ALIVE_NS // 1_000_000,
            repr(LEAST_DEMAND), msgspec.json.encode(told),
        )  # fmt: skip

        async def exchanged(client: Any) -> ServerReply:
            now_ms, lease, share, *pairs = await LOAD.run(client, (self._places.load(group),), words)
            said = (_said(said) for said in pairs[1::2])
            names = (bytes(each).decode("utf-8", "replace") for each in pairs[::2])
            hosts = {each: one for each, one in zip(names, said, strict=True) if one is not None}
            return ServerReply(int(now_ms), int(lease), float(share), hosts)

        found: ServerReply = self._caller.call(exchanged)
        return found

    def leave(self, group: str, name: str) -> None:
        """Say that this host is gone: the others have its part at once.

        Raises:
            StoreError: code `redis-unreachable`.
        """

        async def left(client: Any) -> None:
            await LOAD.run(client, (self._places.load(group),), (name, 0, 0, "0", 0, 1, "0", ""))

        self._caller.call(left)


def _said(said: bytes) -> tuple[int, HostMessage] | None:
    """Return when a host spoke, and what it said; None for what another release says."""
    at_ms, _, text = bytes(said).partition(b" ")
    if len(text) > MOST_BYTES:
        return None
    try:
        return int(at_ms), _READER.read(text)
    except (JsonError, ValueError):
        return None
