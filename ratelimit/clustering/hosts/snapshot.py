"""The memory of the correlator of all hosts, kept with the server they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any

from ratelimit.clustering.snapshot import Format, SnapshotFile
from ratelimit.correlation import Correlator
from ratelimit.stores.redis.hosts.queues import HostQueues, Saving

PATIENCE_S = 30.0
"""The time that it may take until a snapshot is with the server,"""
LAST_PATIENCE_S = 5.0
"""and how long the end of a process waits for it."""


class HostsSnapshot(Format):
    """One correlator's snapshot, by way of the queues.

    Args:
        box: where it goes.
        key: see `Format`.
        found: the snapshot that there is; empty for none.
        place: says how far the evidence goes.
        restored: told the place of what was restored.
        seed: a file to begin with where there is no snapshot.
    """

    # Other events say that a server was away, or came back empty.
    tolerated: int = 1

    def __init__(
        self,
        box: HostQueues,
        key: bytes,
        found: bytes,
        *,
        place: Callable[[], Mapping[str, Any]],
        restored: Callable[[Mapping[str, Any]], None],
        seed: Path | None = None,
    ) -> None:
        super().__init__(key)
        self._box = box
        self._found: bytes | None = found
        self._place = place
        self._restored = restored
        self._seed = seed
        self._saving: Saving | None = None
        self.patience_s = PATIENCE_S
        """The time for which `settle` waits."""

    def save(self, correlator: Correlator, now_ns: int) -> Iterator[None]:
        """Make a snapshot in slices; it goes to the server afterwards."""
        parts = []
        for part in self.parts(correlator, now_ns, self._place()):
            parts.append(part)
            yield
        self._saving = self._box.saving = Saving(self._box.term, parts, Event())

    def put_in_place(self, is_wanted: Callable[[], bool] = lambda: True) -> bool:
        """Wait until the server has it; the server asks for itself whether that is wanted.

        Raises:
            OSError: it does not, or another correlates by now.
        """
        saving = self._saving
        if saving is not None and not (saving.ended.wait(self.patience_s) and saving.is_saved):
            raise OSError("the server did not take the snapshot")
        return True

    def discard(self) -> None:
        """Forget what was not saved."""
        self._saving = None

    def restore(self, correlator: Correlator, now_ns: int) -> Iterator[None]:
        """Read what there is into a correlator that has observed nothing, in slices.

        Raises:
            Refused: as `Format.take`.
            FileNotFoundError: there is none.
        """
        found, self._found = self._found, None
        if not found and self._seed is not None:
            yield from SnapshotFile(self._seed, self._key).restore(correlator, now_ns)
            return
        if not found:
            raise FileNotFoundError("no snapshot")
        place = yield from self.take(BytesIO(found), len(found), correlator, now_ns)
        self._restored(place)

    def set_aside(self) -> None:
        """Leave a refused one to the next that is saved: it takes its place."""
