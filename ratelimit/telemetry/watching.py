"""A deployment as its shared table shows it to a process that is not one of its workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ratelimit.clock import Clock
from ratelimit.core.sharing.inflight import InFlight
from ratelimit.telemetry.collector import CounterTable, WatchedRule
from ratelimit.telemetry.load import load_numbers


@dataclass(frozen=True, slots=True)
class NoPolicy:
    """Stands where it is not known which policy is in force."""

    digest: int = 0


class WatchedTable:
    """Implements `collector.Watched` without a limiter.

    What only a worker knows of itself (its policy's generation, when it reloaded, which it is) is 0.
    """

    generation = 0
    reloaded_ns = 0
    last_reload = None
    policy = NoPolicy()
    correlation: Mapping[str, int] = MappingProxyType({})
    remote: Mapping[str, float] = MappingProxyType({})
    queue: None = None
    exemplars: None = None
    unsettled_units: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        table: CounterTable,
        rules: Sequence[WatchedRule],
        clock: Clock,
        flight: InFlight | None = None,
        load_classes: Sequence[str] = (),
        *,
        load_floor: int = 0,
        load_in_shadow: bool = False,
    ) -> None:
        self.table = table
        self.load_classes = load_classes
        self._flight = flight
        self._floor, self._in_shadow = load_floor, load_in_shadow
        self.rules = rules
        self._clock = clock

    @property
    def load_numbers(self) -> Mapping[str, float]:
        """The limit that follows the load; empty where there is none."""
        if self._flight is None:
            return {}
        return load_numbers(self._flight, self.now_ns(), floor=self._floor, is_shadow=self._in_shadow)

    def now_ns(self) -> int:
        """Return the deployment's own time."""
        return self._clock.now_ns()

    def drift_ns(self) -> int:
        """Return how far the civil clock has stepped away from it."""
        drift = getattr(self._clock, "drift_ns", None)
        return drift() if drift is not None else 0
