"""What the demo says at the end: was anyone held back who should not be, and were the others held?

The greedy are held against what the policy grants them: the limit's burst and its
rate over the time that passed. One request of slack for each person covers that
both ends of a run are cut off somewhere inside a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ratelimit.demo.people import POPULATIONS, Population
from ratelimit.demo.state import Seen, State

_ENOUGH_S = 15


@dataclass(frozen=True, slots=True)
class Grant:
    """What the policy lets one key of a limit have: requests at once, and a minute."""

    burst: int
    per_minute: int
    per_request: int = 1
    """Units a request takes."""


@dataclass(frozen=True, slots=True)
class Line:
    """One population's outcome."""

    name: str
    honest: bool
    admitted: int
    refused: int
    held_by: str | None
    admitted_per_minute: float
    """Of one person, or of all together where the limit binds them together."""
    granted_per_minute: float | None
    """What the policy grants over this run, as a rate; None where it is not a rate."""
    good: bool

    def sentence(self) -> str:
        """Return it in words."""
        if self.honest:
            return f"{self.name}: {self.refused} refused of {self.admitted + self.refused}"
        held = (
            f"{self.name}: {self.refused} refused of {self.admitted + self.refused}, held by “{self.held_by}”"
        )
        if self.granted_per_minute is None:
            return held
        return f"{held} to {self.admitted_per_minute:.0f} a minute (granted: {self.granted_per_minute:.0f})"


def judge(state: State, grants: dict[str, Grant]) -> list[Line]:
    """Return the outcome of each population, in their order."""
    return [
        _line(population, state.populations.get(population.name, Seen()), state.elapsed_s, grants)
        for population in POPULATIONS
    ]


def as_json(state: State, lines: list[Line]) -> dict[str, Any]:
    """Return the outcome for machines."""
    return {
        "seconds": round(state.elapsed_s, 2),
        "requests": sum(line.admitted + line.refused for line in lines),
        "good": all(line.good for line in lines),
        "populations": [
            {
                "name": line.name,
                "honest": line.honest,
                "admitted": line.admitted,
                "refused": line.refused,
                "refused_by": state.populations[line.name].refused if line.name in state.populations else {},
                "admitted_per_minute": round(line.admitted_per_minute, 1),
                "granted_per_minute": None
                if line.granted_per_minute is None
                else round(line.granted_per_minute, 1),
                "good": line.good,
            }
            for line in lines
        ],
    }


def _line(population: Population, seen: Seen, elapsed_s: float, grants: dict[str, Grant]) -> Line:
    minutes = max(elapsed_s, 1e-9) / 60
    parties = population.people if population.per_person else 1
    rate = seen.admitted / parties / minutes
    held_by = max(seen.refused, key=lambda limit: seen.refused[limit], default=population.limit)
    if population.honest:
        return Line(
            population.name, True, seen.admitted, seen.refusals, None, rate, None, good=not seen.refusals
        )
    grant = grants.get(population.limit or "")
    # A run may be too short for the slower ones to use up what they may have.
    bitten = seen.refusals > 0 or elapsed_s < _ENOUGH_S
    if grant is None:
        return Line(population.name, False, seen.admitted, seen.refusals, held_by, rate, None, bitten)
    # Units are settled after the answer: the last request may overdraw by its whole cost.
    granted = (grant.burst + grant.per_minute * minutes) / grant.per_request + (grant.per_request > 1)
    granted_rate = granted / minutes
    good = bitten and seen.admitted <= (granted + 1) * parties
    return Line(population.name, False, seen.admitted, seen.refusals, held_by, rate, granted_rate, good)
