"""The records of payers on all hosts that share a server.

The server joins the records that hosts tell: the earlier first day, the higher levels, the least that
was paid. Hosts tell and read in one call, made by a thread of its own. Requests go by the host's
memory and never wait for this.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from ratelimit.allowance.records import OF_PAIR, PAIRS_EACH, RECORD_BYTES, REGION
from ratelimit.stores.redis.caller import ServerCaller
from ratelimit.stores.redis.hosts.fencing import RECORDS
from ratelimit.stores.redis.hosts.keys import Places

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

MOST_READ = 1000
"""Records in one reply; the others come with the next."""
LASTS_MS = 70 * 86_400_000
"""After so long without a change nothing is left that counts."""
DAY_S, PERIOD_DAYS = 86_400, 10
_ITEM = struct.Struct("<QQQ")
_NO_LEVELS = "-"
_RECORDS_EACH = 2 + PAIRS_EACH
"""A payer's days, what it paid, and its pairs."""


class ServerRecords:
    """One host's part of it.

    Args:
        remote: which server.
        payers: how many there is room for, with what they paid, and four pairs each.
    """

    def __init__(self, remote: RemoteSpec, payers: int) -> None:
        self._caller = ServerCaller(remote)
        places = Places(remote.prefix)
        self._keys = (places.records, places.records_changes, places.records_number)
        self._most = payers * _RECORDS_EACH
        self._known = 0
        self.close = self._caller.close

    def exchange(self, items: bytes, days: tuple[int, int], now_s: int) -> tuple[bytes, tuple[int, int]]:
        """Tell records, and return those that changed on any host since the last call, and the earliest days.

        Args:
            items: as `Records.export` returns them.
            days: as `Records.days` is.
            now_s: civil time.

        Raises:
            StoreError: code `redis-unreachable`; the records may or may not have been told.
        """
        told: list[str | int] = []
        for at in range(0, len(items), RECORD_BYTES):
            told += _told(*_ITEM.unpack_from(items, at))
        period = now_s // DAY_S // PERIOD_DAYS

        async def exchanged(client: Any) -> tuple[int, bytes, tuple[int, int]]:
            arguments = (self._known, self._most, MOST_READ, period, LASTS_MS, *days, *told)
            last, since, own, *pairs = await RECORDS.run(client, self._keys, arguments)
            found = b"".join(map(_read, pairs[::2], pairs[1::2]))
            return int(last), found, (int(since), int(own))

        self._known, found, earliest = self._caller.call(exchanged)
        return found, earliest


def _told(key: int, when: int, levels: int) -> tuple[str, int, int, str]:
    if key & REGION == OF_PAIR:
        return f"{key:x}", when >> 16, levels, _NO_LEVELS
    return f"{key:x}", when >> 16, when & 0xFFFF, levels.to_bytes(7, "little").hex()


def _read(key: bytes, said: bytes) -> bytes:
    """Return a record as memory takes it in; nothing of what no host wrote."""
    try:
        first, newest, levels = bytes(said).decode("ascii").split(" ")
        number = int(key, 16)
        if number & REGION == OF_PAIR:
            return _ITEM.pack(number, int(first) << 16, int(newest))
        when = int(first) << 16 | min(int(newest), 0xFFFF)
        return _ITEM.pack(number, when, int.from_bytes(bytes.fromhex(levels), "little"))
    except (ValueError, struct.error):
        return b""
