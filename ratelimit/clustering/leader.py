"""One worker's time as the correlator of all: its evidence, and the work that is under way.

Theory of operation. `step` is one slice: it takes in what waits in the ring and goes on with
at most one longer job. A job is a generator with slices as steps: restoring, rebuilding
and publishing, taking new settings over, saving. One job at a time, so a
snapshot never holds a rebuild's provisional clusters. While evidence must hold still (it
is being copied) nothing is taken in, and the ring fills a little.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Protocol

from ratelimit.clustering.budgets import Budgets
from ratelimit.clustering.declarations import Declarations
from ratelimit.clustering.snapshot import Kept, Refused
from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.clusters.image import Tally
from ratelimit.core.sharing.assignments import Assignments
from ratelimit.core.sharing.board import Board
from ratelimit.core.sharing.ring import Ring
from ratelimit.correlation import Correlator
from ratelimit.correlation.memory import transplant
from ratelimit.policy.compile.compiled import CorrelationSpec
from ratelimit.telemetry.names import BoardNumber

DRAINED = 1024
"""Sightings taken in by one slice."""
PUBLISHED = 16_384
"""Principals walked by one slice when assignments are written."""
SNAPSHOT_NS = 60 * 10**9
EXPORT_NS = 10**9
CHARGE_NS = 10**9

CARRIED = 256
"""Pairs of identities of which the use is carried over by one slice, or debts that are charged by one."""

MOST_LAST = 256
"""Slices of sightings taken in at the end."""

Job = Iterator[None]


class Intake(Protocol):
    """The source of sightings: this host's ring, or all hosts' stream."""

    def drain(
        self, cluster_index: ClusterIndex, most: int, now_ns: int, assignments: Assignments | None = None, /
    ) -> int:
        """Let a cluster index note about `most` sightings; return how many it did."""
        ...


class Leader:
    """The work of the elected worker.

    Args:
        board: which this worker has claimed.
        term: the term it claimed.
        spec: what the policy asks for.
        snapshot: where evidence outlives the process; None for nowhere.
        budgets: returns the limits per cluster, to charge what clusters or members had before.
        diagnose: told stable codes of what deserves a word to the operator.
        elapsed_ns: measures slices.
        intake: where sightings come from; the board's ring when not given.
        may_charge: asked before anything is charged, again and again until it is so.
        may_rebuild: asked before a rebuild that is due; while it is not so, sightings are taken in.
    """

    def __init__(
        self,
        board: Board,
        term: int,
        spec: CorrelationSpec,
        snapshot: Kept | None,
        *,
        budgets: Callable[[], Budgets],
        diagnose: Callable[[str], None],
        elapsed_ns: Callable[[], int],
        intake: Intake | None = None,
        may_charge: Callable[[], bool] = lambda: True,
        may_rebuild: Callable[[], bool] = lambda: True,
    ) -> None:
        self._board = board
        self._take(spec)
        # These two read no rows: an account that is looked up or taken in comes as hashes already.
        self._intake: Intake = Ring(board, self._columns) if intake is None else intake
        self.assignments = Assignments(board, self._columns)
        """What it writes."""
        self.assignments.write(term)
        self._may_charge = may_charge
        self._may_rebuild = may_rebuild
        self._snapshot = snapshot
        self._budgets = budgets
        self._diagnose = diagnose
        self._elapsed_ns = elapsed_ns
        self._correlator: Correlator | None = None
        self._job: Job | None = None
        self._counting: Job | None = None
        self.knowledge: Declarations | None = None
        """The operator's knowledge; may be replaced at any time."""
        self._told: Declarations | None = None
        self._is_still = False
        self._is_changed = False
        self._save_ns: int | None = None
        self._unwritten = 0
        self.is_unsaved = False
        """True if there are new clusters that would be forgotten if this process died now."""
        self._exported_ns: int | None = None
        self._charged_ns: int | None = None
        self._debts: list[tuple[int, int]] = []
        self._settling: Thread | None = None
        self._spent_ns = 0
        self._longest_ns = 0

    @property
    def is_over(self) -> bool:
        """True if another worker has claimed the board since."""
        return not self.assignments.is_writer

    @property
    def correlator(self) -> Correlator | None:
        """The correlator; None until what was saved is restored."""
        return self._correlator

    def adapt(self, spec: CorrelationSpec, snapshot: Kept | None) -> None:
        """Go on by another policy as soon as the present job is done; evidence is kept."""
        self._take(spec)
        self._snapshot = snapshot
        if self._correlator is not None:
            self._correlator.core.columns.tells_young = spec.tells_young

    def _take(self, spec: CorrelationSpec) -> None:
        self._settings = spec.settings
        self._columns = spec.columns()

    def step(self, now_ns: int) -> bool:
        """Do one slice of what is to be done; return whether there is more at once."""
        self._board.beat(now_ns)
        correlator, taken = self._correlator, 0
        if correlator is not None and not self._is_still:
            taken = self._intake.drain(correlator.core, DRAINED, now_ns, self.assignments)
            self._is_changed = self._is_changed or taken > 0
        if self._job is None:
            # First: what is saved next says that nothing is owed.
            if self._is_charge_due(now_ns) and self._may_charge():
                self._charge(now_ns)
            self._job = self._next(now_ns)
        is_busy = self._job is not None
        if self._exported_ns is None or not 0 <= now_ns - self._exported_ns < EXPORT_NS:
            self._export(now_ns)
        if self._job is not None:
            self._go_on(self._job)
        elif self._counting is not None and next(self._counting, self._counting) is self._counting:
            self._counting = None
        return is_busy or self._counting is not None or taken >= DRAINED

    def leave(self) -> None:
        """Let go, another having taken over: nothing of this is of use any more."""

    def _go_on(self, job: Job) -> None:
        is_done = True
        try:
            is_done = next(job, job) is job
        except Exception:
            self._forget_unfinished()
            raise
        finally:
            if is_done:
                self._job = None
                self._is_still = False

    def _next(self, now_ns: int) -> Job | None:
        correlator = self._correlator
        if correlator is None:
            return self._restore(now_ns)
        if correlator.settings != self._settings:
            return self._transplant(correlator, now_ns)
        if self.knowledge is not None and self.knowledge is not self._told:
            self._told = self.knowledge
            self.knowledge.tell(correlator)
        if correlator.is_due(now_ns) and self._may_rebuild():
            return self._rebuild(correlator, now_ns)
        if self._is_changed and self._snapshot is not None and self._is_save_due(now_ns):
            return self._save(correlator, self._snapshot, now_ns)
        return None

    def _is_charge_due(self, now_ns: int) -> bool:
        if self._debts:
            return True
        if self._correlator is None or not self._correlator.core.owing:
            return False
        return self._charged_ns is None or not 0 <= now_ns - self._charged_ns < CHARGE_NS

    def _charge(self, now_ns: int) -> None:
        """Charge clusters with what members had before they were recognised; so many in one slice."""
        if not self._debts and self._correlator is not None:
            self._charged_ns = now_ns
            self._debts = self._correlator.core.debts()
        some, self._debts = self._debts[:CARRIED], self._debts[CARRIED:]
        self._budgets().charge(some, now_ns)

    # -- jobs -------------------------------------------------------------------------------------

    def _new(self, now_ns: int) -> Correlator:
        return Correlator(self._settings, now_ns, self._columns)

    def _restore(self, now_ns: int) -> Job:
        correlator, is_restored = self._new(now_ns), False
        snapshot = self._snapshot
        if snapshot is not None:
            try:
                yield from snapshot.restore(correlator, now_ns)
                is_restored = True
            except FileNotFoundError:
                pass
            except Refused as refusal:
                snapshot.set_aside()
                self._diagnose(refusal.code)
            except OSError:
                self._diagnose("snapshot-unreadable")
            except Exception:
                # It is what was saved, and cannot be read all the same: another release's.
                snapshot.set_aside()
                self._diagnose("snapshot-version")
            if not is_restored:
                correlator = self._new(now_ns)
        self._correlator = correlator
        self._exported_ns = None
        if is_restored and self._board.stats()["generation"] == 0:
            yield from correlator.own_methods()
            yield from self._publish(correlator, now_ns)

    def _transplant(self, old: Correlator, now_ns: int) -> Job:
        new = self._new(now_ns)
        self._is_still = True
        yield from transplant(old, new)
        self._correlator = new
        self._told = None

    def _rebuild(self, correlator: Correlator, now_ns: int) -> Job:
        self._spent_ns = self._longest_ns = 0
        known = dict(correlator.identities)
        yield from self._timed(correlator.rebuild(now_ns))
        yield from self._timed(self._publish(correlator, now_ns))
        number = self._board.set_number
        number(BoardNumber.REBUILDS, correlator.rebuilds)
        number(BoardNumber.REBUILT_NS, now_ns)
        number(BoardNumber.REBUILD_SPENT_NS, self._spent_ns)
        number(BoardNumber.LONGEST_SLICE_NS, self._longest_ns)
        number(BoardNumber.UNLABELLED, correlator.unlabelled)
        number(BoardNumber.YOUNG, correlator.young)
        number(BoardNumber.GROWN_UP_S, correlator.grown_up_s)
        if correlator.unlabelled:
            self._diagnose("clusters-full")
        yield from self._count_members(correlator)
        self._is_changed = True
        if correlator.identities != known:
            self._save_ns = None  # a new cluster outlives this process from now on
            self.is_unsaved = self._snapshot is not None

    def _publish(self, correlator: Correlator, now_ns: int) -> Job:
        assignments, start = self.assignments, 0
        if not assignments.begin():
            return
        yield
        while start < correlator.evidence.principal_count:
            assignments.fill(correlator.core, start, start + PUBLISHED)
            start += PUBLISHED
            yield
        if correlator.core.columns.has_payment:
            for start in range(0, correlator.evidence.identifier_count, PUBLISHED):
                assignments.fill_methods(correlator.core, start, start + PUBLISHED)
                yield
        # What was used is there before any limit counts under the new identity, not after.
        pairs = correlator.carries[:]
        correlator.carries.clear()
        while pairs and not self._may_charge():
            yield
        for start in range(0, len(pairs), CARRIED):
            self._budgets().carry(pairs[start : start + CARRIED], now_ns)
            yield
        assignments.commit()

    def _timed(self, steps: Job) -> Job:
        while True:
            begin_ns = self._elapsed_ns()
            is_done = next(steps, steps) is steps
            took_ns = self._elapsed_ns() - begin_ns
            self._spent_ns += took_ns
            self._longest_ns = max(self._longest_ns, took_ns)
            if is_done:
                return
            yield

    # -- snapshots --------------------------------------------------------------------------------

    def _is_save_due(self, now_ns: int) -> bool:
        if self._settling is not None and self._settling.is_alive():
            return False
        return self._save_ns is None or not self._save_ns <= now_ns < self._save_ns + SNAPSHOT_NS

    def _save(self, correlator: Correlator, snapshot: Kept, now_ns: int) -> Job:
        self._save_ns = now_ns
        self._is_still = True
        self._is_changed = False
        try:
            yield from snapshot.save(correlator, now_ns)
        except OSError:
            snapshot.discard()
            self.is_unsaved = False
            self._tell_unwritten(snapshot)
            return
        # The disk may take seconds, in which sightings would be dropped.
        self._settling = Thread(
            target=self._settle, args=(snapshot, now_ns), name="ratelimit-snapshot", daemon=True
        )
        self._settling.start()

    def _settle(self, snapshot: Kept, now_ns: int) -> None:
        try:
            is_kept = snapshot.put_in_place(lambda: not self.is_over)
        except OSError:
            self._tell_unwritten(snapshot)
            is_kept = False
        if not is_kept:
            snapshot.discard()
        else:
            self._unwritten = 0
            with contextlib.suppress(ValueError):  # the board may be closed by now
                self._board.set_number(BoardNumber.SAVED_NS, now_ns)
        # No rebuild can have ended since the saving began without having asked for another.
        self.is_unsaved = self._save_ns is None

    def _tell_unwritten(self, snapshot: Kept) -> None:
        self._unwritten += 1
        if self._unwritten > snapshot.tolerated:
            self._diagnose("snapshot-unwritten")

    def wait_until_saved(self) -> None:
        """Wait until a snapshot that was written is on the disk."""
        if self._settling is not None:
            self._settling.join()

    def save_soon(self) -> None:
        """Save with the next slice that can, whenever that was done last."""
        self._save_ns = None
        self._is_changed = True

    # -- the end ----------------------------------------------------------------------------------

    def end(self, now_ns: int) -> None:
        """Bring the present job to its end, take in what waits, and save."""
        for _ in self._job or ():
            pass
        self._job, self._is_still = None, False
        self.wait_until_saved()
        correlator, snapshot = self._correlator, self._snapshot
        if correlator is None or self.is_over:
            return
        for _ in range(MOST_LAST):
            taken = self._intake.drain(correlator.core, DRAINED, now_ns, self.assignments)
            self._is_changed = self._is_changed or taken > 0
            if not taken:
                break
        while (self._debts or correlator.core.owing) and self._may_charge():
            self._charge(now_ns)
        if snapshot is not None and self._is_changed:
            for _ in self._save(correlator, snapshot, now_ns):
                pass
            self.wait_until_saved()
        self._export(now_ns)
        for _ in self._counting or ():
            pass

    def _forget_unfinished(self) -> None:
        """Take back what a rebuild that failed has left."""
        if self._correlator is not None:
            self._correlator.abandon()

    def _count_members(self, correlator: Correlator) -> Job:
        tally, number = Tally(correlator.core), self._board.set_number
        for start in range(0, correlator.evidence.principal_count, PUBLISHED):
            tally.count(start, start + PUBLISHED)
            yield
            if correlator.core.is_rebuilding or correlator is not self._correlator:
                return  # clusters are provisional until the rebuild has ended
        found = tally.found()
        for at, column in enumerate((BoardNumber.CLUSTERS, BoardNumber.MEMBERS)):
            number(column, sum(counts[at] for counts in found.values()))
        for at, column in enumerate((BoardNumber.CERTAIN_CLUSTERS, BoardNumber.CERTAIN_MEMBERS)):
            number(column, found["certain"][at])

    def _export(self, now_ns: int) -> None:
        self._exported_ns = now_ns
        correlator = self._correlator
        if correlator is None:
            return
        evidence, number = correlator.evidence, self._board.set_number
        number(BoardNumber.PRINCIPALS, evidence.principal_count)
        number(BoardNumber.IDENTIFIERS, evidence.identifier_count)
        number(BoardNumber.PRINCIPAL_EVICTIONS, evidence.principal_evictions)
        number(BoardNumber.IDENTIFIER_EVICTIONS, evidence.identifier_evictions)
        if self._counting is None:
            self._counting = self._count_members(correlator)
