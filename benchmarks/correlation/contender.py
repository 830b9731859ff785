"""The contract of whatever decides a trace, so that all are judged alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.numbers import Ints
from benchmarks.correlation.trace import Trace

NONE = -1
"""No cluster."""


@dataclass(frozen=True)
class Outcome:
    """What a contender made of a trace.

    Args:
        admitted: of each request.
        cluster: of each request, when it was decided; -1 for none.
        final: of each account, at the end; -1 for none.
        history: snapshots (time, cluster of each account), for a look at how ids hold.
        cost: numbers worth telling, as seconds or bytes, by name.
        verdict: of each request, 0 none, 1 likely, 2 certain; None where every cluster is certain.
    """

    admitted: NDArray[np.bool_]
    cluster: Ints
    final: Ints
    history: tuple[tuple[int, Ints], ...] = ()
    cost: dict[str, float] = field(default_factory=dict)
    verdict: Ints | None = None

    @property
    def verdicts(self) -> Ints:
        """The verdict of each request: whatever is in a cluster is certain, unless it says otherwise."""
        return np.where(self.cluster >= 0, 2, 0) if self.verdict is None else self.verdict


class Contender(Protocol):
    """Decides a trace.

    `run` may use everything a request shows and nothing of `trace.truth`. It returns
    one row a request, in the trace's order. `control` does the same without correlation;
    collateral and containment are differences to it.
    """

    @property
    def name(self) -> str:
        """What results call it."""
        ...

    def run(self, trace: Trace) -> Outcome:
        """Return what it decides."""
        ...

    def control(self, trace: Trace) -> Outcome:
        """Return what it decides with correlation off."""
        ...


def unclustered(trace: Trace, admitted: NDArray[np.bool_]) -> Outcome:
    """Return the outcome of a contender that knows no clusters."""
    return Outcome(admitted, np.full(len(trace), NONE), np.full(trace.accounts, NONE))
