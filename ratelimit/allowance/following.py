"""Records of payers on other hosts: an allowance is the same on all of them within seconds.

Theory of operation. One worker of a host is its reader. With each look it tells the server the records that
changed on its host, and takes in those that changed on others. At first, and where changes were overwritten
before they were told, it tells all records, some of them with each look. While the server is away a host goes
by its own records; its changes are told when the server is back.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ratelimit.allowance.records import RECORD_BYTES, Records
from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter

if TYPE_CHECKING:
    from ratelimit.allowance.server import ServerRecords

MOST_TOLD = 500
"""Records in one call."""
SECOND_NS = 1_000_000_000


class RecordsFollower:
    """Keeps one host's records to what all hosts know, and holds on to no limiter."""

    def __init__(self) -> None:
        self._server: ServerRecords | None = None
        self._position = 0
        self._sweep: tuple[int, int] | None = (0, 0)
        """Where all records are being told: region and slot; None while only changes are."""

    def look(self, limiter: Limiter, *, is_reader: bool) -> None:
        """Tell what changed here, and take in changes of other hosts; `is_reader`: if this worker does."""
        remote, records = limiter.policy.compiled.remote, limiter.records
        if remote is None or records is None or not limiter.is_enabled:
            return
        if not is_reader:
            self._sweep = (0, 0)  # what others told meanwhile is not known here
            return
        if self._server is None:
            # Its client library is not there for every policy.
            from ratelimit.allowance.server import ServerRecords

            self._server = ServerRecords(remote, limiter.policy.compiled.file.tuning.payers)
        now_s = limiter.now_ns() // SECOND_NS
        position, items, is_lost = records.changed(self._position, MOST_TOLD)
        sweep, more = self._swept(records, MOST_TOLD - len(items) // RECORD_BYTES)
        with suppress(StoreError):  # the limits' store says that it is away; the same is told again
            found, (since, own) = self._server.exchange(items + more, records.days, now_s)
            self._position, self._sweep = position, (0, 0) if is_lost else sweep
            records.born(since or None, own or None)
            records.take_in(found, now_s)

    def _swept(self, records: Records, most: int) -> tuple[tuple[int, int] | None, bytes]:
        """Return some of all records, and where to go on; None behind the last."""
        if self._sweep is None:
            return None, b""
        region, start = self._sweep
        found = b""
        while len(found) < most * RECORD_BYTES:
            room = most - len(found) // RECORD_BYTES
            found += records.export(region, start, room)
            start += room
            if start >= records.slots[region]:
                region, start = region + 1, 0
                if region == len(records.slots):
                    return None, found
        return (region, start), found

    def disconnect(self) -> None:
        """Let go of the server."""
        if self._server is not None:
            with suppress(StoreError):
                self._server.close()
