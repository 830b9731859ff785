"""The conduct of accounts and clusters on all hosts that share a server.

The server has the word of each key, and applies the strikes of all hosts to it, one after the other. So
two that strike at one instant count twice. Hosts tell what struck and read what changed in one call,
made by a thread of its own. Requests go by the host's memory and never wait for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ratelimit.conduct.model.strikes import (
    BETWEEN_S,
    FORGET_S,
    FREE_EIGHTHS,
    HALF_LIFE_S,
    MOST_HALF_LIFE_S,
    SECOND_NS,
    Conduct,
    News,
    Shared,
)
from ratelimit.stores.redis.caller import ServerCaller
from ratelimit.stores.redis.hosts.fencing import CONDUCT
from ratelimit.stores.redis.hosts.keys import Places

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

MOST_KEYS = 65_536
"""Accounts and clusters that the server remembers; those that struck longest ago make room."""
MOST_READ = 500
"""Changes in one reply; the others come with the next."""
LASTS_MS = 60 * 86_400_000
"""After so long without a strike the server forgets all: what was lost came back long before."""
NONE = "-"
BY_CALLS = 8
"""Among the bits of kinds: the key is that of an account at a limit."""


class ServerConduct:
    """One host's part of it.

    Args:
        remote: which server.
    """

    def __init__(self, remote: RemoteSpec) -> None:
        self._caller = ServerCaller(remote)
        places = Places(remote.prefix)
        self._keys = (places.conduct, places.conduct_changes, places.conduct_number)
        self._known = 0
        self.close = self._caller.close

    def exchange(self, news: Sequence[News]) -> list[Shared]:
        """Tell what struck here, and return what changed on any host since the last call.

        At most 500 changes; the next call has those that follow.

        Raises:
            StoreError: code `redis-unreachable`; the news may or may not have been told.
        """
        told: list[str | int] = []
        for each in news:
            owner = f"{each.owner:x}" if each.owner else NONE
            told += (each.now_ns // SECOND_NS, f"{each.key:x}", owner, 1 << each.kind)
        numbers = (
            MOST_KEYS, MOST_READ, LASTS_MS, HALF_LIFE_S, MOST_HALF_LIFE_S, FORGET_S, BETWEEN_S, FREE_EIGHTHS
        )  # fmt: skip

        async def exchanged(client: Any) -> tuple[int, list[Shared]]:
            last, *pairs = await CONDUCT.run(client, self._keys, (self._known, *numbers, *told))
            return int(last), [
                _shared(key, said) for key, said in zip(pairs[::2], pairs[1::2], strict=True) if said
            ]

        found: list[Shared]
        self._known, found = self._caller.call(exchanged)
        return found


def _shared(key: bytes, said: bytes) -> Shared:
    lost, eighths, kinds, second, owner = bytes(said).split()
    by_calls = bool(int(kinds) & BY_CALLS)
    word = Conduct(
        int(lost) & 0xFFFF, int(eighths) & 0xFF, int(kinds) & 0x7, int(second) & 0xFFFF_FFFF, by_calls
    )
    return Shared(
        int(key, 16) & (1 << 64) - 1,
        word.pack(),
        0 if owner == NONE.encode() else int(owner, 16) & (1 << 64) - 1,
    )
