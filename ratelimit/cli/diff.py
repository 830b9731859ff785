"""`ratelimit diff`: two policies over one trace."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console, Group
from rich.table import Table

from ratelimit.cli.check import covers, details
from ratelimit.cli.loading import load
from ratelimit.cli.replay import allowed_words, span_of, times_json
from ratelimit.cli.terminal import Text, note, out, print_json
from ratelimit.cli.traces import (
    TOP,
    head_of,
    history_of,
    no_correlation_option,
    no_progress_option,
    notes_on,
    open_inputs,
    reading,
    seed_option,
    show_disorder,
    shown,
    table_of,
    trace_options,
    traces_json,
)
from ratelimit.inspection.formatting import mode, share
from ratelimit.inspection.identities import given, short_hash
from ratelimit.lab.diff import Change, Comparison, Way
from ratelimit.lab.replay import LimitTally
from ratelimit.lab.traces import Traces
from ratelimit.policy.compile.compiled import CompiledPolicy

_STYLE: dict[Way, str] = {"refused": "red", "admitted": "green"}


@click.command("diff")
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@trace_options
@click.option("--reveal", is_flag=True, help="Show callers as the trace gives them, not as hashes.")
@seed_option
@no_correlation_option
@click.option("--json", "as_json", is_flag=True, help="The comparison as JSON.")
@no_progress_option
def diff_command(
    old: str,
    new: str,
    traces: tuple[str, ...],
    reveal: bool,
    seed: int,
    no_correlation: bool,
    as_json: bool,
    no_progress: bool,
    format_: str,
    sort: bool,
    mapping: tuple[str, ...],
) -> None:
    """Decide a trace by two policies: who would newly be refused, and who admitted?

    Traces are as for `ratelimit replay`. Each policy counts by itself, from empty counters.
    Shows which limits differ, and counts changed decisions by limit, class (tier) and actor, with the
    callers that notice most.

    \b
    Examples:
      ratelimit diff policy.toml proposed.toml access.log
      git show HEAD:policy.toml > /tmp/old.toml
      ratelimit diff /tmp/old.toml policy.toml host-a.log host-b.log --sort --json

    Exit code 0 for any result.
    """
    before, after = load(old, show_warnings=False), load(new)
    histories = history_of(before), history_of(after)
    comparison = Comparison(before, after, histories, seed=seed, correlates=not no_correlation)
    try:
        with reading():
            inputs = open_inputs(
                traces,
                before.compiled,
                after.compiled,
                fields=comparison.fields,
                format=format_,
                mapping=mapping,
                sort=sort,
            )
            for batch in shown(inputs, "comparing", quiet=no_progress or as_json or "-" in traces):
                comparison.take(batch)
            comparison.finish()
        report = Report(comparison, inputs, reveal=reveal)
        show_disorder(inputs)
        if as_json:
            print_json(report.as_json(old, new))
            return
        console = out()
        report.print(console, old, new)
        console.file.flush()
        for line in notes_on(inputs):
            note(line)
    finally:
        comparison.close_replays()


class Report:
    """The outcome of one comparison, for people and for machines.

    Args:
        comparison: what was decided.
        traces: what was read.
        reveal: whether identities are shown as given instead of as hashes.
    """

    def __init__(self, comparison: Comparison, traces: Traces, *, reveal: bool) -> None:
        self._comparison = comparison
        self._traces = traces
        self._reveal = reveal
        was, now = _phrases(comparison.old.compiled), _phrases(comparison.new.compiled)
        self._written = [
            (name, was.get(name), now.get(name))
            for name in dict.fromkeys([*now, *was])
            if was.get(name) != now.get(name)
        ]
        """Limits that are not the same in both, in the order of the new policy."""

    def print(self, console: Console, old: str, new: str) -> None:
        """Write it for people."""
        tables = [self._head(old, new)]
        if self._written:
            tables.append(table_of("limit", "was", "is"))
        for name, *phrases in self._written:
            said = [Text(one or "not there", "" if one else "dim") for one in phrases]
            tables[-1].add_row(Text(name, "bold"), *said)
        tables += [
            self._changed(way, change) for way, change in self._comparison.changes.items() if change.requests
        ]
        tables += [self._grouped("class", "classes"), self._grouped("actor", "actors")]
        for at, table in enumerate(tables):
            if at == 0 or table.row_count:
                if at:
                    console.print()
                console.print(table)

    def _head(self, old: str, new: str) -> Table:
        comparison = self._comparison
        replay = comparison.old.replay
        rows: list[tuple[str, Any]] = []
        for reader in self._traces.readers:
            rows.append(("" if rows else "trace", Text(f"{reader.source.name} ({reader.format})")))
        span = "" if replay.first_ns is None else f", {span_of(replay)}"
        rows.append(("requests", f"{replay.requests:,}{span}"))
        for title, path, side in (("old", old, comparison.old), ("new", new, comparison.new)):
            refused = side.replay.refused
            rows.append((title, Text(f"{path}: {refused:,} refused ({share(refused, replay.requests)})")))
        outcome = Text("")
        for way, change in comparison.changes.items():
            outcome.append(f"{change.requests:,} newly {way}", _STYLE[way] if change.requests else "dim")
            outcome.append(", " if way == "refused" else "")
        if comparison.moved:
            outcome.append(f"; {comparison.moved:,} refused by both, by other limits")
        return head_of(*rows, ("change", outcome))

    def _changed(self, way: Way, change: Change) -> Table:
        title = "newly refused by" if way == "refused" else "no longer refused by"
        whom = "most of them" if self._reveal else "most of them (--reveal shows them)"
        table = table_of(title, ">requests", ">", ">callers", whom)
        for name, tally in change.by_number:
            most = [
                (number, ", ".join(map(" ".join, self._parts(way, tally, key))) or "everyone")
                for key, number in tally.keys.most_common(TOP)
            ]
            table.add_row(
                Text(name, "bold"),
                Text(f"{tally.refused:,}", _STYLE[way]),
                Text(share(tally.refused, change.requests), "dim"),
                f"{tally.callers:,}",
                Group(*(Text(f"{number:,} of {caller}") for number, caller in most)),
            )
        if change.unnamed:
            table.add_row(Text("a list, or for want of an identity", "dim"), f"{change.unnamed:,}")
        return table

    def _grouped(self, title: str, counted: str) -> Table:
        refused, admitted = (getattr(change, counted) for change in self._comparison.changes.values())
        total = refused + admitted
        table = table_of(title, ">newly refused", ">newly admitted")
        for key, _ in total.most_common(TOP):
            name = key if isinstance(key, str) else f"{key[0]} ({key[1]})"
            table.add_row(Text(name, "bold"), f"{refused[key]:,}", f"{admitted[key]:,}")
        if len(total) > TOP:
            table.add_row(Text(f"and {len(total) - TOP:,} others", "dim"), "", "")
        return table

    def _parts(self, way: Way, tally: LimitTally, key: tuple[int, ...]) -> list[tuple[str, str]]:
        """Return the identities of one counter by name, each as a hash or as given."""
        side = self._comparison.new if way == "refused" else self._comparison.old
        compiled = side.compiled
        parts = []
        for position, hashed in zip(tally.rule.per, key, strict=True):
            spec = compiled.identities[compiled.cluster if compiled.is_actor(position) else position]
            shown = given(spec, tally.shown[key], side.facts) if self._reveal else None
            parts.append((spec.name, shown or short_hash(hashed)))
        return parts

    def as_json(self, old: str, new: str) -> dict[str, Any]:
        """Return it for machines."""
        comparison = self._comparison
        was, now = comparison.old.replay, comparison.new.replay
        return {
            **traces_json(self._traces),
            "old": old,
            "new": new,
            "requests": was.requests,
            **times_json(was),
            "refused": {"old": was.refused, "new": now.refused},
            "refused_by_another_limit": comparison.moved,
            "limits_changed": [{"limit": name, "was": was, "is": now} for name, was, now in self._written],
            **{f"newly_{way}": self._change_json(way, change) for way, change in comparison.changes.items()},
        }

    def _change_json(self, way: Way, change: Change) -> dict[str, Any]:
        return {
            "requests": change.requests,
            "limits": [
                {
                    "limit": name,
                    "requests": tally.refused,
                    "callers": tally.callers,
                    "most": [
                        {"identities": dict(self._parts(way, tally, key)), "requests": number}
                        for key, number in tally.keys.most_common(TOP)
                    ],
                }
                for name, tally in change.by_number
            ],
            "without_limit": change.unnamed,
            "classes": dict(change.classes.most_common()),
            "actors": [
                {"cluster": cluster, "verdict": verdict, "requests": number}
                for (cluster, verdict), number in change.actors.most_common()
            ],
        }


def _phrases(policy: CompiledPolicy) -> dict[str, str]:
    """Return each limit, and each tier of it, in words."""
    found = {}
    for rule in policy.rules:
        if not rule.is_beside:
            title = rule.name if rule.tier is None else f"{rule.name}, tier {rule.tier}"
            modes = [] if mode(rule) == "enforce" else [mode(rule)]
            parts = [allowed_words(rule, policy), rule.algorithm, *details(rule, policy), *modes]
            found[title] = "; ".join([*parts, covers(rule, policy)])
    return found
