"""Tables of results: aims met and missed, and all contenders side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from benchmarks.correlation.aims import AIMS, HARM
from benchmarks.correlation.runs import Interval, Result, interval

MET, INERT = "met", "inert, harmless"
"""What is said of aims: the second, where nothing was contained and that will do."""
ALL_OF_IT = 0.99
"""Of what a campaign asks for; an actor that is admitted more than that is not contained."""
AIM_COLUMNS = ("scenario", "what", "median", "least to most", "aim", "")
SHARES = ("honest refused", "honest ever refused", "worst class refused", "victims refused", "admitted")
SIDE_BY_SIDE = (
    ("amplification", "amplification"),
    ("amplification after 6 h", "… after 6 h"),
    ("hours beyond", "hours beyond"),
    ("to attach, replacements, median", "to attach"),
    ("honest refused", "honest refused"),
    ("worst class refused", "worst class"),
    ("victims refused", "victims"),
    ("pairwise precision", "precision"),
    ("pairwise recall", "recall"),
    ("clusters a campaign", "clusters"),
)


def number(name: str, value: float) -> str:
    """Return a value as people read it."""
    if not math.isfinite(value):
        return "never"
    if name in SHARES:
        return f"{100 * value:.3f} %" if value < 0.1 else f"{100 * value:.0f} %"
    return f"{value:.4f}" if name.endswith("precision") else f"{value:.2f}"


def _span(name: str, found: Interval) -> str:
    return f"{number(name, found.least)} to {number(name, found.most)}"


def aims(results: Sequence[Result], contender: str = "kinlimit") -> list[tuple[str, ...]]:
    """Return a row for each aim in each scenario that ran; the worst seed decides whether it is met."""
    rows: list[tuple[str, ...]] = []
    for scenario in dict.fromkeys(result.scenario for result in results):
        for aim in AIMS:
            if scenario not in aim.scenarios:
                continue
            found = interval(results, scenario, contender, aim.number)
            if found is None:
                continue
            worst = found.least if aim.at_least else found.most
            said = MET if aim.met(worst) else ("missed" if not aim.met(found.median) else "missed by some")
            if said != MET and aim.or_harmless and _is_harmless(results, scenario, contender):
                said = INERT if found.least >= ALL_OF_IT else "contained in part, harmless"
            bound = f"{aim.text[:2]}{number(aim.number, aim.bound)}"
            rows.append(
                (
                    scenario,
                    aim.number,
                    number(aim.number, found.median),
                    _span(aim.number, found),
                    bound,
                    said,
                )
            )
    return rows


def is_missed(row: Sequence[str]) -> bool:
    """Return whether a row of `aims` is of an aim that was missed."""
    return row[-1].startswith("missed")


def _is_harmless(results: Sequence[Result], scenario: str, contender: str) -> bool:
    """Return whether no honest account noticed anything, whatever the seed."""
    found = [interval(results, scenario, contender, name) for name in HARM]
    return all(one is not None and one.most == 0.0 for one in found)


def side_by_side(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Return a row for each scenario and contender: medians over seeds."""
    rows = []
    for scenario in dict.fromkeys(result.scenario for result in results):
        for contender in dict.fromkeys(result.contender for result in results):
            cells = []
            for name, _ in SIDE_BY_SIDE:
                found = interval(results, scenario, contender, name)
                cells.append("" if found is None else number(name, found.median))
            rows.append((scenario, contender, *cells))
    return rows


def summary(rows: Sequence[tuple[str, ...]]) -> str:
    """Return how many aims were met, in a sentence; what no contender contained is never among them."""
    if not rows:
        return "No aims in these runs."
    missed = [row for row in rows if is_missed(row)]
    inert = [row for row in rows if row[-1] != MET and not is_missed(row)]
    parts = [f"{len(rows) - len(missed) - len(inert)} of {len(rows)} aims met"]
    if inert:
        parts.append(f"not contained, and harmless: {_names(inert)}")
    if missed:
        parts.append(f"missed in: {_names(missed)}")
    return "; ".join(parts) + "."


def _names(rows: Sequence[tuple[str, ...]]) -> str:
    return ", ".join(dict.fromkeys(row[0] for row in rows))


def rich(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    """Return a table for a terminal."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    before = ""
    for row in rows:
        style = "red" if is_missed(row) else ""
        table.add_row("" if row[0] == before else row[0], *row[1:], style=style)
        before = row[0]
    return table


def markdown(results: Sequence[Result], about: Sequence[str]) -> str:
    """Return everything as a document."""
    parts = ["# Correlation benchmark\n", *(f"- {line}" for line in about), ""]
    rows = aims(results)
    if rows:
        parts += ["## Aims\n", summary(rows) + "\n", _markdown(AIM_COLUMNS, rows)]
    columns = ("scenario", "contender", *(title for _, title in SIDE_BY_SIDE))
    parts += ["## All contenders\n", "Medians over seeds.\n", _markdown(columns, side_by_side(results))]
    return "\n".join(parts).rstrip() + "\n"


def _markdown(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"
