"""A metric family, its labels and its values. A feature's module `metrics` has `METRICS`, and `samples`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Label:
    """One label, and where its values come from; `values` is empty if the policy names them."""

    name: str
    values: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family as exported. Counters get their `_total` from the exposition format."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[Label, ...] = ()
    per_worker: bool = False
    """Whether the value is the answering worker's own; all others are the host's."""
    bounds: tuple[int, ...] = ()
    """Of a histogram: the upper bounds of its buckets; one more takes the rest."""
    scale: int = 1_000_000_000
    """Of a histogram: what its bounds and its sum are divided by."""

    @property
    def exported(self) -> str:
        """The name as it is queried."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    @property
    def series(self) -> tuple[str, ...]:
        """Every series name a query may use."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.exported,)


class Samples(NamedTuple):
    """The values of a family at an instant."""

    metric: Metric
    values: Sequence[tuple[Mapping[str, str], Any]]
    """By labels: a number; of a histogram a cell for each bound, one for the rest, and one for the sum."""


class Totals(Protocol):
    """Sums a counter over all workers."""

    def __call__(self, name: str, width: int = 8) -> Sequence[int]: ...


class FeatureMetrics(Protocol):
    """A feature's module `metrics`."""

    METRICS: Sequence[Metric]

    def samples(self, limiter: Any, totals: Totals) -> Iterator[Samples]:
        """Yield its families; none that the policy does not use."""
        ...


def plain(metric: Metric, value: Any) -> Samples:
    """Return a family without labels."""
    return Samples(metric, [({}, value)])


def labelled(metric: Metric, values: Mapping[str, float]) -> Samples:
    """Return a family with one label, a value for each of its values."""
    (label,) = metric.labels
    return Samples(metric, [({label.name: value}, number) for value, number in values.items()])


def counted(metric: Metric, cells: Sequence[int]) -> Samples:
    """Return a family with one label, and a column of its counter for each of its values."""
    return labelled(metric, dict(zip(metric.labels[0].values, cells, strict=False)))
