"""What a limiter has to do with correlation: who is one actor, and what was decided.

Theory of operation. Every worker of a host looks clusters up in shared memory and leaves
what it decided in a ring there; neither waits for anybody. One of them is elected to
correlate (`tenure`), in slices: by a thread of its own where there is one (`tick`), else by
whoever decides next (`drive`). The lock it is elected by ends with its process, so another
takes over with its next tick and goes on from the snapshot; until then, and while nobody
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

from ratelimit.budgets import Budgets
from ratelimit.clock import processor_ns
from ratelimit.core.sighting import Columns
from ratelimit.core.watch import Watch
from ratelimit.correlation.overview import Overview, overviews_of
from ratelimit.hosts.bridge import Bridge, Hosts
from ratelimit.known import Knowledge
from ratelimit.policy.compiled import CorrelationSpec
from ratelimit.snapshot import SnapshotFile
from ratelimit.stores.boards import SharedBoard
from ratelimit.stores.process import is_alive
from ratelimit.telemetry.names import BoardNumber
from ratelimit.tenure import Tenure

INTERVAL_NS = 100_000_000
"""How often the ring is looked into."""
SILENCE_NS = 15_000_000_000
"""A correlator silent for so long (stopped, hung, or driven by no more requests) is replaced."""
PAUSE_NS = 10_000_000_000
"""How long nothing is tried after a failure."""


class Correlating:
    """Correlation as one worker takes part in it.

    Args:
        spec: what the policy asks for.
        shared: the memory it is shared in; closed with this.
        key: the hash key, which vouches for snapshots.
        budgets: returns the limits per cluster, in the limits' store.
        notice: told stable codes of what deserves a word to the operator.
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
        notice: Callable[[str], None],
        elapsed_ns: Callable[[], int] = processor_ns,
        hosts: Hosts | None = None,
    ) -> None:
        self._spec = spec
        self._shared = shared
        self._board = shared.board
        self._key = key
        self._budgets = budgets
        self._notice = notice
        self._elapsed_ns = elapsed_ns
        self._hosts = hosts
        self._lock = Lock()
        self._tenure: Tenure | Bridge | None = None
        self._knowledge: Knowledge | None = None
        self._next_ns: int | None = None
        self._resume_ns: int | None = None
        self._fault: BaseException | None = None
        self.is_kept_up = False
        """Whether a thread ticks, so that nobody else has to."""
        _ALL.add(self)

    def watch(self, spec: CorrelationSpec, at: int) -> Watch:
        """Return what requests are given to before they are decided and after.

        Args:
            spec: where rows of identities have what is looked at.
            at: where they have their cluster.
        """
        columns = Columns(spec.principal, spec.kinds, spec.created, spec.costly)
        columns.tell_new(spec.new, int(spec.settings["new_s"]))
        return Watch(self._board, columns, at)

    def adapt(self, spec: CorrelationSpec) -> None:
        """Go by another policy; evidence and assignments are kept.

        The shared memory stays as large as it was opened.
        """
        with self._lock:
            self._spec = spec
            if isinstance(self._tenure, Bridge):
                self._tenure.adapt(spec)
            elif self._tenure is not None:
                self._tenure.adapt(spec, self._snapshot())

    def know(self, knowledge: Knowledge | None) -> None:
        """Go by what the operator knows, hashed; after a reload by what is known now."""
        with self._lock:
            self._knowledge = knowledge
            if self._tenure is not None:
                self._tenure.knowledge = knowledge

    @property
    def key(self) -> bytes:
        """The hash key it goes by."""
        return self._key

    @property
    def damage(self) -> str | None:
        """What was wrong with the shared memory that was left when it was opened; None if nothing was."""
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
        """Whether this worker is the one that correlates."""
        tenure = self._tenure
        return tenure is not None and not self._board.closed and not tenure.is_over

    @property
    def is_leading(self) -> bool:
        """Whether this worker correlates for all hosts that share a correlator."""
        tenure = self._tenure
        return isinstance(tenure, Bridge) and self.is_elected and tenure.is_leading

    @property
    def trouble(self) -> str:
        """Why the server that hosts share cannot be asked by this worker, while that lasts."""
        tenure = self._tenure
        return tenure.trouble if isinstance(tenure, Bridge) else ""

    def tick(self, now_ns: int) -> bool:
        """Do one slice of what is to be done; return whether there is more at once.

        Never raises, and never waits: while another thread is at it there is nothing to do.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._board.closed or not self._is_resumed(now_ns):
                return False
            return self._leads(now_ns) and self._tenure is not None and self._tenure.step(now_ns)
        except Exception as error:
            self._fault = error
            self._resume_ns = now_ns
            self._notice("correlator-failed")
            return False
        finally:
            self._lock.release()

    def drive(self, now_ns: int) -> None:
        """Tick if it is time to and no thread does."""
        if self.is_kept_up or (self._next_ns is not None and 0 <= self._next_ns - now_ns <= INTERVAL_NS):
            return
        self._next_ns = None if self.tick(now_ns) else now_ns + INTERVAL_NS

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
        if self._tenure is not None:
            if not self._tenure.is_over:
                election.win()  # after taking over from one who still held it
                return True
            self._tenure.leave()
            self._tenure = None
            election.resign()
        term, silence_ns = board.term, now_ns - board.heartbeat_ns
        if not election.win() and not (term and silence_ns > SILENCE_NS):
            return False
        is_led = 0 <= silence_ns < SILENCE_NS and board.writer != os.getpid() and is_alive(board.writer, 0)
        if is_led and election.is_contested:
            # Somebody replaced a silent holder of the lock, and will have it with the next tick.
            election.resign()
            return False
        own = board.claim(term, os.getpid(), now_ns)
        if not own:
            return False
        self._tenure = self._entered(own)
        self._tenure.knowledge = self._knowledge
        return True

    def _entered(self, term: int) -> Tenure | Bridge:
        if self._hosts is not None:
            return Bridge(
                self._board,
                term,
                self._spec,
                self._key,
                self._hosts,
                budgets=self._budgets,
                notice=self._notice,
                elapsed_ns=self._elapsed_ns,
            )
        return Tenure(
            self._board,
            term,
            self._spec,
            self._snapshot(),
            budgets=self._budgets,
            notice=self._notice,
            elapsed_ns=self._elapsed_ns,
        )

    def settle(self) -> None:
        """Wait until a snapshot that was written is on the disk, or with the server."""
        if self._tenure is not None:
            self._tenure.settle()

    def rest(self, now_ns: int) -> None:
        """Leave correlating to others, after saving; look-ups and observations go on."""
        with self._lock:
            tenure, self._tenure = self._tenure, None
            if tenure is not None and not self._board.closed:
                try:
                    tenure.end(now_ns)
                except Exception as error:
                    self._fault = error
                    self._notice("correlator-failed")
            if tenure is not None and not self._board.closed:
                self._board.beat(0)  # nobody has to wait whether it comes back
            self._shared.election.resign()
            self._next_ns = None

    def close(self, now_ns: int) -> None:
        """Rest, and let go of the shared memory: from then on nobody has a cluster here."""
        self.rest(now_ns)
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
                if self._hosts is not None or each <= BoardNumber.SAVED_NS
            },
        }

    def clusters(self) -> list[Overview] | None:
        """Return what is known of each cluster, the largest first.

        None while another worker correlates, or while clusters are being rebuilt.
        """
        with self._lock:
            correlator = self._tenure.correlator if self._tenure is not None and self.is_elected else None
            if correlator is None or correlator.core.judging:
                return None
            return overviews_of(correlator)

    def _after_fork(self) -> None:
        # Threads, their locks and the parent's term stayed behind.
        self._lock = Lock()
        if isinstance(self._tenure, Bridge):
            self._tenure.abandon()
        self._tenure = None
        self._next_ns = self._resume_ns = None
        self.is_kept_up = False


_ALL: weakref.WeakSet[Correlating] = weakref.WeakSet()


def _reset_after_fork() -> None:
    for correlating in list(_ALL):
        correlating._after_fork()


os.register_at_fork(after_in_child=_reset_after_fork)
