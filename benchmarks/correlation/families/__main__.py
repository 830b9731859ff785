"""`python -m benchmarks.correlation.families`: worlds, contenders, harm, containment and its price."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.needs import missing

try:
    import click
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from benchmarks import machine
    from benchmarks.correlation.families import tables
    from benchmarks.correlation.families.catalogue import NAMED, SHORT, SHORT_RANDOM, Entry, Kind, random
    from benchmarks.correlation.families.contest import DEFAULT, FEW, contender, contest, function
    from benchmarks.correlation.families.folds import leave_out
    from benchmarks.correlation.families.measure import Result
    from benchmarks.correlation.families.patience import HOURS, patience
    from benchmarks.correlation.families.steadiness import steadiness, variants
    from benchmarks.correlation.families.world import LARGE, SMALL, Size
    from benchmarks.correlation.runs import CONTENDERS
except ModuleNotFoundError as error:
    raise missing(error) from None

SIZES = {"small": SMALL, "large": LARGE}
KINDS: tuple[Kind, ...] = ("established", "new", "beside", "plain", "changed", "poison", "frontier", "random")


def chosen(patterns: Sequence[str], kinds: Sequence[str], randoms: int, seed: int) -> list[Entry]:
    """Return the worlds that are asked for, in the catalogue's order."""
    entries = [entry for entry in (*NAMED.values(), *random(randoms, seed)) if entry.kind in kinds]
    if not patterns:
        return entries
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(entry.name, pattern) for entry in entries):
            raise click.BadParameter(f"no world is called {pattern!r}", param_hint="--world")
    return [entry for entry in entries if any(fnmatch.fnmatchcase(entry.name, one) for one in patterns)]


@click.command()
@click.option(
    "--world", "patterns", multiple=True, help="A name, or a pattern as of a shell; may be given again."
)
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="May be given again; all by default."
)
@click.option(
    "--short", is_flag=True, help="Some worlds of each kind, and three contenders: all tables in a minute."
)
@click.option(
    "--random", "randoms", type=int, help=f"Worlds of random structure; 100, or {SHORT_RANDOM} of the short."
)
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1))
@click.option("--first-seed", default=1, show_default=True)
@click.option("--size", default="small", show_default=True, type=click.Choice(list(SIZES)))
@click.option("--accounts", type=int, help="Ordinary accounts, instead of the size's.")
@click.option("--lead", type=float, help="Hours until campaigns and newcomers begin, instead of the size's.")
@click.option(
    "--contender",
    "names",
    multiple=True,
    help=f"{', '.join(CONTENDERS)}, or path.py:function for a batch model. The first is told in full.",
)
@click.option("--no-ages", "ageless", is_flag=True, help="Say of no account when it was created.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option(
    "--train", multiple=True, help="path.py:function for a model that is trained; with --leave-out."
)
@click.option(
    "--leave-out", "folds", default=0, help="So many worlds of each family, by models that never saw it."
)
@click.option("--train-on", default=100, show_default=True, help="Worlds to train on.")
@click.option(
    "--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Results for machines."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="For the tables and results.json."
)
@click.option(
    "--steady", is_flag=True, help="The same worlds again: another seed, twice as large, half the lead."
)
@click.option("--patience", "patient", is_flag=True, help="Harm to newcomers against hours, by home_new_s.")
@click.option("--list", "listing", is_flag=True, help="Show the names of all worlds.")
def main(
    patterns: tuple[str, ...],
    kinds: tuple[str, ...],
    short: bool,
    randoms: int | None,
    seeds: int,
    first_seed: int,
    size: str,
    accounts: int | None,
    lead: float | None,
    names: tuple[str, ...],
    ageless: bool,
    workers: int,
    train: tuple[str, ...],
    folds: int,
    train_on: int,
    as_json: Path | None,
    out: Path | None,
    steady: bool,
    patient: bool,
    listing: bool,
) -> None:
    """Play families to contenders. Exit code 1 when an aim was missed."""
    if randoms is None:
        randoms = SHORT_RANDOM if short else 100
    entries = chosen(patterns, kinds or KINDS, randoms, first_seed)
    if short:
        entries = [entry for entry in entries if entry.name in SHORT or entry.kind == "random"]
    if listing:
        click.echo("\n".join(f"{entry.kind:12} {entry.name}" for entry in entries))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    measure = SIZES[size]
    measure = replace(
        measure, accounts=accounts or measure.accounts, lead_h=measure.lead_h if lead is None else lead
    )
    playing = names or (FEW if short else DEFAULT)
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
    if folds:
        _leave_out(console, bar, folds, first_seed, measure, names, train, train_on)
        return
    if steady:
        _steady(console, bar, entries, first_seed, measure, playing, workers)
        return
    if patient:
        _patience(console, bar, entries, first_seed, measure)
        return
    with bar:
        task = bar.add_task("worlds", total=len(entries) * seeds)
        for played in contest(
            entries,
            range(first_seed, first_seed + seeds),
            measure,
            playing,
            ages=not ageless,
            workers=workers,
        ):
            results += played
            bar.update(task, advance=1, description=played[0].entry)
            done = len(results) // len(playing)
            if not console.is_terminal and done % 10 == 0:
                click.echo(f"{done} of {len(entries) * seeds} worlds: {played[0].entry}", err=True)
    sections = tables.sections(results, contender(playing[0]).name)
    for title, columns, cells in sections:
        console.print(f"\n[bold]{title}[/bold]")
        console.print(tables.rich(columns, cells))
    said = json.dumps([result.as_dict() for result in results], indent=1) + "\n"
    if as_json is not None:
        as_json.write_text(said)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        about = [f"- {name}: {value}" for name, value in machine.describe().items()]
        about.append(f"- {len(entries)} worlds, {seeds} seeds from {first_seed}; {asdict(measure)}")
        parts = ["# Families", "", *about, ""]
        parts += [tables.markdown(title, columns, cells) for title, columns, cells in sections]
        (out / "families.md").write_text("\n".join(parts))
        (out / "results.json").write_text(said)
    if any("missed" in row for title, _, cells in sections for row in cells if title.endswith("aims")):
        raise SystemExit(1)


def _steady(
    console: Console,
    bar: Progress,
    entries: Sequence[Entry],
    seed: int,
    size: Size,
    names: Sequence[str],
    workers: int,
) -> None:
    """Show whether verdicts hold from one variant of a world to another; exit code 1 when one does not."""
    rows: tables.Cells = []
    with bar:
        task = bar.add_task("worlds", total=len(entries))
        for found in steadiness(entries, seed, size, names, workers=workers):
            for one in found:
                budgets = ", ".join(f"{value:.2f}" for value in one.budgets)
                refused = ", ".join(f"{100 * value:.2f} %" for value in one.refused)
                rows.append((one.entry, one.contender, budgets, refused, "holds" if one.holds else "missed"))
            bar.update(task, advance=1, description=found[0].entry)
    said = ", ".join(variants(seed, size))
    console.print(f"Budgets after a day, and the worst honest class's requests refused: {said}.")
    console.print(tables.rich(("world", "contender", "budgets", "refused", ""), rows))
    if any(row[1] == rows[0][1] and row[-1] == "missed" for row in rows):
        raise SystemExit(1)


def _patience(console: Console, bar: Progress, entries: Sequence[Entry], seed: int, size: Size) -> None:
    """Show what each number of hours until newcomers are at home costs them, and campaigns."""
    rows: tables.Cells = []
    with bar:
        task = bar.add_task("numbers", total=len(HOURS))
        for found in patience(entries, seed, size):
            beyond = (f"{hours:.1f} {family}" for hours, family in found.beyond.values())
            refused = f"{100 * found.refused:.2f} % {found.where}"
            held = f"{found.contained} of {found.campaigns}"
            rows.append((f"{found.hours} h", refused, f"{100 * found.likely:.0f} %", held, *beyond))
            bar.update(task, advance=1)
    columns = (
        "at home after",
        "new: worst class refused",
        "new: likely",
        "contained",
        "≤ 6 h",
        "≤ 24 h",
        "≤ 48 h",
    )
    console.print(tables.rich(columns, rows))


def _leave_out(
    console: Console,
    bar: Progress,
    count: int,
    seed: int,
    size: Size,
    names: Sequence[str],
    train: Sequence[str],
    train_on: int,
) -> None:
    """Show what models do to a family that they never saw."""
    fixed = {name: contender(name) for name in (names or (() if train else DEFAULT))}
    rows: tables.Cells = []
    with bar:
        task = bar.add_task("families left out", total=None)
        fits = {name: function(name) for name in train}
        for left in leave_out(count, seed, size, fits=fits, fixed=fixed, train=train_on):
            bar.update(task, advance=1, description=left.family)
            shares = list(asdict(left).values())[3:]
            told = ("" if share is None else f"{share:.4f}" for share in shares)
            rows.append((left.family, left.contender.rpartition("/")[2], str(left.worlds), *told))
    columns = (
        "family left out",
        "contender",
        "worlds",
        "refused",
        "likely",
        "new: refused",
        "likely",
        "hostile: likely",
        "certain",
    )
    console.print(tables.rich(columns, rows))


if __name__ == "__main__":
    main()
