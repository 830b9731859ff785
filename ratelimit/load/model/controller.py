"""The contract of a controller: its inputs, and its answer, how much may be in flight.

The controller computes and the admission enforces, as in Netflix' concurrency-limits. So each
algorithm can be tried against a simulated back end, and none of them counts requests itself.

Laws that every controller keeps, and `tests/load` holds:

- Its allowance is within the bounds of its settings at every instant, whatever it is told.
- What it is told twice at one instant, or with a clock that stepped back, never raises.
- Slower first bytes never leave a larger allowance than quicker ones would have.
- Where nothing is observed, nothing changes.
- One that takes the words of another over goes on as that would have, but for answers long past.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ratelimit.load.model.settings import Settings


@dataclass(frozen=True, slots=True)
class Allowance:
    """Most requests that may be in flight, and most of them that may have no first byte yet."""

    in_flight: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Allowances for any number of answers that are under way.

    Args:
        in_flight: most requests in flight.
        free: most of them without a first byte, while places of the back end are free.
        full: the same from `full_from` answers under way on. Before that the free places are taken at once,
            so as many more may wait as there are, where `places` says it.
        full_from: see there.
        patience_ns: while no first byte comes, patience_ns ÷ silence may still wait, and one at least; 0:
            silence does not matter.
        places: answers under way when all places are taken; 0: it is not known.
        beside: of those without a first byte so many are worked on, and are no queue; 0: it is not known.
    """

    in_flight: int
    free: int
    full: int
    full_from: int = 0
    patience_ns: int = 0
    places: int = 0
    beside: int = 0

    def at(self, running: int) -> Allowance:
        """Return the allowance with so many answers that have begun and are not over."""
        if running >= self.full_from:
            return Allowance(self.in_flight, self.full)
        beside = self.full + max(0, self.places - running)
        return Allowance(self.in_flight, min(self.free, beside) if self.places else self.free)


class AnsweredRequest(NamedTuple):
    """The first byte of a request that was admitted, for a client that did not hang up.

    Args:
        admitted_ns: when the request was let through.
        first_byte_ns: when its answer began.
        in_flight: requests in flight when it was let through, itself included.
        unanswered: of these, those that had no first byte then, itself included.
        mark: what the controller that observed it gave it for the one that takes over.
    """

    admitted_ns: int
    first_byte_ns: int
    in_flight: int
    unanswered: int
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """The requests in flight, all workers together.

    Args:
        in_flight: now.
        unanswered: of these, without a first byte.
        most_in_flight: most since the step before.
        most_unanswered: most without a first byte since the step before.
        turned_away: requests that found no room since the step before.
        waiting: when each request without a first byte was admitted, and how many were without one
            then, itself included; the oldest first, as many of them as are kept.
    """

    in_flight: int
    unanswered: int
    most_in_flight: int
    most_unanswered: int
    turned_away: int
    waiting: Sequence[tuple[int, int]]


class Controller(Protocol):
    """An algorithm with the state of one route group."""

    def bounds(self) -> Bounds:
        """Return what may be in flight."""

    @property
    def target_ns(self) -> int:
        """The target of the first byte; 0 where the algorithm has no target."""

    @property
    def pressure(self) -> float:
        """The lateness of first bytes: 1 is the target. Infinite where the algorithm has no target."""

    @property
    def places(self) -> float | None:
        """The number of answers under way when all places are taken; None where it is not known."""

    def observe(self, answer: AnsweredRequest) -> int:
        """Take notice of a first byte; return a byte to keep with it, see `AnsweredRequest.mark`."""

    def failed(self, admitted_ns: int, now_ns: int) -> None:
        """Take notice that the back end refused a request itself: 429, 503 or 529."""

    def step(self, now_ns: int, load: Load) -> None:
        """Look at the load. Called about every `Settings.step_ns`; what comes sooner is ignored."""

    def words(self) -> Sequence[float]:
        """Return what another controller of this kind needs to go on: `FLIGHT_WORDS` numbers at most."""

    def take_over(self, words: Sequence[float], answers: Iterable[AnsweredRequest]) -> None:
        """Go on where another left off; its words may be of other settings, or of damaged memory.

        Args:
            words: the other's.
            answers: the last of those that it observed.
        """


__all__ = ["Allowance", "AnsweredRequest", "Bounds", "Controller", "Load", "Settings"]
