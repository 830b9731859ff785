"""The follower of the operator's acts: in force in every worker within a second or two, and reported so.

Theory of operation. The workers of a host look at a file beside their table, twice a second. Where hosts
share a server, one worker of each host copies the server's acts into that file. It tells the server which
acts all workers of the host apply. So `ratelimit exempt` can wait until every host has confirmed.

A server that does not answer changes nothing: the acts that are known stay in force until they lapse.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter
from ratelimit.stores.acts.act import Act, in_force
from ratelimit.stores.acts.file import ActFile
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.embedded.election import Election

if TYPE_CHECKING:
    from ratelimit.stores.redis.acts import ServerActs

LOOK_S = 0.4
"""The pause between looks for acts."""
REPORT_NS = 5 * 10**9
"""The longest time between two reports of a host on the acts that it applies."""


class ActFollower:
    """Keeps one limiter to the operator's acts, and holds on to no limiter.

    Args:
        place: where its table is; None for memory of this process alone.
    """

    def __init__(self, place: Path | None) -> None:
        self._place = place
        self._file = None if place is None else ActFile(place)
        self._server: ServerActs | None = None
        self._election = Election(None if self._file is None else self._file.election)
        self._stamp: tuple[int, ...] | None = None
        self._acts: list[Act] = []
        self._applied = -1
        self._reported: tuple[int, int] | None = None
        self._reported_ns = 0

    @property
    def number(self) -> int:
        """The last act that is known here."""
        return self._acts[-1].number if self._acts else 0

    def begin(self) -> None:
        """Have acts wait for this worker from now on: it applies none yet."""
        if self._file is not None:
            with suppress(StoreError):  # it is tried again, and then said
                self._file.apply(-1)

    def look(self, limiter: Limiter) -> bool:
        """Take in what is new, and let the limiter go by what is in force now.

        Returns whether this worker is the one of its host that reads what a server has.

        Raises:
            StoreError: the file beside the table cannot be written; acts are gone by all the same.
        """
        now_ns = limiter.now_ns()
        is_reader = self._ask_server(limiter)
        if self._file is not None:
            stamp = self._file.stamp()
            if stamp != self._stamp:
                self._stamp, self._acts = stamp, self._file.read()
        key = fingerprint_of(limiter.store.hasher.key).hex()
        limiter.runtime.amend(in_force(self._acts, key, now_ns))
        if self._file is not None and self._applied != self.number:
            self._file.apply(self.number)
        self._applied = self.number
        if is_reader:
            self._report(now_ns)
        return is_reader

    def resign(self) -> None:
        """Apply no acts any more, and say so: a host without workers is not waited for."""
        if self._file is not None:
            self._file.leave()
            if self._server is not None and self._election.is_won:
                self._report(self._reported_ns + REPORT_NS)
        self._election.resign()
        if self._server is not None:
            self._server.close()

    # -- with a server --------------------------------------------------------------------------------

    def _ask_server(self, limiter: Limiter) -> bool:
        """Copy the server's acts if this worker is to; return whether it is."""
        remote = limiter.policy.compiled.remote
        if remote is None or not limiter.is_enabled or not self._election.win():
            return False
        if self._server is None:
            # Its client library is not there for every policy.
            from ratelimit.stores.redis.acts import ServerActs

            self._server = ServerActs(remote)
        with suppress(StoreError):  # the limits' store says that it is away
            acts = self._server.read_if_changed()
            if acts is not None and self._file is not None:
                self._file.replace(acts)
            elif acts is not None:
                self._acts = acts
        return True

    def _report(self, now_ns: int) -> None:
        applied = {0: self._applied} if self._file is None else self._file.applied()
        said = min(applied.values(), default=0), len(applied)
        if said == self._reported and 0 <= now_ns - self._reported_ns < REPORT_NS:
            return
        assert self._server is not None
        host = socket.gethostname()
        name = f"{host} {fingerprint_of(str(self._place).encode()).hex()[:8]}"
        with suppress(StoreError):
            self._server.report(name, host, *said)
            self._reported, self._reported_ns = said, now_ns
