"""The correlator of all hosts at work: a leader that reads a stream and writes another.

Theory of operation. It is the correlator of one host (`leader`) with other ends. Sightings come
from the stream, and the board it writes to is a private one, the ledger, which remembers
what changed. Changes are published in order; now and then, and at the beginning
of each term, the whole ledger is. What it charges budgets with it charges only after the
server has confirmed, a moment ago, that the term still is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ratelimit.clustering.budgets import Budgets
from ratelimit.clustering.declarations import Declarations
from ratelimit.clustering.hosts.intake import StreamIntake
from ratelimit.clustering.hosts.snapshot import LAST_PATIENCE_S, HostsSnapshot
from ratelimit.clustering.leader import Leader
from ratelimit.core.sharing.assignments import PAIR_BYTES
from ratelimit.correlation import Correlator
from ratelimit.policy.compile.compiled import CorrelationSpec
from ratelimit.stores.embedded.board import SharedBoard
from ratelimit.stores.redis.hosts.entries import AssignmentEntry, Kind
from ratelimit.stores.redis.hosts.queues import HostQueues, Publication
from ratelimit.telemetry.names import BoardNumber

NS = 10**9
CHANGES = 65_536
"""Changes remembered between two slices; more are published as the whole table."""
CHANGED_AT_ONCE = 1_000
"""Changes in one entry: 16 KB."""
TABLE_ENTRIES = 512
"""Entries after which the table is published again: far fewer than the stream keeps."""
TABLE_NS = 600 * NS
BEAT_NS = NS
HEARING_NS = 3 * NS
"""The time for which a new correlator reads what has been seen meanwhile before it says anything."""
HELD_NS = 10 * NS
"""The time for which new clusters wait until they are saved; then they are published all the same."""
FRESH_NS = 2 * NS
"""For how long it stands that the term is its own, from when that was asked: a lease is longer."""
ENDING_S = 3.0

OWN: tuple[BoardNumber, ...] = tuple(each for each in BoardNumber if each <= BoardNumber.SAVED_NS)
"""What a global leader says of itself."""
REPORTED: tuple[BoardNumber, ...] = (
    BoardNumber.STREAM_LAG_NS,
    BoardNumber.STREAM_LOST,
    *OWN,
    BoardNumber.YOUNG,
    BoardNumber.GROWN_UP_S,
)
"""What every host is told of the correlator, in this order."""


class Unconfirmed(Exception):
    """The lease could not be confirmed before the end: nothing is charged."""


class GlobalLeader:
    """Correlates for all hosts, from the winning of a lease to its loss.

    Args:
        box: of this host's agent.
        holder: names this host to the others.
        spec: what the policy asks for.
        key, mark: the hash key, and what entries carry of it.
        principals: how many can be in clusters.
        found: the snapshot that there is, empty for none.
        budgets, diagnose, elapsed_ns: as for a leader.
    """

    def __init__(
        self,
        box: HostQueues,
        holder: int,
        spec: CorrelationSpec,
        *,
        key: bytes,
        mark: int,
        principals: int,
        found: bytes,
        now_ns: int,
        budgets: Callable[[], Budgets],
        diagnose: Callable[[str], None],
        elapsed_ns: Callable[[], int],
    ) -> None:
        self._box = box
        self._holder = holder
        self._mark = mark
        self._ledger = SharedBoard.private(key, principals=principals, sightings=8)
        board = self._ledger.board
        self._intake = StreamIntake(box, mark)
        snapshot = HostsSnapshot(
            box,
            key,
            found,
            place=lambda: self._intake.place,
            restored=self._intake.go_on_from,
            seed=Path(spec.snapshot) if spec.snapshot else None,
        )
        self._leader = Leader(
            board,
            board.claim(board.term, 1, now_ns),
            spec,
            snapshot,
            budgets=budgets,
            diagnose=diagnose,
            elapsed_ns=elapsed_ns,
            intake=self._intake,
            may_charge=self._may_charge,
            # What was seen between the snapshot and the takeover is evidence, too: without it
            # whole clusters would seem to have fallen silent.
            may_rebuild=lambda: self._is_public,
        )
        self._leader.assignments.record(CHANGES)
        self._snapshot = snapshot
        self._term = box.term
        self._sequence = 0
        self._is_listening = False
        self._since_ns: int | None = None
        self._is_public = False
        self._table_sequence = 0
        self._table_ns = now_ns
        self._reported_ns: int | None = None
        self._held_ns: int | None = None
        self._ticket: int | None = None
        self._now_ns = self._asked_ns = now_ns
        self._is_ending = False

    @property
    def term(self) -> int:
        """The term in which it publishes."""
        return self._term

    @property
    def correlator(self) -> Correlator | None:
        """The correlator; None until what was saved is restored."""
        return self._leader.correlator

    @property
    def knowledge(self) -> Declarations | None:
        """The operator's knowledge."""
        return self._leader.knowledge

    @knowledge.setter
    def knowledge(self, knowledge: Declarations | None) -> None:
        self._leader.knowledge = knowledge

    def adapt(self, spec: CorrelationSpec) -> None:
        """Go on by another policy; evidence is kept."""
        self._leader.adapt(spec, self._snapshot)

    def renew(self, term: int, *, is_empty: bool) -> None:
        """Go on in another term that this host won after its own, with no other host in between.

        Args:
            is_empty: whether the server has lost all data meanwhile.
        """
        self._term = term
        if is_empty:
            self._intake.position = b"0-0"
            self._is_listening = False
            self._leader.save_soon()
        self._sequence = 0
        self._is_public = False
        self._since_ns = None

    def step(self, now_ns: int) -> bool:
        """Do one slice of what is to be done; return whether there is more at once."""
        self._now_ns = now_ns
        is_busy = self._leader.step(now_ns)
        if self._leader.correlator is None:
            return is_busy
        if not self._is_listening:
            self._box.listen(self._intake.position)
            self._is_listening = True
        if self._since_ns is None:
            self._since_ns = now_ns
        if not self._is_public:
            has_heard = self._box.is_caught_up and self._intake.is_empty
            if not has_heard and 0 <= now_ns - self._since_ns < HEARING_NS:
                return is_busy or not self._intake.is_empty
            self._is_public = True
            self._leader.assignments.take_changes()
            self._report(now_ns)
            self._publish_table(now_ns)
        if self._reported_ns is None or not 0 <= now_ns - self._reported_ns < BEAT_NS:
            self._report(now_ns)
        if self._is_held(now_ns):
            return is_busy
        self._publish_changes(now_ns)
        is_old = not 0 <= now_ns - self._table_ns < TABLE_NS
        if self._sequence - self._table_sequence >= TABLE_ENTRIES or is_old:
            self._publish_table(now_ns)
        return is_busy

    def _is_held(self, now_ns: int) -> bool:
        """True if new clusters have to be saved first: the host that takes over must know what was said."""
        if not self._leader.is_unsaved:
            self._held_ns = None
            return False
        if self._held_ns is None:
            self._held_ns = now_ns
        return 0 <= now_ns - self._held_ns < HELD_NS

    def wait_until_saved(self) -> None:
        """Wait until a snapshot that was made is with the server."""
        self._leader.wait_until_saved()

    def end(self, now_ns: int) -> None:
        """Bring the present job to its end, take in what waits, publish it, and save.

        Raises:
            Unconfirmed: the server cannot be reached in time.
        """
        self._is_ending = True
        self._now_ns = now_ns
        self._ticket = None  # its last rebuild may take long, and an answer of now would be an old one
        self._snapshot.patience_s = LAST_PATIENCE_S
        if self._leader.correlator is not None and self._is_public:
            self._leader.end(now_ns)
            self._publish_changes(now_ns)
            self._report(now_ns)
        self.leave()

    def leave(self) -> None:
        """Let go: another host correlates, or none."""
        self._ledger.close()

    # -- publishing -------------------------------------------------------------------------------

    def _say(self, now_ns: int, kind: Kind, pairs: bytes = b"") -> None:
        self._sequence += 1
        told = AssignmentEntry(
            self._mark, self._term, self._sequence, self._holder, kind, self.numbers(), pairs
        )
        is_taken = self._box.publish(Publication(self._term, self._sequence, entry=told.packed()))
        if not is_taken:
            # The server is too slow. What was left out is a gap in the sequence, and the hosts fetch
            # the table. So it has to be published once there is room again.
            self._table_ns = now_ns - TABLE_NS
        self._reported_ns = now_ns

    def _report(self, now_ns: int) -> None:
        self._say(now_ns, Kind.CHANGES)

    def _publish_changes(self, now_ns: int) -> None:
        assignments = self._leader.assignments
        if assignments.overrun:
            assignments.take_changes()
            self._publish_table(now_ns, is_needed=True)
            return
        pairs = assignments.take_changes()
        step = CHANGED_AT_ONCE * PAIR_BYTES
        for start in range(0, len(pairs), step):
            self._say(now_ns, Kind.CHANGES, pairs[start : start + step])

    def _publish_table(self, now_ns: int, *, is_needed: bool = False) -> None:
        """Publish the ledger as a whole; with an entry that sends all hosts to it if it is needed."""
        sequence = self._sequence + is_needed
        table = Publication(self._term, sequence, table=self._leader.assignments.export())
        if self._box.publish(table):
            self._table_sequence, self._table_ns = sequence, now_ns
        if is_needed:
            self._say(now_ns, Kind.RELOAD)

    def numbers(self) -> tuple[int, ...]:
        """Return what every host exports of the correlator."""
        lag_ms = 0
        if not (self._box.is_caught_up and self._intake.is_empty):
            lag_ms = max(0, self._box.server_ms - self._intake.taken_ms)
        board = self._ledger.board
        return (lag_ms * 10**6, self._intake.lost, *(board.number(each) for each in OWN))

    # -- what the leader asks ----------------------------------------------------------------------

    def _may_charge(self) -> bool:
        box = self._box
        if self._ticket is None or not 0 <= self._now_ns - self._asked_ns < FRESH_NS:
            box.confirmed.clear()
            self._ticket = box.ask()
            self._asked_ns = self._now_ns
        if self._is_ending and not box.is_confirmed(self._ticket):
            box.confirmed.wait(ENDING_S)
            if not box.is_confirmed(self._ticket):
                raise Unconfirmed
        if not box.is_confirmed(self._ticket) or box.term != self._term:
            return False
        self._ticket = None
        return True
