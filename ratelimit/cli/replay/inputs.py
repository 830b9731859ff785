"""The traces that a command reads: its options for them, and what is said of them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ratelimit.cli.failure import USAGE, Failure
from ratelimit.cli.terminal import Text, err, say
from ratelimit.inspection import formatting
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.replay.facts import carried
from ratelimit.traces import FORMATS, FieldMap, Fields, MappingWrong, Reader, Traces, open_traces

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("traces", metavar="TRACE...", nargs=-1, required=True, type=click.Path(allow_dash=True)),
    click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        default="auto",
        metavar="NAME",
        help=f"{', '.join(FORMATS)}.",
    ),
    click.option(
        "--sort", is_flag=True, help="Put lines in order of time first, with a temporary file as large."
    ),
    click.option(
        "--map",
        "mapping",
        multiple=True,
        metavar="NAME=FIELD,…",
        help="Places of fields: time=ts,path=request.uri; NAME==TEXT is the same on each line.",
    ),
)


def trace_options(command: Command) -> Command:
    """Give a command its traces: `traces`, `format_`, `sort` and `mapping`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_inputs(
    paths: Sequence[str],
    *policies: CompiledPolicy,
    fields: Fields,
    format: str,
    mapping: Sequence[str],
    sort: bool,
) -> Traces:
    """Return the traces at some paths as one.

    Raises:
        TraceUnreadable: one of them is not there, or not ours to read.
        Failure: a map places what the policy does not know, or standard input is read twice.
    """
    if list(paths).count("-") > 1:
        raise Failure("standard input can be read once", USAGE)
    known = [name for policy in policies for name in (*carried(policy), *policy.units[1:])]
    return open_traces(paths, fields, format=format, mapping=map_of(mapping, known), sort=sort)


def map_of(written: Sequence[str], known: Sequence[str]) -> FieldMap:
    """Return the map that a command's options say, over the fixed fields and some that are known."""
    try:
        return FieldMap.parse(written, known)
    except MappingWrong as error:
        raise Failure(str(error), USAGE) from error


def show_disorder(traces: Traces) -> None:
    """Say loudly which traces are not in order: what was decided of them means little."""
    for reader in traces.disordered():
        name = reader.source.name
        text = Text("warning: ", "bold yellow")
        text.append(f"{name} is not in order of time", "bold")
        text.append(
            f": {reader.stepped_back:,} of {reader.requests:,} lines are earlier than one before them, by up "
            f"to {formatting.wait(reader.longest_step_ns)}. They counted as of the later time, so far too "
            f"much is refused below. Run it again with --sort.",
            "not bold default",
        )
        say(err(), text)


def notes_on(traces: Traces) -> list[str]:
    """Return what should be known about how traces were read."""
    notes = []
    several = len(traces.readers) > 1
    for reader in traces.readers:
        name = f"{reader.source.name}: " if several else ""
        unreadable = reader.unreadable
        if count := unreadable.count:
            notes.append(f"{name}{formatting.count(count, 'line')} could not be read and got no decision:")
            notes += [f"    line {line.number}: {line.reason}: {line.excerpt}" for line in unreadable.first]
            if count > len(unreadable.first):
                notes.append(f"    … and {count - len(unreadable.first):,} more")
        if reader.stepped_back and reader not in traces.disordered():
            notes.append(
                f"{name}{formatting.count(reader.stepped_back, 'line')} earlier than one before (by up to "
                f"{formatting.wait(reader.longest_step_ns)}) counted as of the later time; "
                "--sort puts them in order"
            )
        if reader.source.broken is not None:
            notes.append(f"{name or 'the trace '}broke off: {reader.source.broken}")
    return notes


def traces_json(traces: Traces) -> dict[str, Any]:
    """Return what was read, for machines."""
    return {
        "trace": ", ".join(reader.source.name for reader in traces.readers),
        "format": traces.format,
        "traces": [_trace_json(reader) for reader in traces.readers],
        "sorted": traces.is_sorted,
        "in_order": not traces.disordered(),
        "unreadable": {
            "lines": traces.unreadable,
            "first": [
                {"line": line.number, "reason": line.reason, "text": line.excerpt}
                for reader in traces.readers
                for line in reader.unreadable.first
            ],
        },
        "stepped_back": traces.stepped_back,
        "longest_step_s": traces.longest_step_ns / 1e9,
        "broken": next((one.source.broken for one in traces.readers if one.source.broken is not None), None),
    }


def _trace_json(reader: Reader) -> dict[str, Any]:
    return {
        "trace": reader.source.name,
        "format": reader.format,
        "requests": reader.requests,
        "unreadable": reader.unreadable.count,
        "stepped_back": reader.stepped_back,
        "longest_step_s": reader.longest_step_ns / 1e9,
        "broken": reader.source.broken,
    }
