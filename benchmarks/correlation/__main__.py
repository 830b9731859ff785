"""`python -m benchmarks.correlation`: scenarios, contenders, and the accounts that are found or harmed."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import replace
from pathlib import Path

from benchmarks.needs import missing

try:
    import click
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from benchmarks import machine
    from benchmarks.correlation import plots, table
    from benchmarks.correlation.campaigns import CAMPAIGNS
    from benchmarks.correlation.frontier import SWEEPS
    from benchmarks.correlation.kinlimit import POLICY
    from benchmarks.correlation.negatives import NEGATIVES
    from benchmarks.correlation.poison import POISON
    from benchmarks.correlation.runs import CONTENDERS, Result, as_json, run
    from benchmarks.correlation.scenario import SCALES
except ModuleNotFoundError as error:
    raise missing(error) from None

ALL = ("honest", *CAMPAIGNS, *NEGATIVES, *(f"{name}+base" for name in NEGATIVES), *POISON)
FRONTIER = tuple(f"base:{name}" for name in SWEEPS)
RECORDED = "servegen"
"""Recorded clients and nothing injected: there is no actor to be found. Needs `--data`."""


def _chosen(patterns: tuple[str, ...]) -> list[str]:
    """Return the scenarios that some patterns name, in their usual order."""
    names = [*ALL, *FRONTIER, RECORDED]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise click.BadParameter(f"no scenario is called {pattern!r}", param_hint="--scenario")
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


@click.command()
@click.option(
    "--scenario",
    "patterns",
    multiple=True,
    help="A name, or a pattern as of a shell; may be given again. All, without the frontier, by default.",
)
@click.option("--frontier", is_flag=True, help="The sweeps of the evasion frontier as well.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--scale", default="small", show_default=True, type=click.Choice(list(SCALES)))
@click.option(
    "--lead",
    type=click.FloatRange(0.0),
    help="Hours of honest traffic before campaigns begin; by default as the scale has it.",
)
@click.option("--contenders", multiple=True, type=click.Choice(list(CONTENDERS)), help="May be given again.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with azure_*_2023.csv (Azure public dataset) and servegen/ (alibaba/ServeGen).",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="For tables, JSON and plots.")
@click.option("--list", "listing", is_flag=True, help="Show the names of all scenarios.")
def main(
    patterns: tuple[str, ...],
    frontier: bool,
    seeds: int,
    scale: str,
    lead: float | None,
    contenders: tuple[str, ...],
    data: Path | None,
    out: Path | None,
    listing: bool,
) -> None:
    """Play scenarios to contenders. Exit code 1 when an aim was missed."""
    if listing:
        click.echo("\n".join([*ALL, *FRONTIER, RECORDED]))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=180)
    names = _chosen(patterns) if patterns else list(ALL)
    if RECORDED in names and data is None:
        raise click.BadParameter(f"{RECORDED} needs --data", param_hint="--scenario")
    names += [name for name in FRONTIER if frontier and name not in names]
    playing = list(contenders or CONTENDERS)
    if not contenders and not POLICY.exists():
        playing.remove("kinlimit")
        console.print(f"[yellow]{POLICY.name} of examples/llm-api is missing: baselines only[/yellow]")
    size = SCALES[scale] if lead is None else replace(SCALES[scale], lead_hours=lead)
    results: list[Result] = []
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(names[0], total=len(names) * seeds * len(playing))
        for result in run(names, seeds, size, playing, data):
            results.append(result)
            bar.update(task, advance=1, description=f"{result.scenario} {result.contender}")
    columns = ("scenario", "contender", *(title for _, title in table.SIDE_BY_SIDE))
    console.print(table.rich(columns, table.side_by_side(results)))
    aims = table.aims(results)
    if aims:
        console.print("\n[bold]kinlimit and its aims[/bold]")
        console.print(table.rich(table.AIM_COLUMNS, aims))
        console.print(table.summary(aims))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        about = [f"{name}: {value}" for name, value in machine.describe().items()]
        about.append(f"scale {scale}: campaigns begin after {size.lead_hours:g} h; {seeds} seeds")
        about.append("recorded traces " + ("used" if data else "not given"))
        (out / "table.md").write_text(table.markdown(results, about))
        (out / "results.json").write_text(json.dumps(as_json(results), indent=1) + "\n")
        for path in plots.draw(results, out):
            console.print(f"[dim]{path}[/dim]")
    if any(map(table.is_missed, aims)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
