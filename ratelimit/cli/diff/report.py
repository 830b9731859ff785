"""The report on two policies over one trace, for people and for machines."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group
from rich.table import Table

from ratelimit.cli.diff.comparison import Change, Comparison, Side, Way
from ratelimit.cli.diff.written import written
from ratelimit.cli.replay.inputs import traces_json
from ratelimit.cli.terminal import Text
from ratelimit.inspection import formatting
from ratelimit.inspection.identities import given, short_hash
from ratelimit.replay.facts import RecordFacts
from ratelimit.replay.tally import LimitTally
from ratelimit.traces import Traces

TOP = 5
_STYLE: dict[Way, str] = {"refused": "red", "admitted": "green"}


class Report:
    """The outcome of one comparison.

    Args:
        comparison: what was decided.
        traces: what was read.
        reveal: whether identities are shown as given instead of as hashes.
    """

    def __init__(self, comparison: Comparison, traces: Traces, *, reveal: bool) -> None:
        self._comparison = comparison
        self._traces = traces
        self._reveal = reveal
        self._written = written(comparison.old.loaded.compiled, comparison.new.loaded.compiled)

    def print(self, console: Console, old: str, new: str) -> None:
        """Write it for people."""
        console.print(self._head(old, new))
        if self._written:
            console.print()
            console.print(self._limits())
        for way, change in self._comparison.changes.items():
            if change.requests:
                console.print()
                console.print(self._changed(way, change))
        for title, counted in (("class", "classes"), ("actor", "actors")):
            table = self._grouped(title, counted)
            if table is not None:
                console.print()
                console.print(table)

    def _head(self, old: str, new: str) -> Table:
        comparison = self._comparison
        requests = comparison.old.replay.requests
        head = Table.grid(padding=(0, 2))
        head.add_column(style="dim")
        head.add_column(overflow="fold")
        for at, reader in enumerate(self._traces.readers):
            head.add_row("" if at else "trace", Text(f"{reader.source.name} ({reader.format})"))
        head.add_row("requests", f"{requests:,}{self._span()}")
        for title, path, side in (("old", old, comparison.old), ("new", new, comparison.new)):
            refused = side.replay.refused
            head.add_row(title, Text(f"{path}: {refused:,} refused ({formatting.share(refused, requests)})"))
        outcome = Text("")
        for way, change in comparison.changes.items():
            outcome.append(f"{change.requests:,} newly {way}", _STYLE[way] if change.requests else "dim")
            outcome.append(", " if way == "refused" else "")
        if comparison.moved:
            outcome.append(f"; {comparison.moved:,} refused by both, by other limits")
        head.add_row("change", outcome)
        return head

    def _span(self) -> str:
        replay = self._comparison.old.replay
        if replay.first_ns is None:
            return ""
        return (
            f", {formatting.instant(replay.first_ns)} to {formatting.instant(replay.last_ns)} UTC "
            f"({formatting.wait(replay.last_ns - replay.first_ns)})"
        )

    def _limits(self) -> Table:
        table = _table("limit", "was", "is")
        for change in self._written:
            table.add_row(
                Text(change.limit, "bold"),
                Text(change.was or "not there", "" if change.was else "dim"),
                Text(change.now or "not there", "" if change.now else "dim"),
            )
        return table

    def _changed(self, way: Way, change: Change) -> Table:
        whom = "" if self._reveal else " (--reveal shows them)"
        table = _table("newly refused by" if way == "refused" else "no longer refused by", "requests", "")
        table.columns[1].justify = table.columns[2].justify = "right"
        table.add_column("callers", justify="right")
        table.add_column(f"most of them{whom}", overflow="fold")
        for name, tally in _by_number(change):
            table.add_row(
                Text(name, "bold"),
                Text(f"{tally.refused:,}", _STYLE[way]),
                Text(formatting.share(tally.refused, change.requests), "dim"),
                f"{len(tally.keys) + tally.forgotten:,}",
                Group(*(Text(f"{number:,} of {caller}") for caller, number in self._most(way, tally))),
            )
        if change.unnamed:
            table.add_row(Text("a list, or for want of an identity", "dim"), f"{change.unnamed:,}")
        return table

    def _grouped(self, title: str, counted: str) -> Table | None:
        refused, admitted = (getattr(change, counted) for change in self._comparison.changes.values())
        total = refused + admitted
        if not total:
            return None
        table = _table(title, "newly refused", "newly admitted")
        table.columns[1].justify = table.columns[2].justify = "right"
        for key, _ in total.most_common(TOP):
            table.add_row(
                Text(key if isinstance(key, str) else f"{key[0]} ({key[1]})", "bold"),
                f"{refused[key]:,}",
                f"{admitted[key]:,}",
            )
        if len(total) > TOP:
            table.add_row(Text(f"and {len(total) - TOP:,} others", "dim"), "", "")
        return table

    def _side(self, way: Way) -> Side:
        return self._comparison.new if way == "refused" else self._comparison.old

    def _most(self, way: Way, tally: LimitTally) -> list[tuple[str, int]]:
        return [
            (
                ", ".join(f"{name} {shown}" for name, shown in self._parts(way, tally, key)) or "everyone",
                number,
            )
            for key, number in tally.keys.most_common(TOP)
        ]

    def _parts(self, way: Way, tally: LimitTally, key: tuple[int, ...]) -> list[tuple[str, str]]:
        """Return the identities of one counter by name, each as a hash or as given."""
        side = self._side(way)
        compiled = side.loaded.compiled
        parts = []
        for position, hashed in zip(tally.rule.per, key, strict=True):
            spec = compiled.identities[compiled.cluster if compiled.is_actor(position) else position]
            shown: str | None = None
            if self._reveal:
                shown = given(spec, tally.shown[key], RecordFacts(side.replay.bound, self._comparison.fields))
            parts.append((spec.name, shown or short_hash(hashed)))
        return parts

    def as_json(self, old: str, new: str) -> dict[str, Any]:
        """Return it for machines."""
        comparison = self._comparison
        replays = {"old": comparison.old.replay, "new": comparison.new.replay}
        first_ns = comparison.old.replay.first_ns
        return {
            **traces_json(self._traces),
            "old": old,
            "new": new,
            "requests": comparison.old.replay.requests,
            "first_time": None if first_ns is None else formatting.iso(first_ns),
            "last_time": None if first_ns is None else formatting.iso(comparison.old.replay.last_ns),
            "refused": {name: replay.refused for name, replay in replays.items()},
            "refused_by_another_limit": comparison.moved,
            "limits_changed": [
                {"limit": change.limit, "was": change.was, "is": change.now} for change in self._written
            ],
            **{f"newly_{way}": self._change_json(way, change) for way, change in comparison.changes.items()},
        }

    def _change_json(self, way: Way, change: Change) -> dict[str, Any]:
        return {
            "requests": change.requests,
            "limits": [
                {
                    "limit": name,
                    "requests": tally.refused,
                    "callers": len(tally.keys) + tally.forgotten,
                    "most": [
                        {"identities": dict(self._parts(way, tally, key)), "requests": number}
                        for key, number in tally.keys.most_common(TOP)
                    ],
                }
                for name, tally in _by_number(change)
            ],
            "without_limit": change.unnamed,
            "classes": dict(change.classes.most_common()),
            "actors": [
                {"cluster": cluster, "verdict": verdict, "requests": number}
                for (cluster, verdict), number in change.actors.most_common()
            ],
        }


def _by_number(change: Change) -> list[tuple[str, LimitTally]]:
    return sorted(change.limits.items(), key=lambda item: -item[1].refused)


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        table.add_column(title, overflow="fold")
    return table
