"""The record on a server of which shares of budgets were told: the first host that asks tells.

A call without an answer may have claimed. So a claim has the name of its worker, which looks for it when it
asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_bytes
from typing import TYPE_CHECKING, Any

from ratelimit.errors import StoreError
from ratelimit.stores.redis.caller import ServerCaller

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

LONGEST_MS = 400 * 86_400_000
FOREVER_MS = 1000 * LONGEST_MS
"""Beyond this the end is that of a lifetime, of which each share is told once."""
Claim = tuple[int, int, int, int]
"""A counter, the end of its window in seconds, the number of a share, and the milliseconds until that end."""


class ServerClaims:
    """One worker's claims.

    Args:
        remote: which server.
    """

    def __init__(self, remote: RemoteSpec) -> None:
        self._caller = ServerCaller(remote)
        self._prefix = remote.prefix
        self._name = token_bytes(8)
        self._doubtful: set[str] = set()
        self.close = self._caller.close

    def claim(self, claims: Sequence[Claim]) -> list[bool]:
        """Return which of these nobody has claimed before.

        Raises:
            StoreError: code `redis-unreachable`; they may or may not have been claimed.
        """

        # One key for each: a cluster has them on all its nodes, and each lapses by itself.
        keys = [f"{self._prefix}:told:{counter:016x}:{end_s}:{share}" for counter, end_s, share, _ in claims]

        async def claimed(client: Any) -> list[bool]:
            found = []
            for key, (_, _, _, left_ms) in zip(keys, claims, strict=True):
                lasts = () if left_ms > FOREVER_MS else ("PX", min(max(1000, left_ms), LONGEST_MS))
                is_mine = await client.execute_command("SET", key, self._name, "NX", *lasts)
                if not is_mine and key in self._doubtful:
                    is_mine = await client.execute_command("GET", key) == self._name
                found.append(bool(is_mine))
            return found

        try:
            answers: list[bool] = self._caller.call(claimed)
        except StoreError:
            self._doubtful.update(keys)
            raise
        self._doubtful.difference_update(keys)
        return answers
