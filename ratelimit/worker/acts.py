"""The follower of the operator's acts: in force in every worker within a second or two, and reported so.

Theory of operation. The workers of a host look at a file beside their table, twice a second. Where hosts
share a server, one worker of each host copies the server's acts into that file. It tells the server which
acts all workers of the host apply. So `ratelimit act exempt` can wait until every host has confirmed.

An act ends by undo or by time. A log that lost acts gets them back from any other that has them: a worker's
memory, the file, the server. So a server that comes back empty, a file that is gone and a host that was cut
off end no act, and a server that does not answer changes nothing. A policy with a file of events has a copy
beside it, which is there after a reboot.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ratelimit.budgets.keeping import PaymentsKeeper
from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter
from ratelimit.runtime.last_policy import kept_since
from ratelimit.stores.acts.act import Act, digest_of, in_force, kept, merged
from ratelimit.stores.acts.file import ActCopy, ActFile
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.embedded.election import Election
from ratelimit.worker.events.host import HostRecord, reporting_name
from ratelimit.worker.inquiries import InquiryFollower
from ratelimit.worker.journal import JournalFollower

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
        self._host = socket.gethostname()
        self._name = reporting_name(place)
        self._inquiries = InquiryFollower(self._name, self._host)
        self._journal = JournalFollower(place)
        self._record = HostRecord(place)
        self._hosts: set[str] = set()
        self._payments = PaymentsKeeper()
        self._stamp: tuple[int, ...] | None = None
        self._acts: list[Act] = []
        self._in_file: list[Act] = []
        self._copy: ActCopy | None = None
        self._there: list[Act] | None = None
        self._has_met = False
        """Whether it is noted that there is a log of all hosts, as last read."""
        self._applied: str | None = None
        self._reported: tuple[str, int, str] | None = None
        self._reported_ns = 0

    @property
    def log(self) -> Sequence[Act]:
        """The acts that are known here, with those that ended."""
        return self._acts

    @property
    def epoch(self) -> str:
        """The name of what the server remembers, for the worker that reads it: see `JournalFollower`."""
        return self._journal.epoch

    def begin(self, limiter: Limiter) -> None:
        """Have acts wait for this worker from now on: it applies none yet."""
        events = limiter.policy.file.events.file
        if self._file is not None:
            with suppress(StoreError):  # it is tried again, and then said
                self._file.apply("")
                if events is not None and events != "stderr":
                    # Before the first command: the number of its act follows those that were made.
                    self._copy = ActCopy(Path(events))
                    if self._copy.is_there:
                        self._file.meet()
                    self._acts = self._file.merge(self._copy.read(), limiter.now_ns())

    def look(self, limiter: Limiter) -> bool:
        """Take in what is new, and let the limiter go by what is in force now.

        Returns whether this worker is the one of its host that reads what a server has.

        Raises:
            StoreError: the file beside the table cannot be written; acts are gone by all the same.
        """
        now_ns = limiter.now_ns()
        is_reader = self._ask_server(limiter)
        self._read_file(now_ns)
        if is_reader:
            self._bring_to_server(now_ns)
        key = fingerprint_of(limiter.store.hasher.key).hex()
        limiter.runtime.amend(in_force(self._acts, key, now_ns))
        self._payments.look(limiter, self._acts, key)
        digest = digest_of(self._acts)
        if self._file is not None and digest_of(self._in_file) != digest:
            self._in_file, self._stamp = (
                self._file.merge(self._acts, now_ns),
                None,
            )  # read again at the next look
        if self._file is not None and self._applied != digest:
            self._file.apply(digest)
            if self._copy is not None:
                self._copy.follow(self._acts)
        self._applied = digest
        if is_reader:
            self._report(limiter, now_ns)
            assert self._server is not None
            self._inquiries.look(self._server.inquiries, limiter)
            self._journal.look(self._server, now_ns)
        return is_reader

    def _read_file(self, now_ns: int) -> None:
        """Add what the file has to what is known."""
        if self._file is None or (stamp := self._file.stamp()) == self._stamp:
            return
        self._stamp, self._in_file = stamp, self._file.read()
        self._acts = kept(merged(self._acts, self._in_file), now_ns)

    def resign(self) -> None:
        """Apply no acts any more, and say so: a host without workers is not waited for."""
        if self._file is not None:
            self._file.leave()
        if self._server is not None and self._election.is_won:
            self._report(None, self._reported_ns + REPORT_NS)
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
            there = self._server.read_if_changed()
            if there is not None:
                self._there, self._reported = there, None  # hosts that it forgot say so at once
                self._has_met = False
                self._acts = kept(merged(self._acts, there), limiter.now_ns())
        return True

    def _bring_to_server(self, now_ns: int) -> None:
        """Give the server the acts that it lacks: it lost them, or they were made while it was away."""
        self._meet()
        if self._there is None or digest_of(self._there) == digest_of(self._acts):
            return
        assert self._server is not None
        with suppress(StoreError):
            self._there = self._server.merge(self._acts, now_ns)
            self._acts = kept(merged(self._acts, self._there), now_ns)

    def _meet(self) -> None:
        """Note that there is a log of all hosts, and begin it where there is none and this host has no act.

        Where it is gone later, no act may have the number of one that a host knows which is cut off.
        """
        server = self._server
        if self._there is None or server is None or self._has_met:
            return
        has_met = self._file is not None and self._file.has_met
        with suppress(StoreError):
            if not server.is_founded and not self._acts:
                server.found(is_first=not has_met)
            if self._file is not None and not has_met:
                self._file.meet()
            if self._copy is not None and not self._copy.is_there:
                self._copy.follow(self._acts)
            self._has_met = True

    def _report(self, limiter: Limiter | None, now_ns: int) -> None:
        """Report for this host; without a limiter that this worker has ended."""
        alone = {} if limiter is None else {0: self._applied or ""}
        policy = "" if limiter is None else f"{limiter.policy.digest:012x}"
        applied = alone if self._file is None else self._file.applied()
        digests = set(applied.values())
        said = digests.pop() if len(digests) == 1 else "", len(applied), policy
        if said == self._reported and 0 <= now_ns - self._reported_ns < REPORT_NS:
            return
        assert self._server is not None
        with suppress(StoreError):
            since_s = 0 if limiter is None else _since_s(limiter)
            self._server.report(self._name, self._host, *said, since_s)
            self._reported, self._reported_ns = said, now_ns
            names = {each.host for each in self._server.hosts().values() if each.workers}
            if names and names != self._hosts:
                self._record.note_hosts([*names])
                self._hosts = names


def _since_s(limiter: Limiter) -> int:
    """Return since when this host goes by its policy, whichever of its workers began then."""
    path = limiter.policy.path
    since_s = None if path is None else kept_since(path)
    return limiter.runtime.reloaded_ns // 10**9 if since_s is None else int(since_s)
