"""`ratelimit make limits`: limits from what callers of a trace really use."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from ratelimit.cli.failure import INPUT, USAGE, Failure
from ratelimit.cli.terminal import Text, err, note, print_json
from ratelimit.cli.traces import (
    no_progress_option,
    notes_on,
    open_inputs,
    reading,
    show_disorder,
    shown,
    table_of,
    trace_options,
    traces_json,
)
from ratelimit.errors import PolicyError
from ratelimit.inspection import formatting
from ratelimit.lab.records import Fields
from ratelimit.lab.replay import replay_of
from ratelimit.lab.suggest import PERCENTS, REQUESTS, USUAL, Measured, Row, written
from ratelimit.lab.traces import Traces
from ratelimit.policy import Policy
from ratelimit.telemetry.names import RuleColumn

_IDENTITY = re.compile(r"[a-z][a-z0-9_]{0,31}")
_UNIT = re.compile(r"[A-Za-z][A-Za-z0-9_ .-]{0,63}")
"""Names that a policy takes, and that need no escape in TOML."""


@click.command("limits")
@trace_options
@click.option(
    "--per", multiple=True, help="A kind of caller: ip, or a member of the trace. Several are fine."
)
@click.option("--unit", "units", multiple=True, help="Another unit than requests: output_tokens.")
@click.option("--match", default="* /*", help='The requests that count: "POST /v1/*". Default: all.')
@click.option(
    "--percentile",
    type=click.FloatRange(50, 100),
    default=99.0,
    show_default=True,
    help="Percentage of callers that a limit leaves alone at their busiest.",
)
@click.option("--json", "as_json", is_flag=True, help="Use, limits and the policy as JSON.")
@no_progress_option
def limits_command(
    traces: tuple[str, ...],
    per: tuple[str, ...],
    units: tuple[str, ...],
    match: str,
    percentile: float,
    as_json: bool,
    no_progress: bool,
    format_: str,
    sort: bool,
    mapping: tuple[str, ...],
) -> None:
    """Write a policy from the real use of a trace's callers.

    Looks for each caller's busiest minute, hour and day. A limit is the use that --percentile of all
    callers never exceed, rounded up. Shows percentiles, and the requests that each limit would have
    refused; then replays the trace by the policy, which goes to standard output.

    \b
    Examples:
      ratelimit make limits access.log > policy.toml
      ratelimit make limits trace.ndjson --per account --unit output_tokens
      ratelimit make limits host-a.log host-b.log --sort --match "POST /v1/*"
      ratelimit make limits use.json --map time=WHEN,path=URL,method==GET

    Traces are as for `ratelimit replay`. Limits are written in shadow: they only count until you take
    that line out.
    """
    names = list(dict.fromkeys(per or USUAL))
    counted = list(dict.fromkeys((REQUESTS, *units)))
    for name, pattern in (*((name, _IDENTITY) for name in names), *((unit, _UNIT) for unit in counted)):
        if name in ("time", "method", "path", "headers") or not pattern.fullmatch(name):
            raise Failure(f"{name} is not what a caller or a unit may be called", USAGE)

    def opened(fields: Fields) -> Traces:
        return open_inputs(traces, fields=fields, format=format_, mapping=mapping, sort=sort)

    with reading():
        fields = Fields(names, counted[1:], headers=False, user_agent="user_agent" in names)
        try:
            measured = Measured(fields, names, counted, match)
        except PolicyError as error:
            raise Failure(error.problems[0].message, USAGE) from error
        inputs = opened(fields)
        for batch in shown(inputs, "measuring", quiet=no_progress or as_json or "-" in traces):
            measured.take(batch)
        rows = measured.rows(percentile)
        if not rows:
            hint = "Name callers with --per, and where they stand with --map."
            raise Failure(_nothing(measured), INPUT, hint=hint)
        policy = written(rows, match, _head(measured, inputs, percentile))
        refused: dict[str, int] | None = None
        if "-" not in traces:  # standard input is read once
            loaded = Policy.from_toml(policy, "the suggested policy")
            replay = replay_of(loaded)
            for batch in opened(replay.fields):
                replay.take(batch)
            replay.finish()
            assert replay.store is not None  # it was read before, and not in vain
            table = replay.store.table
            refused = {
                rule.name: table.totals(table.counter(rule.name))[RuleColumn.REFUSED_IN_SHADOW]
                for rule in loaded.compiled.rules
            }
            replay.close()
    show_disorder(inputs)
    if as_json:
        print_json(_json(measured, inputs, rows, policy, refused))
        return
    sys.stdout.write(policy)
    sys.stdout.flush()
    _print(rows)
    if refused is None:
        note("Standard input is read once, so the policy was not replayed.")
    else:
        said = ", ".join(f"{number:,} by {name}" for name, number in refused.items())
        note(f"Replayed by this policy, of {measured.requests:,} requests would be refused: {said}.")
    if measured.is_sampled:
        note("There were more callers than are kept: numbers are of a sample, scaled up.")
    for line in notes_on(inputs):
        note(line)


def _nothing(measured: Measured) -> str:
    if not measured.requests:
        return f"no request of the trace matches {measured.match}"
    if not any(measured.found.values()):
        return f"no request names its caller: there is no {' and no '.join(measured.per)}"
    return "the trace is shorter than two minutes: nothing follows from it"


def _head(measured: Measured, inputs: Traces, percent: float) -> list[str]:
    names = ", ".join(Text(reader.source.name).plain for reader in inputs.readers)
    return [
        f"Suggested by `ratelimit make limits` from {names}:",
        f"{measured.requests:,} requests, {formatting.instant(measured.first_ns)} to "
        f"{formatting.instant(measured.last_ns)} UTC.",
        f"Each rate is what {percent:g} % of callers never exceeded, rounded up.",
        'In shadow it refuses nothing: watch it, then take the line `mode = "shadow"` out.',
    ]


def _print(rows: list[Row]) -> None:
    shares = [">most" if share == 100 else f">{share:g} %" for share in PERCENTS]
    table = table_of("busiest", ">callers", *shares, ">limit", ">beyond it", ">of callers")
    last = ("", "")
    for row in rows:
        if (row.per, row.unit) != last:
            last = (row.per, row.unit)
            table.add_row(Text(f"{row.unit} of one {row.per}", "bold"))
        table.add_row(
            f"  {row.window}",
            f"{row.callers:,}",
            *(f"{value:,}" for value in row.percentiles),
            Text(f"{row.quota:,}", "bold" if row.is_binding else "dim"),
            f"{row.beyond:,}",
            f"{row.callers_beyond:,}",
        )
    console = err()
    console.print()
    console.print(table)
    if not all(row.is_binding for row in rows):
        note("A limit in dim is left out: the limit of a shorter window already sees to it.")


def _json(
    measured: Measured, inputs: Traces, rows: list[Row], policy: str, refused: dict[str, int] | None
) -> dict[str, Any]:
    return {
        **traces_json(inputs),
        "requests": measured.requests,
        "match": measured.match,
        "first_time": formatting.iso(measured.first_ns),
        "last_time": formatting.iso(measured.last_ns),
        "sampled": measured.is_sampled,
        "use": [
            {
                "per": row.per,
                "unit": row.unit,
                "window": row.window,
                "callers": row.callers,
                "percentiles": dict(zip([f"{share:g}" for share in PERCENTS], row.percentiles, strict=True)),
                "limit": row.quota,
                "beyond": row.beyond,
                "callers_beyond": row.callers_beyond,
                "left_out": not row.is_binding,
            }
            for row in rows
        ],
        "would_refuse": refused,
        "policy": policy,
    }
