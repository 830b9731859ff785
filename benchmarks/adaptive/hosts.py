"""Several hosts before one back end, with a server between them or none.

A balancer sends requests to the hosts in turn. Each host has its own memory, its own controller, and a line
of those that it holds, fair by account. Their messages go through a server in the simulation,
with a delay and with loss. One host may die, and one may be cut off from the server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.loop import Coming, Loop, Outcome, one_of
from benchmarks.adaptive.phases import Phase
from benchmarks.adaptive.timeline import SECOND
from ratelimit.core.sharing.heaviest import Heaviest
from ratelimit.load.link import HostLink
from ratelimit.load.model.admission import Admission
from ratelimit.load.model.controller import Controller, Settings
from ratelimit.load.model.holding import longest_ns, share_left
from ratelimit.load.model.hosts import ALIVE_NS, Holding, HostMessage, ServerReply, lease
from ratelimit.load.model.shedding import ShedPriority, draw_lot
from ratelimit.waiting.model.line import Line, Waiter

MILLISECOND = 1_000_000
KEY = 0x5EED
"""Principals of the lots."""
LEAST_MS = 100
"""The use of a request as it goes on, as the middleware counts it."""


@dataclass(frozen=True, slots=True)
class Between:
    """The way between hosts.

    Args:
        shared: whether there is a server.
        delay_ms: of a message, there and back.
        loss: share of exchanges that fail.
        dies_s: when the first host dies; 0: never.
        cut_s: from when to when the second host cannot reach the server.
        away_s: from when to when no host can.
    """

    shared: bool = True
    delay_ms: int = 4
    loss: float = 0.0
    dies_s: int = 0
    cut_s: tuple[int, int] = (0, 0)
    away_s: tuple[int, int] = (0, 0)


NOTHING = Between(shared=False)
SERVER = Between()


def _payer(job: Job) -> int:
    return (job.account + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1 or 1


def _rank(priority: ShedPriority) -> int:
    return 2 if priority.is_over else 0


class _Host:
    """One host: its admission, its line, and its link."""

    def __init__(self, number: int, admission: Admission) -> None:
        self.number = number
        self.admission = admission
        self.link = HostLink(f"host-{number:02}", admission.flight)
        self.heaviest = Heaviest(admission.flight)
        self.line = Line(0, 0)
        self.lives = True
        self.asks = False


class HostsLoop(Loop):
    """A loop with hosts.

    Args:
        back_end, phases, make, seed: as `Loop` has them.
        hosts: how many.
        settings: of each host.
        between: how they exchange.
        accounts: the part of all requests that each account sends; the rest is of accounts that come once.
    """

    def __init__(
        self,
        back_end: BackEnd,
        phases: tuple[Phase, ...],
        make: Callable[[Settings], Controller],
        seed: int,
        hosts: int,
        settings: Settings | None = None,
        between: Between = NOTHING,
        accounts: Sequence[float] = (),
    ) -> None:
        settings = settings or Settings(first_byte_ns=back_end.target_ns)
        super().__init__(back_end, phases, make, seed, settings=settings)
        self.hosts = [_Host(at, Admission(make(settings), one_of(settings))) for at in range(hosts)]
        self.answered: dict[tuple[int, int], int] = {}
        """By phase and account: answers in time."""
        self._between = between
        self._server: dict[str, tuple[int, HostMessage, Holding]] = {}
        self._chance = Random(f"{seed} hosts")
        self._accounts = accounts
        self._next = 0
        self._strangers = 0
        if between.shared and hosts > 1:
            for host in self.hosts:
                self.timeline.at(int(self._chance.random() * SECOND // 10), partial(self._exchange, host))
        for host in self.hosts:
            self._beat(host)
        if between.dies_s:
            self.timeline.at(between.dies_s * SECOND, partial(self._die, self.hosts[0]))

    def _beat(self, host: _Host) -> None:
        host.admission.flight.beat(self.timeline.now_ns)
        if host.lives:
            self.timeline.at(self.timeline.now_ns + 2 * SECOND, partial(self._beat, host))

    def _die(self, host: _Host) -> None:
        """Its requests are the back end's still, and nobody counts them."""
        host.lives = False

    def _exchange(self, host: _Host) -> None:
        """Say and hear; what the server answers is as old as the way back."""
        if not host.lives:
            return
        link, between, now_s = host.link, self._between, self.timeline.now_ns / SECOND
        self.timeline.at(self.timeline.now_ns + link.period_ns, partial(self._exchange, host))
        told = link.say(self.now_ns())
        is_cut = host.number == 1 and between.cut_s[0] <= now_s < between.cut_s[1]
        if is_cut or between.away_s[0] <= now_s < between.away_s[1] or self._chance.random() < between.loss:
            return
        half_ns = int(between.delay_ms * MILLISECOND / 2 * (0.5 + self._chance.random()))
        self.timeline.at(
            self.timeline.now_ns + half_ns,
            partial(self._reach, host, told, link.may_wait(self.now_ns()), half_ns),
        )

    def _reach(self, host: _Host, told: HostMessage, waiting: int, half_ns: int) -> None:
        """At the server: it notes what a host says, and leases it a part of what may wait."""
        now_ms = self.timeline.now_ns // MILLISECOND + 1
        name = host.link.name
        oldest_ms = now_ms - ALIVE_NS // MILLISECOND
        others = [each for at, (at_ms, _, each) in self._server.items() if at != name and at_ms >= oldest_ms]
        leased, share = lease(others, told.unanswered, told.wanted, told.demand, waiting)
        holding = Holding(max(leased, told.unanswered), told.wanted, told.demand)
        self._server[name] = now_ms, told, holding
        found = ServerReply(
            now_ms, leased, share, {at: (at_ms, each) for at, (at_ms, each, _) in self._server.items()}
        )
        self.timeline.at(self.timeline.now_ns + half_ns, partial(self._hear, host, found))

    def _hear(self, host: _Host, found: ServerReply) -> None:
        if host.lives:
            host.link.hear(found, self.now_ns())
            self._serve(host)

    # -- requests -----------------------------------------------------------------------------------

    def _of(self, job: Job) -> _Host:
        if job.host < 0:
            alive = [host for host in self.hosts if host.lives]
            self._next += 1
            job.host = alive[self._next % len(alive)].number
            place = self._chance.random()
            self._strangers += 1
            job.account = -self._strangers
            for account, part in enumerate(self._accounts):
                if place < part:
                    job.account = account
                    break
                place -= part
        return self.hosts[job.host]

    def _at(self, job: Job) -> Admission:
        return self._of(job).admission

    def _arrive(self, job: Job, outcome: Outcome, settled: bool) -> None:
        host = self._of(job)
        outcome.arrived += 1
        second = self.run.seconds.setdefault(job.arrived_ns // SECOND, [0, 0, 0, 0])
        second[0] += 1
        coming = Coming(job, outcome, settled, second)
        priority = self._priority(job)
        rank = _rank(priority)
        if not host.line.has_waiting(rank) and self._has_room(job):
            self._send(coming)
            return
        host.admission.turn_away(self.now_ns(), priority)
        held_ns = longest_ns(host.admission.steering.target_ns)
        now_ns = self.timeline.now_ns
        expected_ns = host.line.drain_ns(host.line.ahead(job.account, 1, rank), now_ns) // 2
        if not held_ns or expected_ns > held_ns:
            self._refuse(coming)
            return
        waiter = Waiter(job.account, 1, rank, now_ns, now_ns + held_ns)
        waiter.note = coming
        host.line.join(waiter)
        host.admission.flight.hold(1, self.now_ns(), priority.is_over)
        self.timeline.at(waiter.ends_ns, partial(self._over, host, waiter))
        self._look(host)

    def _has_room(self, job: Job) -> bool:
        host = self._of(job)
        left = share_left(self.timeline.now_ns - job.arrived_ns, host.admission.steering.target_ns)
        priority = self._priority(job)
        return host.admission.has_room(self.now_ns(), left * priority.share(), priority.kept())

    def _priority(self, job: Job) -> ShedPriority:
        """Of accounts the heaviest of the last minute go first, as `shed_priority_of` has it."""
        payer, now_ns = _payer(job), self.now_ns()
        lighter = self._of(job).heaviest.share_lighter(payer, now_ns)
        is_over = self._of(job).admission.shares.is_over(payer)
        return ShedPriority(lighter=lighter, lot=draw_lot(payer, KEY, now_ns), account=payer, is_over=is_over)

    def _send(self, coming: Coming) -> None:
        super()._send(coming)
        self._of(coming.job).heaviest.charge(_payer(coming.job), LEAST_MS, self.now_ns())
        self._of(coming.job).admission.shares.served(_payer(coming.job))

    def _refuse(self, coming: Coming) -> None:
        super()._refuse(coming)
        shares, payer = self._of(coming.job).admission.shares, _payer(coming.job)
        shares.shed(payer, 1, shares.is_over(payer))

    def _over(self, host: _Host, waiter: Waiter) -> None:
        if waiter.line is None:
            return
        host.line.leave(waiter)
        host.admission.flight.hold(-1, self.now_ns(), waiter.rank > 0)
        self._refuse(waiter.note)
        host.admission.turn_away(self.now_ns(), self._priority(waiter.note.job))

    def _look(self, host: _Host) -> None:
        """Let the first of a host's line ask every 20 ms, as `LoadQueue` has it."""
        if not host.asks:
            host.asks = True
            self.timeline.at(self.timeline.now_ns + 20 * MILLISECOND, partial(self._look_again, host))

    def _look_again(self, host: _Host) -> None:
        host.asks = False
        self._serve(host)
        if host.line.size:
            self._look(host)

    def _serve(self, host: _Host) -> None:
        while (waiter := host.line.head()) is not None and self._has_room(waiter.note.job):
            host.line.serve(waiter, self.timeline.now_ns)
            host.admission.flight.hold(-1, self.now_ns(), waiter.rank > 0)
            self._send(waiter.note)

    def _go_on(self) -> None:
        """A host hears of its own answers alone; the others look."""

    def _began(self, job: Job, outcome: Outcome, settled: bool) -> None:
        if self._back_end.is_in_time(job, self.timeline.now_ns - job.arrived_ns):
            self.answered[job.phase, job.account] = self.answered.get((job.phase, job.account), 0) + 1
        super()._began(job, outcome, settled)
        self._serve(self.hosts[job.host])

    def _ended(self, job: Job) -> None:
        super()._ended(job)
        took_ms = (self.timeline.now_ns - job.arrived_ns) // MILLISECOND
        self.hosts[job.host].heaviest.charge(_payer(job), took_ms, self.now_ns())
        self._serve(self.hosts[job.host])

    def _failed(self, job: Job) -> None:
        super()._failed(job)
        self._serve(self.hosts[job.host])
