"""Records of payers that outlive a boot: a file beside the policy's history, written by one worker at a time.

Rules it keeps:

- A worker joins the file into its memory. So an old file, or one that is read twice, takes nothing back.
- One worker writes: the holder of a lock beside the file. Before it writes for the first time it takes in
  what the file has, so nothing that another one kept is lost.
- A file that is damaged or foreign is never used. The worker that writes sets it aside as `….refused`.
"""

from __future__ import annotations

import glob
import hashlib
from contextlib import suppress
from pathlib import Path

from ratelimit.allowance.history import kept_beside, take_kept, write_history
from ratelimit.allowance.memory import pieces_of
from ratelimit.allowance.records import Records
from ratelimit.core.threads.event import breathe
from ratelimit.limiter import Limiter
from ratelimit.stores.embedded.election import Election

PERIOD_NS = 300 * 10**9
"""The least time between two times that the records are written, and so the most that a power cut takes."""
LEFT_S = 3600
"""A file that was begun so long before the last one is left by a worker that died while it wrote."""


class RecordsKeeper:
    """Keeps the records of one limiter in a file, and holds on to no limiter."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._election = Election(None)
        self._written_ns: int | None = None
        self._written = b""

    def look(self, limiter: Limiter) -> None:
        """Write the records, if this worker is to and it is time."""
        history, records = limiter.policy.compiled.file.store.history, limiter.records
        if history is None or records is None or records.closed or not limiter.is_enabled:
            return
        path = kept_beside(history)
        if path != self._path:
            self._election.resign()
            self._path, self._election = path, Election(path.with_name(f"{path.name}.lock"))
        if not self._election.is_won:
            if not self._election.win():
                if not path.parent.is_dir():
                    limiter.runtime.diagnose("records-unwritten", about=f"{path.parent} is not there")
                return
            self._written_ns, self._written = None, b""
            self._take(limiter, records, path)
        now_ns = limiter.now_ns()
        if self._written_ns is None or not 0 <= now_ns - self._written_ns < PERIOD_NS:
            self._written_ns = now_ns
            self._write(limiter, records, path)

    def leave(self, limiter: Limiter | None) -> None:
        """Write what changed since, and let another worker go on."""
        is_mine = self._election.is_won and self._path is not None
        if is_mine and limiter is not None and not limiter.table.closed:
            self._written_ns = None
            self.look(limiter)
        self._election.resign()

    def _take(self, limiter: Limiter, records: Records, path: Path) -> None:
        now_s = limiter.now_ns() // 1_000_000_000
        error = take_kept(records, path, limiter.store.hasher.key, now_s, limiter.runtime.diagnose, breathe)
        if error is not None and error.code != "history-unreadable":
            with suppress(OSError):
                path.replace(path.with_name(f"{path.name}.refused"))

    def _write(self, limiter: Limiter, records: Records, path: Path) -> None:
        if not any(records.days):
            return  # no request yet: nothing that a file could have
        digest = hashlib.blake2b()
        for piece in pieces_of(records):
            digest.update(piece)
            breathe()
        if digest.digest() == self._written:
            return
        try:
            write_history(path, records, limiter.store.hasher.key)
            self._written = digest.digest()
            _remove_left(path)
        except OSError as error:
            limiter.runtime.diagnose("records-unwritten", about=f"{path}: {error.strerror or error}")


def _remove_left(path: Path) -> None:
    """Remove what writers left that died, by the times of files alone."""
    written_s = path.stat().st_mtime
    for left in path.parent.glob(f"{glob.escape(path.name)}.new.*"):
        with suppress(OSError):
            if written_s - left.stat().st_mtime > LEFT_S:
                left.unlink()
