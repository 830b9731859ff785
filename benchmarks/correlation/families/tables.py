"""Results as tables: harm by class, campaigns, the matrix of changes, the frontier, aims."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from statistics import median

from rich.table import Table

from benchmarks.correlation.families import goals
from benchmarks.correlation.families.changes import CHANGES
from benchmarks.correlation.families.measure import Chase, Result

Cells = list[tuple[str, ...]]


def harm(results: Sequence[Result]) -> Cells:
    """Return a row for each class with anything to tell: established and new side by side."""
    classes = goals.merged(results)
    cells: Cells = []
    for name in dict.fromkeys(klass for klass, _ in classes):
        row: list[str] = [name]
        said = False
        for new in (False, True):
            crowds = classes.get((name, new), [])
            for number, of in (
                ("refused", "requests"),
                ("ever", "accounts"),
                ("certain", "requests"),
                ("likely", "requests"),
                ("limited", "requests"),
            ):
                value = goals.share(crowds, number, of)
                said |= value > 0
                row.append("" if not crowds else "0" if not value else goals.percent(value))
        if said:
            cells.append(tuple(row))
    return cells


def by_contender(results: Sequence[Result]) -> tuple[tuple[str, ...], Cells]:
    """Return refusals by class and budgets after a day by campaign, a column a contender."""
    names = tuple(dict.fromkeys(result.contender for result in results))
    per = {name: [result for result in results if result.contender == name] for name in names}
    cells: Cells = []
    classes = {name: goals.merged(per[name]) for name in names}
    for klass, new in dict.fromkeys(key for name in names for key in classes[name]):
        row = [goals.share(classes[name].get((klass, new), []), "refused") for name in names]
        if any(row):
            said = ("0" if not value else goals.percent(value) for value in row)
            cells.append((klass + (", new" if new else ""), *said))
    chases = {
        name: [c for result in per[name] if result.kind != "random" for c in result.chases] for name in names
    }
    for family, change in dict.fromkeys((c.family, c.change) for name in names for c in chases[name]):
        mine = {name: [c for c in chases[name] if (c.family, c.change) == (family, change)] for name in names}
        title = family + (f" + {change}" if change else "") + " (budgets)"
        cells.append((title, *(_median(mine[name], "after_24") if mine[name] else "" for name in names)))
    return ("class or campaign", *names), cells


HARM = (
    "class",
    "refused",
    "ever",
    "certain",
    "likely",
    "limited",
    "new: refused",
    "ever",
    "certain",
    "likely",
    "limited",
)
CAMPAIGNS = (
    "campaign",
    "demand",
    "budgets",
    "1 h",
    "6 h",
    "24 h",
    "hours beyond",
    "to likely",
    "to certain",
    "likely",
    "certain",
    "$/month",
)


def campaigns(results: Sequence[Result], *kinds: str) -> Cells:
    """Return a row for each campaign in worlds of some kinds, medians over seeds and worlds."""
    found: dict[str, list[Chase]] = {}
    for result in results:
        if result.kind in kinds:
            for chase in result.chases:
                found.setdefault(chase.family, []).append(chase)
    return [
        (
            family,
            *(
                _median(chases, name)
                for name in ("demand", "amplification", "after_1", "after_6", "after_24")
            ),
            *(_median(chases, name) for name in ("hours_beyond", "hours_to_likely", "hours_to_certain")),
            *(_median(chases, name) for name in ("likely", "certain", "dollars")),
        )
        for family, chases in found.items()
    ]


def matrix(results: Sequence[Result]) -> tuple[tuple[str, ...], Cells]:
    """Return budgets after a day of each campaign under each change, medians over seeds."""
    pairs = goals.changed(results)
    families = tuple(dict.fromkeys(now.family for now, _ in pairs))
    plain = [_median([then for _, then in pairs if then.family == family], "after_24") for family in families]
    cells: Cells = [("(plain)", *plain)] if families else []
    for change in CHANGES:
        row = [
            [now for now, _ in pairs if (now.family, now.change) == (family, change)] for family in families
        ]
        if any(row):
            cells.append((change, *(_median(chases, "after_24") if chases else "" for chases in row)))
    return ("change", *families), cells


FRONTIER = (
    "campaign",
    "$/month",
    "without accounts",
    "budgets after a day",
    "budgets a $1,000",
    "$ a budget beyond the first",
)


def frontier(results: Sequence[Result]) -> Cells:
    """Return named campaigns by what a budget beyond the first costs: the cheapest first."""
    found: dict[str, list[Chase]] = {}
    for result in results:
        if result.kind != "random":
            for chase in result.chases:
                name = chase.family + (f" + {chase.change}" if chase.change else "")
                found.setdefault(name, []).append(chase)
    ordered = sorted(found, key=lambda name: median(map(goals.evasion, found[name])))
    cells: Cells = []
    for name in ordered:
        chases = found[name]
        each = median(map(goals.evasion, chases))
        dollars, bare, held = (
            median(getattr(one, what) for one in chases)
            for what in ("dollars", "evasion_dollars", "after_24")
        )
        cells.append(
            (
                name,
                f"{dollars:,.0f}",
                f"{bare:,.0f}",
                f"{held:.2f}",
                f"{1000 * held / dollars:.2f}",
                f"{each:,.1f}" if isfinite(each) else "contained",
            )
        )
    return cells


AIMS = ("aim", "bound", "found", "", "where")


def aims(results: Sequence[Result]) -> Cells:
    """Return every aim: met, missed or only stated."""
    words = {True: "met", False: "missed", None: ""}
    return [(row.aim, row.bound, row.found, words[row.met], row.where) for row in goals.rows(results)]


CONTENDERS = (
    "contender",
    "refused",
    "worst class",
    "ever",
    "new: worst class",
    "likely",
    "purity",
    "changed held",
    "budgets 24 h, median",
)


def contenders(results: Sequence[Result]) -> Cells:
    """Return a row for each contender."""
    cells: Cells = []
    for name in dict.fromkeys(result.contender for result in results):
        mine = [result for result in results if result.contender == name]
        row = {one.aim: one for one in goals.rows(mine)}
        worst = [one.found for one in goals.rows(mine) if one.aim == "… of the worst class"]
        held = [chase.after_24 for result in mine for chase in result.chases]
        changes = row.get(goals.CHANGED)
        cells.append(
            (
                name,
                row["established: honest requests refused"].found,
                worst[0],
                row["… accounts ever refused"].found,
                row["brand-new: requests refused, worst class"].found,
                row["established: honest requests likely"].found,
                row["purity of certain actors, by members"].found,
                changes.found if changes else "",
                f"{median(held):.2f}" if held else "",
            )
        )
    return cells


def rich(columns: Sequence[str], cells: Cells) -> Table:
    """Return a table for a terminal; what was missed is red."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*row, style="red" if "missed" in row else "")
    return table


def markdown(title: str, columns: Sequence[str], cells: Cells) -> str:
    """Return a table for a document."""
    lines = [f"## {title}", "", "| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in cells]) + "\n"


def sections(results: Sequence[Result], leader: str) -> list[tuple[str, Sequence[str], Cells]]:
    """Return all tables: contenders beside each other, and the first of them in full."""
    mine = [result for result in results if result.contender == leader]
    changes, cells = matrix(mine)
    columns, classes = by_contender(results)
    found: list[tuple[str, Sequence[str], Cells]] = [
        ("Contenders", CONTENDERS, contenders(results)),
        ("Honest requests refused, and budgets admitted after a day", columns, classes),
        (f"{leader}: honest classes, established and brand-new", HARM, harm(mine)),
        (f"{leader}: campaigns", CAMPAIGNS, campaigns(mine, "plain", "poison")),
        (f"{leader}: budgets after a day, by what is changed", changes, cells),
        (f"{leader}: campaigns of random structure", CAMPAIGNS, campaigns(mine, "random")),
        (f"{leader}: the frontier in dollars", FRONTIER, frontier(mine)),
        (f"{leader}: aims", AIMS, aims(mine)),
    ]
    return [section for section in found if section[2]]


def _median(chases: Sequence[Chase], name: str) -> str:
    value = median(getattr(chase, name) for chase in chases)
    if not isfinite(value):
        return "never"
    return f"{value:,.0f}" if name == "dollars" else f"{value:.2f}"
