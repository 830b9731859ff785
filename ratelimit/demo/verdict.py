"""The verdict at the end of the demo: was an honest account held back, and were the greedy held?

The greedy are held against what the policy grants them: the limit's burst and its
rate over the time that passed. A campaign first has to be found; what it was admitted
until then is beside the point, and what it is granted counts from there. One request of
slack for each person covers that both ends of a run are cut off somewhere inside a request.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ratelimit.demo.people import CLUSTER_LIMIT, POPULATIONS, Population
from ratelimit.demo.state import NEARLY_ALL, PopulationTotals, State

_ENOUGH_S = 15
_FOUND_S = 30
"""The time when a campaign should have become one actor."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The room that the policy gives to one key of a limit: requests at once, and a minute."""

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
    since_s: float = 0.0
    """From when on the limit held them: 0 unless they had to be found to be one actor first."""
    likely: int = 0
    """Honest accounts that look like one actor, and were left alone."""

    def sentence(self) -> str:
        """Return it in words."""
        if self.honest:
            alone = f"; {self.likely} accounts likely one actor, and left alone" if self.likely else ""
            return f"{self.name}: {self.refused} refused of {self.admitted + self.refused}{alone}"
        asked = self.admitted + self.refused
        if self.since_s:
            return (
                f"{self.name}: one actor since second {self.since_s:.0f}; {self.refused} refused of {asked}"
            )
        held = f"{self.name}: {self.refused} refused of {asked} by “{self.held_by}”"
        if self.granted_per_minute is None:
            return held
        return f"{held}, {self.admitted_per_minute:.0f} a minute (granted: {self.granted_per_minute:.0f})"


def judge(state: State, grants: dict[str, Grant]) -> list[Line]:
    """Return the outcome of each population, in their order."""
    return [
        _campaign(population, state, grants)
        if population.limit == CLUSTER_LIMIT
        else _line(population, state.populations.get(population.name, PopulationTotals()), state, grants)
        for population in POPULATIONS
    ]


def account_of(state: State) -> list[tuple[str, str]]:
    """Return what one budget for one actor came to: a population, and a sentence."""
    found = []
    asked = refused = people = drawn_in = likely = 0
    for population in POPULATIONS:
        seen = state.populations.get(population.name, PopulationTotals())
        if population.limit == CLUSTER_LIMIT:
            sent = seen.admitted + seen.refusals
            alone = without(seen, CLUSTER_LIMIT)
            found.append(
                (
                    population.name,
                    f"{seen.admitted:,} of {sent:,} requests admitted; "
                    f"limits per account alone: {'all ' if alone == sent else ''}{alone:,}",
                )
            )
        elif population.honest:
            asked += seen.admitted + seen.refusals
            refused += seen.refusals
            people += population.people
            drawn_in += state.drawn_in(population)
            likely += state.likely_in(population)
    honest = (
        f"{refused:,} of {asked:,} requests refused; of {people} accounts {drawn_in} certain, {likely} likely"
    )
    return [*found, ("honest", honest)]


def without(seen: PopulationTotals, limit: str) -> int:
    """Return how many would have been admitted without a limit: it refused them, and no other did."""
    return seen.admitted + seen.refused.get(limit, 0)


def as_json(state: State, lines: list[Line]) -> dict[str, Any]:
    """Return the outcome for machines."""
    return {
        "seconds": round(state.elapsed_s, 2),
        "requests": sum(line.admitted + line.refused for line in lines),
        "decided": state.decided,
        "good": all(line.good for line in lines),
        "actors": [asdict(actor) for actor in state.actors],
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
                "held_since_s": round(line.since_s, 2) or None,
                "certain": state.drawn_in(population),
                "likely": state.likely_in(population),
                "admitted_without_clusters": without(
                    state.populations.get(line.name, PopulationTotals()), CLUSTER_LIMIT
                ),
                "good": line.good,
            }
            for population, line in zip(POPULATIONS, lines, strict=True)
        ],
    }


def _campaign(population: Population, state: State, grants: dict[str, Grant]) -> Line:
    """Return the outcome of a population that has to be found to be one actor before a limit holds it."""
    seen = state.populations.get(population.name, PopulationTotals())
    held, grant = state.held.get(population.name), grants[CLUSTER_LIMIT]
    if held is None:
        minutes = max(state.elapsed_s, 1e-9) / 60
        rate, good = seen.admitted / minutes, state.elapsed_s < _FOUND_S
        return Line(population.name, False, seen.admitted, seen.refusals, population.limit, rate, None, good)
    minutes = max(state.elapsed_s - held.since_s, 1e-9) / 60
    admitted, granted = seen.admitted - held.admitted, grant.burst + grant.per_minute * minutes
    # It held a little before it was seen to; and the few accounts still outside go by their own limits.
    outside = (1 - NEARLY_ALL) * population.people / population.pause_s * 60 * minutes
    return Line(
        population.name,
        False,
        seen.admitted,
        seen.refusals,
        population.limit,
        admitted / minutes,
        granted / minutes,
        good=admitted <= granted + outside + 1 and (seen.refusals > 0 or state.elapsed_s < _FOUND_S),
        since_s=held.since_s,
    )


def _line(population: Population, seen: PopulationTotals, state: State, grants: dict[str, Grant]) -> Line:
    elapsed_s = state.elapsed_s
    minutes = max(elapsed_s, 1e-9) / 60
    parties = population.people if population.per_person else 1
    rate = seen.admitted / parties / minutes
    held_by = max(seen.refused, key=lambda limit: seen.refused[limit], default=population.limit)
    if population.honest:
        good = not seen.refusals and not state.drawn_in(population)
        likely = state.likely_in(population)
        return Line(
            population.name, True, seen.admitted, seen.refusals, None, rate, None, good, likely=likely
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
