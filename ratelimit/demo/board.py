"""The display of a running demo: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import textwrap

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ratelimit.demo.people import CLUSTER_LIMIT, POPULATIONS, Population
from ratelimit.demo.state import Actor, PopulationTotals, State
from ratelimit.telemetry.snapshot import quantile_bound_s

_BAR = 18
_SHORT_BAR = 16
_ENOUGH_SAMPLES = 20
_MIDDLE, _WIDE = 76, 110
"""Columns from which on there is room for the bars, and for what each population does."""
_TALL = 36
"""Lines from which on there is room for the limits."""
_MOST_SHOWN = 2
"""Actors with what was found of them."""
_BORDERS = 2
_AROUND = 2 * _BORDERS + 4
"""Lines of the board beside populations, limits and what is said of actors: the cursor has one."""
_LEAST = 5
"""Lines in which two actors can be told: a head and a reason each, and the honest accounts among them."""
CERTAIN = "certain"


def render(state: State, width: int = 120, height: int = 40) -> RenderableType:
    """Return the whole board for this moment, for a terminal of this size."""
    rows = len(POPULATIONS) + _AROUND
    limits = []
    if height >= _TALL:
        rows += _BORDERS + 1 + (0 if state.snapshot is None else len(state.snapshot.limits))
        limits.append(_limits(state))
    actors = _actors(state, width, max(_LEAST, height - rows))
    return Group(_head(state), _people(state, width), actors, *limits, _foot(state, width))


PLAIN_HEAD = f"{'second':>7}  {'honest':>11}  {'campaign':>11}  {'greedy':>11}   found"
"""The columns of `plain_line`."""


def plain_line(state: State) -> str:
    """Return the totals in one line, for a log or a pipe."""
    groups: dict[str, PopulationTotals] = {
        "honest": PopulationTotals(),
        "campaign": PopulationTotals(),
        "greedy": PopulationTotals(),
    }
    for population in POPULATIONS:
        seen = state.populations.get(population.name, PopulationTotals())
        group = groups[_group(population)]
        group.admitted += seen.admitted
        group.refused[population.name] = seen.refusals
    columns = [f"{group.admitted}/{group.refusals}" for group in groups.values()]
    found = [
        f"{_mostly(actor)}: {actor.size} accounts {actor.verdict or 'cleared'}" for actor in state.actors
    ]
    line = f"{state.elapsed_s:>7.1f}  " + "  ".join(f"{column:>11}" for column in columns)
    return f"{line}   {', '.join(found[:_MOST_SHOWN])}".rstrip()


def _group(population: Population) -> str:
    if population.honest:
        return "honest"
    return "campaign" if population.limit == CLUSTER_LIMIT else "greedy"


def _head(state: State) -> RenderableType:
    done = min(state.elapsed_s / state.seconds, 1.0) if state.seconds else 1.0
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        Text(" ratelimit demo", "bold cyan"),
        Text(state.url, f"cyan link {state.url}"),
        *([] if state.redis is None else [f"+ {len(state.ports) - 1} host, one Redis"]),
        ProgressBar(total=1.0, completed=done, width=_SHORT_BAR),
        f"{state.elapsed_s:.0f} of {state.seconds:.0f} s",
    )
    return grid


def _people(state: State, width: int) -> RenderableType:
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    table.add_column("who", ratio=None if width >= _WIDE else 1, no_wrap=True)
    if width >= _WIDE:
        table.add_column("what they do", style="dim", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("admitted", justify="right", style="green")
    table.add_column("refused", justify="right")
    if width >= _MIDDLE:
        table.add_column("", width=_BAR)
    table.add_column("held by", no_wrap=True, min_width=15)
    for population in POPULATIONS:
        seen = state.populations.get(population.name, PopulationTotals())
        held = max(seen.refused, key=seen.refused.__getitem__, default="")
        if not held and state.likely_in(population):
            held = "nothing: likely"
        table.add_row(
            Text(population.name, style=_style(population)),
            *((population.what,) if width >= _WIDE else ()),
            str(seen.admitted),
            Text(str(seen.refusals), style="red" if seen.refusals else "dim"),
            *((_share(seen),) if width >= _MIDDLE else ()),
            held,
        )
    return Panel(table, title="accounts", title_align="left", border_style="dim")


def _style(population: Population) -> str:
    if population.honest:
        return "bold green"
    return "bold magenta" if population.limit == CLUSTER_LIMIT else "bold"


def _share(seen: PopulationTotals) -> Text:
    """Return a bar: what was admitted, then what was refused, which differs without colour as well."""
    total = seen.admitted + seen.refusals
    if not total:
        return Text("")
    red = round(_BAR * seen.refusals / total)
    if seen.refusals:
        red = min(max(red, 1), _BAR - 1 if seen.admitted else _BAR)
    return Text("━" * (_BAR - red), style="green") + Text("┄" * red, style="red")


def _actors(state: State, width: int, room: int) -> RenderableType:
    """Return what is said of each actor, and why, in so many lines."""
    title = "one actor, one budget"
    if not state.actors:
        return Panel(
            Text("No actor yet: looking at which accounts share what with which.", "dim"),
            title=title,
            title_align="left",
            border_style="dim",
        )
    shown = state.actors[:_MOST_SHOWN]
    lines: list[RenderableType] = []
    left = room - 1 - len(shown)
    for number, actor in enumerate(shown):
        style = "bold magenta" if actor.verdict == CERTAIN else "bold cyan"
        lines.append(Text(_found(actor), style, no_wrap=True, overflow="ellipsis"))
        # The first has what the others leave: a line is theirs.
        mine = max(1, left - (len(shown) - 1 - number))
        said = _wrapped(_said(actor, mine), width - 6, mine)
        left -= len(said)
        lines += [Text(f"  {line}", "dim") for line in said]
    lines.append(_touched(state))
    return Panel(Group(*lines), title=title, title_align="left", border_style="magenta")


def _found(actor: Actor) -> str:
    what = "one budget" if actor.verdict == CERTAIN else "shown, and left alone"
    return (
        f"{actor.verdict or 'cleared'}: {_mostly(actor)}, {actor.size} accounts, {what}, "
        f"found {actor.age_s:.0f} s ago ({actor.id[:4]})"
    )


def _mostly(actor: Actor) -> str:
    """Return the population that most of an actor's members are of."""
    members = actor.certain if actor.verdict == CERTAIN else actor.likely
    return max(members, key=members.__getitem__, default="")


def _said(actor: Actor, lines: int) -> str:
    """Return what was found of an actor; where there is little room, why it is left alone."""
    found, separator, missing = actor.words.partition(_MISSING)
    return separator.strip() + missing if missing and lines == 1 else found + separator + missing


_MISSING = " Not certain:"
"""The beginning of the conditions that a likely cluster lacks, see `correlation.description`."""


def _wrapped(words: str, width: int, most: int) -> list[str]:
    return textwrap.wrap(words, max(width, 20), max_lines=most, placeholder=" …")


def _touched(state: State) -> Text:
    honest = [population for population in POPULATIONS if population.honest]
    drawn = sum(map(state.drawn_in, honest))
    people = sum(population.people for population in honest)
    return Text(f"{drawn} of {people} honest accounts are certain.", "red" if drawn else "green")


def _limits(state: State) -> RenderableType:
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    table.add_column("limit", ratio=1)
    for title in ("allowed", "refused", "would refuse"):
        table.add_column(title, justify="right")
    if state.snapshot is not None:
        for name, counts in state.snapshot.limits.items():
            label = Text(name)
            if counts.shadow:
                label += Text("  shadow", style="yellow")
            table.add_row(
                label,
                str(counts.allowed),
                Text(str(counts.refused), style="red" if counts.refused else "dim"),
                Text(str(counts.refused_in_shadow), style="yellow" if counts.refused_in_shadow else "dim"),
            )
    return Panel(table, title="limits, as /metrics counts them", title_align="left", border_style="dim")


def _foot(state: State, width: int) -> RenderableType:
    foot = Text(no_wrap=True, overflow="ellipsis")
    foot.append(f" {state.admitted_per_s:.0f}", style="green")
    foot.append(" admitted/s   ", style="dim")
    foot.append(f"{state.refused_per_s:.0f}", style="red")
    foot.append(" refused/s   ", style="dim")
    if width >= _MIDDLE:
        foot.append(latency_words(state), style="dim")
    foot.append("   Ctrl-C ends it" if width >= _WIDE else "", style="dim")
    return foot


def latency_words(state: State) -> str:
    """Return what the middleware's own histogram says a decision took."""
    if state.snapshot is None:
        return ""
    half = quantile_bound_s(state.snapshot.latency, 0.5)
    most = quantile_bound_s(state.snapshot.latency, 0.99)
    if half is None or most is None or max(state.snapshot.latency.values()) < _ENOUGH_SAMPLES:
        return ""
    return f"added to a request: half ≤ {_short(half)}, 99 % ≤ {_short(most)}"


def _short(seconds: float) -> str:
    micros = seconds * 1e6
    if micros == float("inf"):
        return "5 ms and more"
    return f"{micros:g} µs" if micros < 1000 else f"{micros / 1000:g} ms"
