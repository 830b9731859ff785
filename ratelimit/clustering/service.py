"""The clustering service of a limiter: which accounts are one actor, and what was decided about them.

Theory of operation. Every worker of a host looks clusters up in shared memory and leaves
what it decided in a ring there; neither waits for another. One of them is elected to
correlate (`leader`), in slices (`tick`). It does so by a thread of its own where there is one, else
with the requests that are decided. The lock it is elected by ends with its process. So another
takes over with its next tick and goes on from the snapshot. Until then, and while no worker
correlates at all, the last assignments stay in force.

A failure here never fails a request: it is noted, tried again after a while, and limits per
cluster go on with what is known.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

from ratelimit.clock import processor_ns
from ratelimit.clustering.budgets import Budgets
from ratelimit.clustering.declarations import Declarations
from ratelimit.clustering.hosts.agent import HostAgent, Hosts
from ratelimit.clustering.leader import Leader
from ratelimit.clustering.snapshot import SnapshotFile
from ratelimit.core.clusters.reasons import accounts_at, reasons
from ratelimit.core.sharing.observer import Watch
from ratelimit.correlation.overview import Overview, overviews_of
from ratelimit.policy.compile.compiled import CorrelationSpec
from ratelimit.stores.embedded.board import SharedBoard
from ratelimit.stores.embedded.process import is_alive
from ratelimit.telemetry.names import BoardNumber

SILENCE_NS = 15_000_000_000
"""A correlator silent for so long (stopped, hung, or driven by no more requests) is replaced."""
PAUSE_NS = 10_000_000_000
"""The time for which nothing is tried after a failure."""


class ClusteringService:
    """Correlation as one worker takes part in it.

    Args:
        spec: what the policy asks for.
        shared: the memory it is shared in; closed with this.
        key: the hash key, which vouches for snapshots.
        budgets: returns the limits per cluster, in the limits' store.
        diagnose: told stable codes of what deserves a word to the operator.
        elapsed_ns: measures slices.
        hosts: how to take part where several hosts share a correlator; None where this one has its own.
    """

    def __init__(
        self,
        spec: CorrelationSpec,
        shared: SharedBoard,
        key: bytes,
        *,
        budgets: Callable[[], Budgets],
        diagnose: Callable[[str], None],
        elapsed_ns: Callable[[], int] = processor_ns,
        hosts: Hosts | None = None,
    ) -> None:
        self._spec = spec
        self._shared = shared
        self._board = shared.board
        self._key = key
        self._budgets = budgets
        self._diagnose = diagnose
        self._elapsed_ns = elapsed_ns
        self._hosts = hosts
        self._lock = Lock()
        self._leader: Leader | HostAgent | None = None
        self._knowledge: Declarations | None = None
        self._resume_ns: int | None = None
        self._fault: BaseException | None = None
        self.is_kept_up = False
        """True if a thread ticks, so that decisions need not."""
        _ALL.add(self)

    def watch(self, spec: CorrelationSpec, at: int) -> Watch:
        """Return what requests are given to before they are decided and after.

        Args:
            spec: where rows of identities have what is looked at.
            at: where they have their cluster.
        """
        columns = spec.columns()
        return Watch(self._board, columns, at)

    def adapt(self, spec: CorrelationSpec) -> None:
        """Go by another policy; evidence and assignments are kept.

        The shared memory stays as large as it was opened.
        """
        with self._lock:
            self._spec = spec
            if isinstance(self._leader, HostAgent):
                self._leader.adapt(spec)
            elif self._leader is not None:
                self._leader.adapt(spec, self._snapshot())

    def know(self, knowledge: Declarations | None) -> None:
        """Go by what the operator knows, hashed; after a reload by what is known now."""
        with self._lock:
            self._knowledge = knowledge
            if self._leader is not None:
                self._leader.knowledge = knowledge

    @property
    def key(self) -> bytes:
        """The hash key it goes by."""
        return self._key

    @property
    def damage(self) -> str | None:
        """The damage of the shared memory that was left when it was opened; None without any."""
        return self._shared.damage

    def renew(self) -> str | None:
        """Leave shared memory that is damaged or gone; return what was wrong with it, None if nothing was.

        Raises:
            StoreError: no other memory can be had now.
        """
        with self._lock:
            return self._shared.renew()

    def _snapshot(self) -> SnapshotFile | None:
        wanted = self._spec.snapshot
        path = self._shared.snapshot if wanted is None else Path(wanted) if wanted else None
        return None if path is None else SnapshotFile(path, self._key)

    # -- correlating ------------------------------------------------------------------------------

    @property
    def is_elected(self) -> bool:
        """True if this worker is the one that correlates."""
        leader = self._leader
        return leader is not None and not self._board.closed and not leader.is_over

    @property
    def is_leading(self) -> bool:
        """True if this worker correlates for all hosts that share a correlator."""
        leader = self._leader
        return isinstance(leader, HostAgent) and self.is_elected and leader.is_leading

    @property
    def trouble(self) -> str:
        """The reason why the server that hosts share cannot be asked by this worker, while that lasts."""
        leader = self._leader
        return leader.trouble if isinstance(leader, HostAgent) else ""

    def tick(self, now_ns: int) -> bool:
        """Do one slice of what is to be done; return whether there is more at once.

        Never raises, and never waits: while another thread is at it there is nothing to do.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._board.closed or not self._is_resumed(now_ns):
                return False
            return self._leads(now_ns) and self._leader is not None and self._leader.step(now_ns)
        except Exception as error:
            self._fault = error
            self._resume_ns = now_ns
            self._diagnose("correlator-failed")
            return False
        finally:
            self._lock.release()

    def take_fault(self) -> BaseException | None:
        """Return the last failure once, for a log."""
        fault, self._fault = self._fault, None
        return fault

    def _is_resumed(self, now_ns: int) -> bool:
        since = self._resume_ns
        if since is not None and 0 <= now_ns - since < PAUSE_NS:
            # It failed and is alive: the others need not take over what may fail them as well.
            if self.is_elected:
                self._board.beat(now_ns)
            return False
        self._resume_ns = None
        return True

    def _leads(self, now_ns: int) -> bool:
        board, election = self._board, self._shared.election
        if self._leader is not None:
            if not self._leader.is_over:
                election.win()  # after taking over from a worker that still held it
                return True
            self._leader.leave()
            self._leader = None
            election.resign()
        term, silence_ns = board.term, now_ns - board.heartbeat_ns
        if not election.win() and not (term and silence_ns > SILENCE_NS):
            return False
        is_led = 0 <= silence_ns < SILENCE_NS and board.writer != os.getpid() and is_alive(board.writer, 0)
        if is_led and election.is_contested:
            # Another worker replaced a silent holder of the lock, and will have it with the next tick.
            election.resign()
            return False
        own = board.claim(term, os.getpid(), now_ns)
        if not own:
            return False
        self._leader = self._entered(own)
        self._leader.knowledge = self._knowledge
        return True

    def _entered(self, term: int) -> Leader | HostAgent:
        if self._hosts is not None:
            return HostAgent(
                self._board,
                term,
                self._spec,
                self._key,
                self._hosts,
                budgets=self._budgets,
                diagnose=self._diagnose,
                elapsed_ns=self._elapsed_ns,
            )
        return Leader(
            self._board,
            term,
            self._spec,
            self._snapshot(),
            budgets=self._budgets,
            diagnose=self._diagnose,
            elapsed_ns=self._elapsed_ns,
        )

    def wait_until_saved(self) -> None:
        """Wait until a snapshot that was written is on the disk, or with the server."""
        if self._leader is not None:
            self._leader.wait_until_saved()

    def resign(self, now_ns: int) -> None:
        """Leave correlating to others, after saving; look-ups and observations go on."""
        with self._lock:
            leader, self._leader = self._leader, None
            if leader is not None and not self._board.closed:
                try:
                    leader.end(now_ns)
                except Exception as error:
                    self._fault = error
                    self._diagnose("correlator-failed")
            if leader is not None and not self._board.closed:
                self._board.beat(0)  # no worker has to wait whether it comes back
            self._shared.election.resign()

    def retire(self, now_ns: int) -> None:
        """Resign, and let go of the shared memory: from then on no account has a cluster here."""
        self.resign(now_ns)
        with self._lock:
            self._shared.close()

    # -- what others read -------------------------------------------------------------------------

    def numbers(self) -> Mapping[str, int]:
        """Return the state of all workers' correlation, by the names of `BoardNumber` and the board's own.

        Those of other hosts only where there are any.
        """
        if self._board.closed:
            return {}
        return {
            **self._board.stats(),
            **{
                each.name.lower(): self._board.number(each)
                for each in BoardNumber
                if self._hosts is not None or each <= BoardNumber.SAVED_NS or each >= BoardNumber.UNLABELLED
            },
        }

    def accounts_at(self, value: int) -> int:
        """Return about how many accounts were lately seen with a hash, of a payment method or network.

        0 where that is not known, and while another worker correlates.
        """
        with self._lock:
            correlator = self._leader.correlator if self._leader is not None and self.is_elected else None
            return 0 if correlator is None else accounts_at(correlator.core, value)

    @property
    def principal(self) -> tuple[int, ...]:
        """The identities that make an account."""
        return self._spec.principal

    @property
    def groups(self) -> tuple[int, ...]:
        """The identities that stand for a group of accounts: who pays, and further evidence."""
        return self._spec.groups

    def groups_of(self, account: int) -> list[tuple[int, int]]:
        """Return the payer and further evidence that an account was lately seen with: positions and hashes.

        Nothing where that is not known, and while another worker correlates.

        Args:
            account: its key.
        """
        with self._lock:
            correlator = self._leader.correlator if self._leader is not None and self.is_elected else None
            found = None if correlator is None else reasons(correlator.core, account)
        return [
            (position, one["hash"])
            for one in (found or {"shared": ()})["shared"]
            if (position := self._spec.kinds[one["kind"]]) in self._spec.groups
        ]

    def clusters(self, breathe: Callable[[], None] = lambda: None) -> list[Overview] | None:
        """Return what is known of each cluster, the largest first.

        None while another worker correlates, or while clusters are being rebuilt.

        Args:
            breathe: called between pieces of the work; nothing is taken in before its end.
        """
        with self._lock:
            correlator = self._leader.correlator if self._leader is not None and self.is_elected else None
            if correlator is None or correlator.core.is_rebuilding:
                return None
            return overviews_of(correlator, breathe)

    def _after_fork(self) -> None:
        # Threads, their locks and the parent's term stayed behind.
        self._lock = Lock()
        if isinstance(self._leader, HostAgent):
            self._leader.abandon()
        self._leader = None
        self._resume_ns = None
        self.is_kept_up = False


_ALL: weakref.WeakSet[ClusteringService] = weakref.WeakSet()


def _reset_after_fork() -> None:
    for clustering in list(_ALL):
        clustering._after_fork()


os.register_at_fork(after_in_child=_reset_after_fork)
