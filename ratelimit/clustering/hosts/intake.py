"""All hosts' sightings, out of the stream, as a correlator takes them in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.sharing.assignments import Assignments
from ratelimit.core.sharing.bundle import unpack
from ratelimit.stores.redis.hosts.entries import EntryRefused, SightingEntry
from ratelimit.stores.redis.hosts.queues import HostQueues

NS = 10**9
MOST_HOSTS = 1024
"""Hosts with a last sequence number that is remembered; those silent for longest go first."""


class StreamIntake:
    """Takes sightings from what was read of the stream, each entry once.

    Args:
        box: where they are put.
        mark: of the hash key; other entries are not used.
    """

    def __init__(self, box: HostQueues, mark: int) -> None:
        self._box = box
        self._mark = mark
        self.position = b"0-0"
        """The last entry taken in."""
        self._sequences: OrderedDict[int, int] = OrderedDict()
        self.lost = 0
        """Entries that were dropped from the stream, or by a host, before they were read."""
        self.repeated = 0
        """Entries that came twice and were taken in once."""

    @property
    def place(self) -> dict[str, Any]:
        """The position up to which sightings were taken in, in values that JSON can hold."""
        return {
            "position": self.position.decode(),
            "hosts": {f"{host:016x}": last for host, last in self._sequences.items()},
        }

    def go_on_from(self, place: Mapping[str, Any]) -> None:
        """Go on where the intake of this `place` was; nothing was taken in yet."""
        self.position = str(place.get("position", "0-0")).encode()
        for host, last in place.get("hosts", {}).items():
            self._sequences[int(host, 16)] = int(last)

    @property
    def taken_ms(self) -> int:
        """The time when the last entry taken in was sent, by the server's clock."""
        return int(self.position.partition(b"-")[0])

    @property
    def is_empty(self) -> bool:
        """True if everything that was read is taken in."""
        return not self._box.incoming

    def drain(
        self, cluster_index: ClusterIndex, most: int, now_ns: int, assignments: Assignments | None = None, /
    ) -> int:
        """Let a cluster index note about `most` sightings; return how many it did."""
        taken = 0
        while taken < most and self._box.incoming:
            incoming = self._box.incoming.popleft()
            self.position = incoming.position
            try:
                seen = SightingEntry.from_entry(incoming.entry, self._mark)
                if self._is_new(seen):
                    taken += unpack(seen.records, cluster_index, now_ns // NS, assignments)
            except EntryRefused as refusal:
                self._box.refusals.add(refusal.code)
            except ValueError:
                self._box.refusals.add("hosts-format")
        return taken

    def _is_new(self, seen: SightingEntry) -> bool:
        last = self._sequences.pop(seen.host, None)
        self._sequences[seen.host] = seen.sequence if last is None else max(last, seen.sequence)
        if len(self._sequences) > MOST_HOSTS:
            self._sequences.popitem(last=False)
        if last is None:
            return True
        if seen.sequence <= last:
            self.repeated += 1
            return False
        self.lost += seen.sequence - last - 1
        return True
