"""A scenario: honest people, and what is put beside them, as one trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.correlation import exits
from benchmarks.correlation.campaign import Campaign, Troop, begin
from benchmarks.correlation.campaigns import BASE, CAMPAIGNS
from benchmarks.correlation.frontier import variant
from benchmarks.correlation.negatives import NEGATIVES
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS, START_NS
from benchmarks.correlation.poison import POISON
from benchmarks.correlation.population import honest
from benchmarks.correlation.servegen import Recorded, clients
from benchmarks.correlation.tokens import Tokens
from benchmarks.correlation.trace import Events, Trace
from benchmarks.correlation.world import World


@dataclass(frozen=True, slots=True)
class Scale:
    """How large everything is.

    Args:
        honest: accounts.
        campaign: factor on the accounts of campaigns (those of a hundred or fewer stay).
        days: from the beginning of the campaign to the end.
        lead_hours: of honest traffic before it begins.
    """

    name: str
    honest: int
    campaign: float
    days: float
    lead_hours: float = 12.0

    @property
    def begin_ns(self) -> int:
        """When campaigns begin."""
        return START_NS + round(self.lead_hours * HOUR_NS)

    @property
    def end_ns(self) -> int:
        """When the trace ends."""
        return self.begin_ns + round(self.days * DAY_NS)

    @property
    def whole_days(self) -> int:
        """How many days have to be drawn."""
        return -(-(self.end_ns - START_NS) // DAY_NS)

    def sized(self, spec: Campaign) -> Campaign:
        """Return a campaign at this scale; one with little demand is never made smaller."""
        if spec.accounts <= 100 or (self.campaign < 1 and spec.requests < 10):
            return spec
        return replace(spec, accounts=max(100, round(spec.accounts * self.campaign)))


SCALES = {
    "small": Scale("small", honest=3000, campaign=0.5, days=1.5),
    "base": Scale("base", honest=20_000, campaign=1.0, days=3.0),
    "full": Scale("full", honest=50_000, campaign=1.0, days=14.0, lead_hours=24.0),
    "published": Scale("published", honest=14_000, campaign=10.0, days=45.0),
}


SERVEGEN = 0.004
"""Accounts that behave like a recorded client of ServeGen, as a share of all honest ones."""


class Player(Protocol):
    """A sender of requests."""

    def day(self, world: World, day: int, rng: np.random.Generator) -> Events:
        """Return one day's."""
        ...


class Stage:
    """Collects the players, then plays the days.

    Args:
        scale: how large.
        seed: of the world.
        data: folder with recorded traces; without it lognormal volumes and tokens.
    """

    def __init__(self, scale: Scale, seed: int, data: Path | None = None) -> None:
        tokens = Tokens() if data is None else Tokens.read(data)
        self.scale = scale
        self.world = World(seed, scale.honest, tokens)
        self.starts_ns: dict[int, int] = {}
        self.people: list[tuple[str, Player]] = []
        self.troops: list[Troop] = []
        self.population = honest(self.world, scale.honest, scale.whole_days)
        self.add("honest", self.population)
        self.recorded = Recorded((), ()) if data is None else Recorded.read(data)
        if self.recorded.rate:
            count = max(len(self.recorded.rate) // 4, round(scale.honest * SERVEGEN))
            self.add("servegen", clients(self.world, self.recorded, count))

    def add(self, name: str, people: Player) -> None:
        """Let honest people take part."""
        self.people.append((f"{name}/{len(self.people)}", people))

    def attack(self, *specs: Campaign, proxy: int | None = None) -> list[Troop]:
        """Let campaigns begin on exits that they share; return their accounts.

        Args:
            specs: at the size they are meant to have.
            proxy: exits there are already; by default as the first one says.
        """
        world, scale = self.world, self.scale
        rng = world.rng("exits", len(self.troops))
        accounts = sum(spec.accounts for spec in specs)
        provider = specs[0]
        if proxy is None:
            proxy = exits.build(world, provider, accounts, self.population, rng)
        if provider.mixed:
            self.add("strangers", exits.strangers(world, provider, accounts, proxy, rng))
        troops = []
        for spec in specs:
            number = len(self.starts_ns)
            self.starts_ns[number] = scale.begin_ns
            troop = begin(world, spec, number, scale.begin_ns, scale.end_ns, proxy)
            if spec.reuse == "nothing":
                for later in range(1, int(troop.bound.max()) + 1):
                    others = exits.build(world, spec, spec.accounts, self.population, rng)
                    troop.proxy[troop.bound == later] = others
            first = troop.account[troop.bound == 0]
            aged = rng.permutation(first)[: round(spec.aged * len(first))]
            if len(aged):
                self.add("aged", exits.histories(world, spec, aged, scale.begin_ns, rng))
            troops.append(troop)
        self.troops += troops
        return troops

    def day(self, day: int) -> list[Events]:
        """Return all requests of one day."""
        world = self.world
        parts = [people.day(world, day, world.rng(name, "day", day)) for name, people in self.people]
        parts += [
            troop.day(world, day, world.rng("troop", number, "day", day))
            for number, troop in enumerate(self.troops)
        ]
        return parts

    def days(self) -> Iterator[Trace]:
        """Yield everything that happens, a day at a time; client and address numbers hold for one day."""
        for day in range(self.scale.whole_days):
            parts = [part.where(part.time_ns < self.scale.end_ns) for part in self.day(day)]
            yield self.world.trace(parts, self.starts_ns, self.scale.end_ns)

    def trace(self) -> Trace:
        """Return everything that happens."""
        parts = [part for day in range(self.scale.whole_days) for part in self.day(day)]
        parts = [part.where(part.time_ns < self.scale.end_ns) for part in parts]
        return self.world.trace(parts, self.starts_ns, self.scale.end_ns)


HUB = Scale("month", honest=800, campaign=1.0, days=30.0)
"""For what grows slowly: a month of a small world."""


def sized_for(name: str, scale: Scale) -> Scale:
    """Return the scale at which a scenario is played."""
    return replace(HUB, lead_hours=scale.lead_hours) if name == "slow-hub" else scale


def stage_of(name: str, scale: Scale, seed: int, data: Path | None = None) -> Stage:
    """Return the stage of a scenario, with its players.

    Args:
        name: `honest` (and no others); a campaign of `CAMPAIGNS`; a case of `POISON`; a class
            of `NEGATIVES`, alone with honest people, or followed by `+base`, beside the base campaign;
            `base:` and a point of the evasion frontier; `servegen`: recorded clients and no others.
    """
    stage = Stage(scale, seed, data)
    negative, _, beside = name.partition("+")
    if name == "servegen":
        stage.people.clear()
        stage.add(name, clients(stage.world, stage.recorded, len(stage.recorded.rate)))
    elif negative in NEGATIVES:
        stage.add(negative, NEGATIVES[negative](stage.world, scale.begin_ns, stage.world.rng(negative)))
        if beside:
            stage.attack(*(scale.sized(spec) for spec in CAMPAIGNS[beside]))
    elif name in POISON:
        POISON[name](stage)
    elif name.startswith("base:"):
        stage.attack(scale.sized(variant(name.partition(":")[2])))
    elif name == "published":
        stage.attack(scale.sized(replace(BASE, name="published", mixed=0.0)))
    elif name != "honest":
        stage.attack(*(scale.sized(spec) for spec in CAMPAIGNS[name]))
    return stage


def build(name: str, scale: Scale, seed: int, data: Path | None = None) -> Trace:
    """Return a scenario's trace; `stage_of` says which names there are."""
    return stage_of(name, sized_for(name, scale), seed, data).trace()


def describe(trace: Trace) -> dict[str, float]:
    """Return a few numbers about a trace, to look at."""
    bad = trace.campaign >= 0
    return {
        "requests": len(trace),
        "campaign requests": int(bad.sum()),
        "accounts": len(np.unique(trace.account)),
        "campaign accounts": len(np.unique(trace.account[bad])),
        "addresses": len(trace.addresses),
        "IPv6 share": float(trace.addresses.is_v6[trace.ip].mean()) if len(trace) else 0.0,
    }
