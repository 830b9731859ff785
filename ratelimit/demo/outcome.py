"""The outcome of the demo: totals so far, what is shown of them, and whether they are as they should be.

The greedy are held against what the policy grants them: the limit's burst and its rate over the time that
passed. A campaign first has to be found; what it was admitted until then is beside the point, and what it is
granted counts from there. One request of slack for each person covers that both ends of a run are cut off
somewhere inside a request.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ratelimit.algorithms import REFILLED
from ratelimit.demo.people import CLUSTER_LIMIT, POPULATIONS, Population
from ratelimit.parsing.json import read_json
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import REQUESTS

NEARLY_ALL = 0.95
_ENOUGH_S = 15
_FOUND_S = 30
"""The time when a campaign should have become one actor."""
_BAR = 18
_MIDDLE, _WIDE = 76, 110
"""Columns from which on there is room for the bars, and for what each population does."""
_PLAIN_EVERY_S = 2.0
HONEST = [population for population in POPULATIONS if population.honest]


@dataclass(slots=True)
class Totals:
    """One population's totals, as its process reports them."""

    admitted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    """By the limit that the refusal named."""
    failed: int = 0

    @property
    def refusals(self) -> int:
        """Refusals by whatever limit."""
        return sum(self.refused.values())

    @property
    def asked(self) -> int:
        """Requests that were answered."""
        return self.admitted + self.refusals

    @property
    def without_clusters(self) -> int:
        """Requests that would have been admitted without limits per actor."""
        return self.admitted + self.refused.get(CLUSTER_LIMIT, 0)


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

    @property
    def is_certain(self) -> bool:
        """True if it has one budget."""
        return self.verdict == "certain"

    @property
    def mostly(self) -> str:
        """The population that most of its members are of."""
        members = self.certain if self.is_certain else self.likely
        return max(members, key=members.__getitem__, default="")


@dataclass(slots=True)
class State:
    """How things stand at one moment."""

    seconds: float
    ports: Sequence[int]
    """Of each host's server."""
    policy: str
    redis: str | None = None
    """The place of the hosts' counters, if not in one host's memory."""
    elapsed_s: float = 0.0
    populations: dict[str, Totals] = field(default_factory=dict)
    actors: list[Actor] = field(default_factory=list)
    held: dict[str, tuple[float, int]] = field(default_factory=dict)
    """By population when it was wholly one actor, and its admitted requests until then."""
    decided: list[int] = field(default_factory=list)
    """Requests, by server."""

    def take_report(self, line: str) -> None:
        """Take one line of the crowd's report."""
        report: dict[str, Any] = read_json(line)
        self.elapsed_s, self.decided = report["elapsed_s"], report["decided"]
        self.populations = {name: Totals(**seen) for name, seen in report["populations"].items()}

    def take_actors(self, text: str | bytes) -> None:
        """Take what a server reports of actors; what one without a correlator says is nothing new."""
        actors = [Actor(**actor) for actor in read_json(text)["actors"]]
        if not actors and len(self.ports) > 1:
            return
        self.actors = actors
        for population in POPULATIONS:
            most = max((actor.certain.get(population.name, 0) for actor in actors), default=0)
            if population.name not in self.held and most >= NEARLY_ALL * population.people:
                self.held[population.name] = self.elapsed_s, self.of(population).admitted

    def of(self, population: Population) -> Totals:
        """Return the totals of a population."""
        return self.populations.get(population.name, Totals())

    def certain(self, *populations: Population) -> int:
        """Return how many of some populations are certain members of an actor."""
        return sum(actor.certain.get(each.name, 0) for actor in self.actors for each in populations)

    def likely(self, *populations: Population) -> int:
        """Return how many of some populations are likely members: shown, and left alone."""
        return sum(actor.likely.get(each.name, 0) for actor in self.actors for each in populations)


@dataclass(frozen=True, slots=True)
class Grant:
    """The room that the policy gives to one key of a limit: requests at once, and a minute."""

    burst: int
    per_minute: int
    per_request: int = 1
    """Units a request takes."""


def grants_of_policy(path: Path) -> dict[str, Grant]:
    """Return the grant of each limit that is a rate, by the limit's name."""
    tokens = {population.limit: population.output_tokens for population in POPULATIONS}
    return {
        rule.name: Grant(
            rule.burst,
            rule.quota * 60 * 10**9 // rule.period_ns,
            1 if rule.unit == REQUESTS else tokens.get(rule.name, 1),
        )
        for rule in Policy.load(path).compiled.rules
        if rule.period_ns and rule.algorithm in REFILLED and not rule.is_beside
    }


@dataclass(frozen=True, slots=True)
class Line:
    """One population's outcome."""

    population: Population
    totals: Totals
    good: bool
    held_by: str | None = None
    admitted_per_minute: float = 0.0
    """Of one person, or of all together where the limit binds them together."""
    granted_per_minute: float | None = None
    """What the policy grants over this run, as a rate; None where it is not a rate."""
    since_s: float = 0.0
    """From when on the limit held them: 0 unless they had to be found to be one actor first."""
    certain: int = 0
    likely: int = 0
    """Accounts that are members of an actor."""

    def sentence(self) -> str:
        """Return it in words."""
        said = f"{self.totals.refusals} refused of {self.totals.asked}"
        if self.population.honest:
            said += f"; {self.likely} accounts likely one actor, and left alone" if self.likely else ""
        elif self.since_s:
            said = f"one actor since second {self.since_s:.0f}; {said}"
        else:
            said += f" by “{self.held_by}”"
            if self.granted_per_minute is not None:
                said += f", {self.admitted_per_minute:.0f} a minute (granted: {self.granted_per_minute:.0f})"
        return f"{self.population.name}: {said}"


def judge(state: State, grants: dict[str, Grant]) -> list[Line]:
    """Return the outcome of each population, in their order."""
    return [_line(population, state, grants.get(population.limit or "")) for population in POPULATIONS]


def _line(population: Population, state: State, grant: Grant | None) -> Line:
    totals = state.of(population)
    # A run may be too short for the slower ones to use up what they may have.
    is_early = state.elapsed_s < (_FOUND_S if population.limit == CLUSTER_LIMIT else _ENOUGH_S)
    since_s, before, parties, slack = 0.0, 0, population.people if population.per_person else 1, 0.0
    good = totals.refusals > 0 or is_early
    if population.honest:
        good = not totals.refusals and not state.certain(population)
    elif population.limit == CLUSTER_LIMIT:
        if (held := state.held.get(population.name)) is None:
            grant, good = None, is_early
        else:
            since_s, before = held
            # It held a little before it was seen to; and the few still outside go by their own limits.
            slack = (1 - NEARLY_ALL) * population.people / population.pause_s * (state.elapsed_s - since_s)
    minutes = max(state.elapsed_s - since_s, 1e-9) / 60
    admitted, granted = (totals.admitted - before) / parties, None
    if grant is not None:
        # Units are settled after the answer: the last request may overdraw by its whole cost.
        room = (grant.burst + grant.per_minute * minutes) / grant.per_request + (grant.per_request > 1)
        granted = room / minutes
        good = good and admitted <= room + slack + 1
    return Line(
        population,
        totals,
        good,
        max(totals.refused, key=totals.refused.__getitem__, default=population.limit),
        admitted / minutes,
        granted,
        since_s,
        state.certain(population),
        state.likely(population),
    )


def as_json(state: State, lines: list[Line]) -> dict[str, Any]:
    """Return the outcome for machines."""
    return {
        "seconds": round(state.elapsed_s, 2),
        "requests": sum(line.totals.asked for line in lines),
        "decided": state.decided,
        "good": all(line.good for line in lines),
        "actors": [asdict(actor) for actor in state.actors],
        "populations": [
            {
                "name": line.population.name,
                "honest": line.population.honest,
                "admitted": line.totals.admitted,
                "refused": line.totals.refusals,
                "refused_by": line.totals.refused,
                "admitted_per_minute": round(line.admitted_per_minute, 1),
                "granted_per_minute": line.granted_per_minute and round(line.granted_per_minute, 1),
                "held_since_s": round(line.since_s, 2) or None,
                "certain": line.certain,
                "likely": line.likely,
                "admitted_without_clusters": line.totals.without_clusters,
                "good": line.good,
            }
            for line in lines
        ],
    }


# -- what is shown -----------------------------------------------------------------------------------


@contextmanager
def shown(console: Console, *, quiet: bool) -> Iterator[Callable[[State], None]]:
    """Yield what to call with each new state: redraws a picture on a terminal, elsewhere writes a line."""
    if quiet:
        yield lambda state: None
    elif console.is_terminal:
        console.print("starting servers with two workers each …", style="dim")
        with Live(console=console, auto_refresh=False) as live:
            yield lambda state: live.update(picture(state, console.width), refresh=True)
    else:
        said_s: list[float] = []

        def show(state: State) -> None:
            if not said_s:
                for url in urls(state):
                    console.print(
                        f"server  {url}, metrics {url}/metrics, policy {state.policy}", soft_wrap=True
                    )
                console.print("requests so far of each group, admitted/refused:", soft_wrap=True)
                titles = "  ".join(f"{title:>11}" for title in ("honest", "campaign", "greedy"))
                console.print(f"{'second':>7}  {titles}   found", soft_wrap=True)
            if not said_s or state.elapsed_s - said_s[-1] >= _PLAIN_EVERY_S:
                said_s.append(state.elapsed_s)
                console.print(plain_line(state), soft_wrap=True)

        yield show


def urls(state: State) -> list[str]:
    """Return the places where servers listen."""
    return [f"http://127.0.0.1:{port}" for port in state.ports]


def plain_line(state: State) -> str:
    """Return the totals in one line, for a log or a pipe."""
    groups = {"honest": [0, 0], "campaign": [0, 0], "greedy": [0, 0]}
    for population in POPULATIONS:
        is_campaign = population.limit == CLUSTER_LIMIT
        group = groups["honest" if population.honest else "campaign" if is_campaign else "greedy"]
        group[0] += state.of(population).admitted
        group[1] += state.of(population).refusals
    columns = "  ".join(f"{admitted}/{refused}".rjust(11) for admitted, refused in groups.values())
    found = [f"{actor.mostly}: {actor.size} accounts {actor.verdict or 'cleared'}" for actor in state.actors]
    return f"{state.elapsed_s:>7.1f}  {columns}   {', '.join(found[:2])}".rstrip()


def picture(state: State, width: int = 120) -> Group:
    """Return the picture of this moment, for a terminal of this width."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("who", no_wrap=True)
    if width >= _WIDE:
        table.add_column("what they do", style="dim", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("admitted", justify="right", style="green")
    table.add_column("refused", justify="right")
    if width >= _MIDDLE:
        table.add_column("", width=_BAR)
    table.add_column("held by", no_wrap=True, min_width=15)
    for population in POPULATIONS:
        totals = state.of(population)
        held = max(totals.refused, key=totals.refused.__getitem__, default="")
        style = "bold green" if population.honest else "bold"
        table.add_row(
            Text(population.name, "bold magenta" if population.limit == CLUSTER_LIMIT else style),
            *((population.what,) if width >= _WIDE else ()),
            str(totals.admitted),
            Text(str(totals.refusals), "red" if totals.refusals else "dim"),
            *((_bar(totals),) if width >= _MIDDLE else ()),
            held or ("nothing: likely" if state.likely(population) else ""),
        )
    lines = [Text("No actor yet: looking at which accounts share what with which.", "dim")]
    if state.actors:
        certain, people = state.certain(*HONEST), sum(population.people for population in HONEST)
        said = f" {certain} of {people} honest accounts are certain."
        lines = [
            *(line for actor in state.actors[:2] for line in _told(actor, width)),
            Text(said, "red" if certain else "green"),
        ]
    head = f" {'  '.join(urls(state))}   {state.elapsed_s:.0f} of {state.seconds:.0f} s   Ctrl-C ends it"
    return Group(Text(head, "cyan", no_wrap=True, overflow="ellipsis"), table, Text(""), *lines)


def _bar(totals: Totals) -> Text:
    """Return a bar: what was admitted, then what was refused, which differs without colour as well."""
    red = round(_BAR * totals.refusals / max(totals.asked, 1))
    if totals.refusals:
        red = min(max(red, 1), _BAR - (totals.admitted > 0))
    green = _BAR - red if totals.asked else 0
    return Text("━" * green, "green") + Text("┄" * red, "red")


def _told(actor: Actor, width: int) -> list[Text]:
    """Return what was found of an actor and why, or why it is left alone."""
    what = "one budget" if actor.is_certain else "shown, and left alone"
    style = "bold magenta" if actor.is_certain else "bold cyan"
    head = f" {actor.verdict or 'cleared'}: {actor.mostly}, {actor.size} accounts, {what}"
    _, _, missing = actor.words.partition(" Not certain:")
    said = f"Not certain:{missing}" if missing else actor.words
    wrapped = textwrap.wrap(said, max(width - 6, 20), max_lines=3, placeholder=" …")
    return [
        Text(head, style, no_wrap=True, overflow="ellipsis"),
        *(Text(f"   {line}", "dim") for line in wrapped),
    ]


def print_verdict(console: Console, state: State, lines: list[Line]) -> None:
    """Write what came of it."""
    width = console.width if console.is_terminal else 10_000  # a log takes lines as they are

    def say(head: Text, text: str) -> None:
        parts = textwrap.wrap(text, max(width - len(head), 20))
        for part in parts:
            console.print(head + Text(part), soft_wrap=True)
            head = Text(" " * len(head))

    console.print()
    for line in lines:
        say(Text("✔ ", "green") if line.good else Text("✘ ", "bold red"), line.sentence())
    console.print()
    for who, sentence in account_of(state):
        say(Text(f"  {who:9} ", "bold"), sentence)
    for actor in state.actors:
        say(Text(f"  {actor.verdict or 'cleared':9} ", "bold"), f"{actor.size} accounts. {actor.words}")
    console.print()
    deciders = "two workers"
    if state.redis is not None:
        shares = " and ".join(f"{100 * one / max(sum(state.decided), 1):.0f} %" for one in state.decided)
        deciders = f"{len(state.ports)} hosts ({shares}), which share only one Redis, at {state.redis}"
    asked = sum(line.totals.asked for line in lines)
    say(Text(""), f"{asked:,} requests in {state.elapsed_s:.0f} s, decided by {deciders}.")
    console.print(f"The policy that did it: {state.policy}", style="dim", soft_wrap=True)
    say(Text(""), "Yours to add: app.add_middleware(RateLimitMiddleware, policy=…)")


def account_of(state: State) -> list[tuple[str, str]]:
    """Return what one budget for one actor came to: a population, and a sentence."""
    found = []
    for population in POPULATIONS:
        if population.limit == CLUSTER_LIMIT:
            totals = state.of(population)
            alone = "all " if totals.without_clusters == totals.asked else ""
            found.append(
                (
                    population.name,
                    f"{totals.admitted:,} of {totals.asked:,} requests admitted; "
                    f"limits per account alone: {alone}{totals.without_clusters:,}",
                )
            )
    honest = [state.of(population) for population in HONEST]
    refused, asked = sum(each.refusals for each in honest), sum(each.asked for each in honest)
    people = sum(population.people for population in HONEST)
    members = f"{state.certain(*HONEST)} certain, {state.likely(*HONEST)} likely"
    return [*found, ("honest", f"{refused:,} of {asked:,} requests refused; of {people} accounts {members}")]
