"""What is shown while the demo runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ratelimit.demo.people import POPULATIONS
from ratelimit.demo.state import Seen, State
from ratelimit.telemetry.snapshot import quantile_bound_s

_BAR = 24
_ENOUGH_SAMPLES = 20
_MIDDLE, _WIDE = 76, 110
"""Columns from which on there is room for the bars, and for what each population does."""


def render(state: State, width: int = 120) -> RenderableType:
    """Return the whole board for this moment, for a terminal so many columns wide."""
    return Group(_head(state), _people(state, width), _limits(state), _foot(state))


def plain_line(state: State) -> str:
    """Return the same in one line."""
    parts = [
        f"{name} {seen.admitted} admitted {seen.refusals} refused" for name, seen in state.populations.items()
    ]
    return f"{state.elapsed_s:5.1f} s  " + "; ".join(parts)


def _head(state: State) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    grid.add_row("server", f"{state.url}   two workers, one shared table")
    grid.add_row("metrics", Text(f"{state.url}/metrics", style=f"cyan link {state.url}/metrics"))
    grid.add_row("policy", state.policy)
    done = min(state.elapsed_s / state.seconds, 1.0) if state.seconds else 1.0
    clock = Table.grid(padding=(0, 1))
    clock.add_row(
        ProgressBar(total=1.0, completed=done, width=_BAR), f"{state.elapsed_s:.0f} of {state.seconds:.0f} s"
    )
    grid.add_row("time", clock)
    return Panel(grid, title="[bold]ratelimit demo[/]", title_align="left", border_style="cyan")


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
        seen = state.populations.get(population.name, Seen())
        held = max(seen.refused, key=seen.refused.__getitem__, default="")
        table.add_row(
            Text(population.name, style="bold"),
            *((population.what,) if width >= _WIDE else ()),
            str(seen.admitted),
            Text(str(seen.refusals), style="red" if seen.refusals else "dim"),
            *((_share(seen),) if width >= _MIDDLE else ()),
            held,
        )
    return Panel(table, title="people", title_align="left", border_style="dim")


def _share(seen: Seen) -> Text:
    """Return a bar: green what was admitted, red what was refused."""
    total = seen.admitted + seen.refusals
    if not total:
        return Text("─" * _BAR, style="dim")
    red = round(_BAR * seen.refusals / total)
    if seen.refusals:
        red = min(max(red, 1), _BAR - 1 if seen.admitted else _BAR)
    return Text("━" * (_BAR - red), style="green") + Text("━" * red, style="red")


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


def _foot(state: State) -> RenderableType:
    foot = Text()
    foot.append(f" {state.admitted_per_s:.0f}", style="green")
    foot.append(" admitted/s   ", style="dim")
    foot.append(f"{state.refused_per_s:.0f}", style="red")
    foot.append(" refused/s   ", style="dim")
    foot.append(latency_words(state), style="dim")
    foot.append("   Ctrl-C ends it", style="dim")
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
