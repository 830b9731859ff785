"""The record on a server of which shares of budgets were told: the first host that asks tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
        self.close = self._caller.close

    def claim(self, claims: Sequence[Claim]) -> list[bool]:
        """Return which of these nobody has claimed before.

        Raises:
            StoreError: code `redis-unreachable`; they may or may not have been claimed.
        """

        async def claimed(client: Any) -> list[bool]:
            found = []
            for counter, end_s, share, left_ms in claims:
                # One key for each: a cluster has them on all its nodes, and each lapses by itself.
                key = f"{self._prefix}:told:{counter:016x}:{end_s}:{share}"
                lasts = () if left_ms > FOREVER_MS else ("PX", min(max(1000, left_ms), LONGEST_MS))
                found.append(bool(await client.execute_command("SET", key, 1, "NX", *lasts)))
            return found

        answers: list[bool] = self._caller.call(claimed)
        return answers
