"""A metric family and its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
