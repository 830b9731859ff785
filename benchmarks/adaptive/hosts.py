"""Several hosts before one back end: each has a limit of its own, and does not know the others."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.loop import Loop, one_of
from benchmarks.adaptive.phases import Phase
from ratelimit.load.model.admission import Admission
from ratelimit.load.model.controller import Controller, Settings


class HostsLoop(Loop):
    """A balancer sends requests to the hosts in turn; nothing is held in a gateway.

    Args:
        back_end, phases, make, seed: as `Loop` has them.
        hosts: how many.
        settings: of each host.
    """

    def __init__(
        self,
        back_end: BackEnd,
        phases: tuple[Phase, ...],
        make: Callable[[Settings], Controller],
        seed: int,
        hosts: int,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings(first_byte_ns=back_end.target_ns)
        super().__init__(back_end, phases, make, seed, settings=settings, holds=False)
        self._hosts = [Admission(make(settings), one_of(settings)) for _ in range(hosts)]
        self._next = 0

    def _at(self, job: Job) -> Admission:
        if job.host < 0:
            job.host = self._next
            self._next = (self._next + 1) % len(self._hosts)
        return self._hosts[job.host]
