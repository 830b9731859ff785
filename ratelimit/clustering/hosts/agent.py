"""One host's agent: its sightings out, all hosts' assignments in; and the correlator, while it is here.

Theory of operation. The worker that a host elects as its correlator is, where hosts share one,
their agent. `step` counts together what waits in the ring and lets it go, and enters what comes
into the board that every request looks into. The stream client talks to the server, in a
thread of its own. Between the two there are queues, and neither waits for the other. While
this host holds the lease there is a global leader here as well. What it publishes comes back
the way it reaches all other hosts.

When the server is gone, the last assignments stay in force, and what is seen is kept for a
while, then dropped and counted.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ratelimit.clustering.budgets import Budgets
from ratelimit.clustering.declarations import Declarations
from ratelimit.clustering.hosts.global_leader import REPORTED, GlobalLeader
from ratelimit.core.sharing.assignments import PAIR_BYTES, Assignments
from ratelimit.core.sharing.board import Board
from ratelimit.core.sharing.bundle import Bundle
from ratelimit.core.sharing.ring import Ring
from ratelimit.correlation import Correlator
from ratelimit.policy.compile.compiled import CorrelationSpec
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.redis.hosts.entries import SightingEntry, mark_of
from ratelimit.stores.redis.hosts.queues import MOST_NEWS, HostQueues, News
from ratelimit.telemetry.names import BoardNumber

NS = 10**9
RECORDS = 128
"""Different sightings in one entry: at most 10 KB."""
DRAINED = 1024
"""Sightings taken out of the ring by one step."""
GATHERED_NS = 100_000_000
"""The time for which sightings are counted together before they go."""
STAGED_BYTES = 4096 * PAIR_BYTES
"""What is entered of a table in one step."""
LEAST_GONE = 1024
"""Entries of no cluster, at least, before room is made."""
EXPORT_NS = NS
LEAST_TERM = 2
"""A term below says that the server lost its data, and that no host has correlated since."""
PATIENCE_S = 5.0
"""The time for which the end waits for the server."""


class StreamClient(Protocol):
    """The connection of an agent to the server."""

    def stop(self, patience_s: float, *, resigns: bool = True) -> None:
        """Give the lease up and let go of the server; wait that long at most."""
        ...

    def abandon(self) -> None:
        """Let go in a forked child, without touching what is the parent's."""
        ...


@dataclass(frozen=True, slots=True)
class Hosts:
    """The part of a worker in correlating for several hosts."""

    stream_client: Callable[[HostQueues], StreamClient]
    """Starts what talks to the server."""
    is_candidate: bool
    """True if workers of this host compete for correlating for all."""


class HostAgent:
    """The work of the elected worker of one of several hosts.

    Args:
        board: which this worker has claimed.
        term: the term it claimed.
        spec: what the policy asks for.
        key: the hash key.
        hosts: how to reach the others.
        budgets, diagnose, elapsed_ns: as for a leader.
    """

    def __init__(
        self,
        board: Board,
        term: int,
        spec: CorrelationSpec,
        key: bytes,
        hosts: Hosts,
        *,
        budgets: Callable[[], Budgets],
        diagnose: Callable[[str], None],
        elapsed_ns: Callable[[], int],
    ) -> None:
        self._board = board
        self._spec = spec
        self._key = key
        self._mark = mark_of(fingerprint_of(key))
        self._budgets = budgets
        self._diagnose = diagnose
        self._elapsed_ns = elapsed_ns
        columns = spec.columns()
        self._ring = Ring(board, columns)
        self._assignments = Assignments(board, columns)
        self._assignments.write(term)
        self._bundle = Bundle(RECORDS)
        self._host = secrets.randbits(63) | 1
        self._sequence = 0
        self._gathered_ns: int | None = None
        self._job: Iterator[None] | None = None
        self._gone = 0
        self._exported_ns: int | None = None
        self._counted = {each: board.number(each) for each in _COUNTERS}
        self.knowledge: Declarations | None = None
        """The operator's knowledge; may be replaced at any time."""
        self._global_leader: GlobalLeader | None = None
        self.box = HostQueues(is_candidate=hosts.is_candidate)
        """What passes between this and the stream client."""
        self._stream_client = hosts.stream_client(self.box)

    @property
    def is_over(self) -> bool:
        """True if another worker of this host has claimed the board since."""
        return not self._assignments.is_writer

    @property
    def correlator(self) -> Correlator | None:
        """The correlator of all hosts while it is here, None otherwise."""
        return self._global_leader.correlator if self._global_leader is not None and self.is_leading else None

    @property
    def is_leading(self) -> bool:
        """True if this host correlates for all."""
        return self._global_leader is not None and self.box.term != 0

    @property
    def trouble(self) -> str:
        """The reason why the server cannot be asked, while that lasts."""
        return self.box.trouble

    def adapt(self, spec: CorrelationSpec) -> None:
        """Go on by another policy; evidence and assignments are kept."""
        self._spec = spec
        if self._global_leader is not None:
            self._global_leader.adapt(spec)

    def step(self, now_ns: int) -> bool:
        """Do one slice of what is to be done; return whether there is more at once."""
        self._board.beat(now_ns)
        fault, self.box.fault = self.box.fault, None
        if fault is not None:
            raise fault
        is_busy = self._gather(now_ns)
        is_busy |= self._apply(now_ns)
        is_busy |= self._correlate(now_ns)
        if self._exported_ns is None or not 0 <= now_ns - self._exported_ns < EXPORT_NS:
            self._export(now_ns)
        return is_busy

    # -- sightings out ----------------------------------------------------------------------------

    def _gather(self, now_ns: int) -> bool:
        left = DRAINED
        while left > 0:
            taken = self._bundle.drain(self._ring, left, now_ns)
            left -= taken
            if not self._bundle.is_full:
                break
            self._send(now_ns)
        since = self._gathered_ns
        if self._bundle.held and (since is None or not 0 <= now_ns - since < GATHERED_NS):
            self._send(now_ns)
        return left <= 0

    def _send(self, now_ns: int) -> None:
        sightings = self._bundle.sightings
        self._sequence += 1
        seen = SightingEntry(self._mark, self._host, self._sequence, self._bundle.pack())
        self.box.send(seen.packed(), sightings)
        self._gathered_ns = now_ns

    # -- assignments in ---------------------------------------------------------------------------

    def _apply(self, now_ns: int) -> bool:
        for _ in range(MOST_NEWS):
            if self._job is not None:
                if next(self._job, self._job) is not self._job:
                    return True
                self._job = None
            if not self.box.news:
                break
            news = self.box.news.popleft()
            if news.is_whole:
                self._job = self._replace(news)
            else:
                self._gone += self._assignments.enter(news.pairs)
            self._note(news, now_ns)
        if self._gone > max(LEAST_GONE, self._board.stats()["slots"] // 8):
            self._assignments.compact()
            self._gone = 0
        return bool(self.box.news)

    def _replace(self, news: News) -> Iterator[None]:
        assignments = self._assignments
        assignments.begin()
        for start in range(0, len(news.pairs), STAGED_BYTES):
            assignments.stage_all(news.pairs[start : start + STAGED_BYTES])
            yield
        assignments.commit()
        self._gone = 0

    def _note(self, news: News, now_ns: int) -> None:
        number = self._board.set_number
        number(BoardNumber.LEASE_TERM, news.term)
        number(BoardNumber.HEARD_NS, now_ns)
        for each, value in zip(REPORTED, news.numbers, strict=False):
            number(each, value)

    # -- correlating for all ----------------------------------------------------------------------

    def _correlate(self, now_ns: int) -> bool:
        box, global_leader = self.box, self._global_leader
        term = box.term
        if global_leader is not None and term != global_leader.term:
            if term and (box.before == global_leader.term or box.before < LEAST_TERM):
                global_leader.renew(term, is_empty=box.before < LEAST_TERM)
            elif term or self._is_followed(global_leader.term):
                self._leave_office()
                global_leader = None
        if not term:
            return False
        if global_leader is None:
            found = box.snapshot
            if found is None:
                box.wants_snapshot = True
                return False
            box.snapshot = None
            global_leader = self._global_leader = GlobalLeader(
                box,
                self._host,
                self._spec,
                key=self._key,
                mark=self._mark,
                principals=self._spec.settings.principals,
                found=found,
                now_ns=now_ns,
                budgets=self._budgets,
                diagnose=self._diagnose,
                elapsed_ns=self._elapsed_ns,
            )
        box.has_memory = global_leader.correlator is not None
        global_leader.knowledge = self.knowledge
        return global_leader.step(now_ns)

    def _is_followed(self, term: int) -> bool:
        """Return whether another host correlates in a later term; till then this one's may be needed."""
        return self.box.seen_term > term

    def _leave_office(self) -> None:
        global_leader, self._global_leader = self._global_leader, None
        self.box.snapshot = None
        self.box.has_memory = False
        if global_leader is not None:
            global_leader.leave()

    # -- the end ----------------------------------------------------------------------------------

    def wait_until_saved(self) -> None:
        """Wait until a snapshot that was made is with the server."""
        if self._global_leader is not None:
            self._global_leader.wait_until_saved()

    def end(self, now_ns: int) -> None:
        """Let everything go that waits, save, and hand the lease over."""
        while self._gather(now_ns):
            pass
        if self._bundle.held:
            self._send(now_ns)
        try:
            if self._global_leader is not None and self.is_leading:
                self._global_leader.end(now_ns)
        finally:
            self._stream_client.stop(PATIENCE_S)
            self._global_leader = None
            self._export(now_ns)

    def leave(self) -> None:
        """Let go, another worker of this host having taken over."""
        self._leave_office()
        self._stream_client.stop(0)

    def abandon(self) -> None:
        """Let go in a forked child."""
        self._stream_client.abandon()

    def _export(self, now_ns: int) -> None:
        self._exported_ns = now_ns
        box, number = self.box, self._board.set_number
        for code in tuple(box.refusals):
            self._diagnose(code)
        if box.trouble:
            self._diagnose("hosts-unreachable")
        for each, value in (
            (BoardNumber.SENT, box.sent),
            (BoardNumber.UNSENT, box.unsent),
            (BoardNumber.CATCH_UPS, box.catch_ups),
            (BoardNumber.TAKEOVERS, box.takeovers),
            (BoardNumber.SERVER_FAULTS, box.faults),
        ):
            number(each, self._counted[each] + max(value, 0))
        number(BoardNumber.OUTGOING, box.outgoing)
        number(BoardNumber.IS_CORRELATOR, int(self.is_leading))


_COUNTERS = (
    BoardNumber.SENT,
    BoardNumber.UNSENT,
    BoardNumber.CATCH_UPS,
    BoardNumber.TAKEOVERS,
    BoardNumber.SERVER_FAULTS,
)
"""These go on where the agent before left them."""
