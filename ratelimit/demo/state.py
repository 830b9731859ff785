"""The state of the demo at one moment, gathered from its two sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ratelimit.demo.people import POPULATIONS, Population
from ratelimit.parsing.json import read_json
from ratelimit.telemetry.snapshot import Snapshot, total

NEARLY_ALL = 0.95


@dataclass(slots=True)
class PopulationTotals:
    """One population's totals as its process reported them."""

    sent: int = 0
    admitted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    failed: int = 0

    @property
    def refusals(self) -> int:
        """Refusals by whatever limit."""
        return sum(self.refused.values())


@dataclass(frozen=True, slots=True)
class Actor:
    """One cluster, as the server reports it."""

    id: str
    size: int
    verdict: str | None
    why: str
    words: str
    age_s: float
    evidence: dict[str, float]
    certain: dict[str, int]
    """Members that may be refused, by population."""
    likely: dict[str, int]
    """And those that are only shown."""


@dataclass(frozen=True, slots=True)
class ContainmentTime:
    """The time when a population was wholly one cluster, and its admitted requests until then."""

    since_s: float
    admitted: int


@dataclass(slots=True)
class State:
    """Totals of all populations, the servers' own counters, and how fast things go."""

    seconds: float
    ports: Sequence[int]
    """Of each host's server."""
    policy: str
    redis: str | None = None
    """The place of the hosts' counters, if not in one host's memory."""
    elapsed_s: float = 0.0
    populations: dict[str, PopulationTotals] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    admitted_per_s: float = 0.0
    refused_per_s: float = 0.0
    actors: list[Actor] = field(default_factory=list)
    held: dict[str, ContainmentTime] = field(default_factory=dict)
    """By population."""
    decided: list[int] = field(default_factory=list)
    """Requests, by server."""

    @property
    def url(self) -> str:
        """The place where the first server listens."""
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def urls(self) -> list[str]:
        """The place where all servers listen."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def take_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Take each server's counters."""
        self.snapshot = total(snapshots)
        self.decided = [one.decided for one in snapshots]

    def take_report(self, line: str) -> None:
        """Take one line of the population's report."""
        report: dict[str, Any] = read_json(line)
        before_s, before = self.elapsed_s, self._totals()
        self.elapsed_s = report["elapsed_s"]
        self.populations = {name: PopulationTotals(**seen) for name, seen in report["populations"].items()}
        passed_s = self.elapsed_s - before_s
        if passed_s > 0:
            # Smoothed over about two seconds: bare quarters of a second are unreadable.
            weight = min(passed_s / 2, 1.0)
            admitted, refused = (
                (now - then) / passed_s for now, then in zip(self._totals(), before, strict=True)
            )
            self.admitted_per_s += weight * (admitted - self.admitted_per_s)
            self.refused_per_s += weight * (refused - self.refused_per_s)

    def take_actors(self, text: str) -> None:
        """Take what a server reports of clusters; what one without a correlator says is nothing new."""
        actors = [Actor(**actor) for actor in read_json(text)["actors"]]
        if not actors and len(self.ports) > 1:
            return
        self.actors = actors
        for population in POPULATIONS:
            seen = self.populations.get(population.name)
            if seen is not None and population.name not in self.held and self.is_one_actor(population):
                self.held[population.name] = ContainmentTime(self.elapsed_s, seen.admitted)

    def is_one_actor(self, population: Population) -> bool:
        """Return whether nearly all of a population are one actor for certain, with one budget."""
        return any(
            actor.certain.get(population.name, 0) >= NEARLY_ALL * population.people for actor in self.actors
        )

    def drawn_in(self, population: Population) -> int:
        """Return how many of a population are certain members of an actor."""
        return sum(actor.certain.get(population.name, 0) for actor in self.actors)

    def likely_in(self, population: Population) -> int:
        """Return how many of a population are likely members: shown, and left alone."""
        return sum(actor.likely.get(population.name, 0) for actor in self.actors)

    def _totals(self) -> tuple[int, int]:
        seen = self.populations.values()
        return sum(one.admitted for one in seen), sum(one.refusals for one in seen)
