"""A deployment as its shared table shows it to a process that is not one of its workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ratelimit.clock import Clock
from ratelimit.load.metrics import WatchedLoad
from ratelimit.telemetry.collector import CounterTable, WatchedRule


@dataclass(frozen=True, slots=True)
class NoPolicy:
    """Stands where it is not known which policy is in force."""

    digest: int = 0


class WatchedTable:
    """Implements `collector.Watched` without a limiter.

    What only a worker knows of itself (its policy's generation, when it reloaded, which it is) is 0.

    Args:
        table: its counters.
        rules: of its policy.
        clock: its own.
        loads: returns the limits that follow the load, as they are at an instant.
    """

    generation = 0
    reloaded_ns = 0
    last_reload = None
    policy = NoPolicy()
    correlation: Mapping[str, int] = MappingProxyType({})
    remote: Mapping[str, float] = MappingProxyType({})
    records: None = None
    queue: None = None
    exemplars: None = None
    unsettled_units: Mapping[str, int] = MappingProxyType({})
    metered_routes: Sequence[str] = ()

    def __init__(
        self,
        table: CounterTable,
        rules: Sequence[WatchedRule],
        clock: Clock,
        loads: Callable[[int], Sequence[WatchedLoad]] = lambda now_ns: (),
    ) -> None:
        self.table = table
        self._loads = loads
        self.rules = rules
        self._clock = clock

    @property
    def watched_loads(self) -> Sequence[WatchedLoad]:
        """The limits that follow the load, as metrics tell them."""
        return self._loads(self.now_ns())

    def now_ns(self) -> int:
        """Return the deployment's own time."""
        return self._clock.now_ns()

    def drift_ns(self) -> int:
        """Return how far the civil clock has stepped away from it."""
        drift = getattr(self._clock, "drift_ns", None)
        return drift() if drift is not None else 0
