"""The report: one table of aims, and one table a question, for people or as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.rounds import Sample


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that has an aim.

    Args:
        what: was measured.
        ours: the value, in `unit`.
        aim: what it should be; at most that, or at least with `more_is_better`. None: no aim.
        peer, peer_value: the best peer in the same run.
    """

    what: str
    ours: float
    unit: str
    aim: float | None = None
    more_is_better: bool = False
    peer: str = ""
    peer_value: float | None = None

    @property
    def verdict(self) -> str:
        """`met` or `missed`; empty without an aim."""
        if self.aim is None:
            return ""
        met = self.ours >= self.aim if self.more_is_better else self.ours <= self.aim
        return "met" if met else "missed"

    @property
    def ratio(self) -> float | None:
        """How many times better than the best peer."""
        if self.peer_value is None or not self.peer_value or not self.ours:
            return None
        return self.ours / self.peer_value if self.more_is_better else self.peer_value / self.ours

    def cells(self) -> list[str]:
        """Return the row as text."""
        sign = "≥" if self.more_is_better else "≤"
        return [
            self.what,
            f"{number(self.ours)} {self.unit}",
            "" if self.aim is None else f"{sign} {number(self.aim)} {self.unit}",
            self.verdict,
            "" if self.peer_value is None else f"{self.peer}: {number(self.peer_value)} {self.unit}",
            "" if self.ratio is None else f"{self.ratio:.1f}×",
        ]


@dataclass(slots=True)
class Answer:
    """What one question came to: rows with aims, everything measured, and what to know about it."""

    name: str
    question: str
    rows: list[Row] = field(default_factory=list)
    columns: Sequence[str] = ()
    measured: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def samples(
        self, title: str, samples: Mapping[str, Sample], unit: str = "ns", scale: float = 1.0
    ) -> None:
        """Add measurements taken in rotation."""
        self.columns = ("", "contender", f"median, {unit}", "quartiles")
        for name, sample in samples.items():
            quartiles = f"{number(sample.lower / scale)} to {number(sample.upper / scale)}"
            self.measured.append((title, name, number(sample.median / scale), quartiles))
            title = ""


AIMS = ("what", "ours", "aim", "", "best peer in the run", "better by")


def number(value: float) -> str:
    """Return a number with three digits that count, or all of a large one's."""
    if value and abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def best(values: Mapping[str, float], *, more_is_better: bool = False) -> tuple[str, float | None]:
    """Return the best peer and its value."""
    if not values:
        return "", None
    name = (max if more_is_better else min)(values, key=lambda one: values[one])
    return name, values[name]


def show(console: Console, answer: Answer) -> None:
    """Print one answer, when it is known."""
    console.print(f"\n[bold]{answer.name}[/bold]: {answer.question}")
    if answer.rows:
        console.print(_rich(AIMS, [row.cells() for row in answer.rows]))
    if answer.measured:
        console.print(_rich(answer.columns, answer.measured))
    for note in answer.notes:
        console.print(f"  [dim]{note}[/dim]")


def show_aims(console: Console, answers: Iterable[Answer]) -> None:
    """Print all aims in one table."""
    rows = [row.cells() for answer in answers for row in answer.rows if row.aim is not None]
    if rows:
        console.print("\n[bold]All aims[/bold]")
        console.print(_rich(AIMS, rows))


def markdown(answers: Sequence[Answer], about: Mapping[str, str], command: str) -> str:
    """Return the whole run as a document."""
    aims = [row.cells() for answer in answers for row in answer.rows if row.aim is not None]
    parts = [
        "# Benchmarks\n",
        f"Written by `{command}`; not edited by hand.",
        "Medians of rounds in which all contenders take turns; what the loop itself costs is taken off.\n",
        *(f"- {name}: {value}" for name, value in about.items()),
        "",
    ]
    if aims:
        parts.append(_table(AIMS, aims))
    for answer in answers:
        parts += [f"## {answer.name}\n", answer.question, ""]
        if any(row.aim is None for row in answer.rows):
            parts.append(_table(AIMS, [row.cells() for row in answer.rows if row.aim is None]))
        if answer.measured:
            parts.append(_table(answer.columns, answer.measured))
        parts += [f"- {note}" for note in answer.notes] + ([""] if answer.notes else [])
    return "\n".join(parts).rstrip() + "\n"


def as_json(answers: Sequence[Answer], about: Mapping[str, str]) -> dict[str, Any]:
    """Return the whole run for machines."""
    rows = [
        {"question": answer.name, **asdict(row), "verdict": row.verdict}
        for answer in answers
        for row in answer.rows
    ]
    return {"about": dict(about), "rows": rows, "answers": [asdict(answer) for answer in answers]}


def _rich(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        style = "red" if "missed" in row else ""
        table.add_row(*row, style=style)
    return table


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
