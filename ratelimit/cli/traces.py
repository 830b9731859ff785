"""The traces that a command reads: its options for them, a bar, and what is said of them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from ratelimit.allowance.compile import allowance_of
from ratelimit.allowance.history import History, read_history
from ratelimit.cli.failure import INPUT, INTERRUPTED, POLICY, USAGE, Failure
from ratelimit.cli.terminal import Text, err, note, say
from ratelimit.errors import StoreError
from ratelimit.inspection.formatting import count, wait
from ratelimit.lab.records import Fields, carried
from ratelimit.lab.traces import (
    FORMATS,
    Batch,
    MappingWrong,
    Reader,
    Traces,
    TraceUnreadable,
    open_traces,
    parse_map,
)
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.stores.factory import wish_of

TOP = 5
"""Callers that are shown of each limit."""
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
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    help="Another seed, other hashes, where the policy's key is not at hand.",
)
no_correlation_option = click.option(
    "--no-correlation", is_flag=True, help="Look for no actors: limits per actor never bind."
)
no_progress_option = click.option(
    "--no-progress", is_flag=True, help="No progress bar, on a terminal either."
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
    """Return the traces at some paths as one; a map may place what records have, or the policies know.

    Raises:
        TraceUnreadable: one of them is not there, or not ours to read.
        Failure: a map places what is not known, or standard input is read twice.
    """
    if list(paths).count("-") > 1:
        raise Failure("standard input can be read once", USAGE)
    known = [name for policy in policies for name in (*carried(policy), *policy.units[1:])]
    try:
        placed = parse_map(mapping, known if policies else fields.attribute)
    except MappingWrong as error:
        raise Failure(str(error), USAGE) from error
    return open_traces(paths, fields, format=format, mapping=placed, sort=sort)


@contextmanager
def reading() -> Iterator[None]:
    """Make a trace that cannot be read, and Ctrl-C, the end of the command.

    Raises:
        Failure: the trace cannot be read.
    """
    try:
        yield
    except TraceUnreadable as error:
        raise Failure(str(error), INPUT) from error
    except KeyboardInterrupt:
        note("interrupted")
        raise SystemExit(INTERRUPTED) from None


def shown(traces: Traces, doing: str, *, quiet: bool) -> Iterator[Batch]:
    """Yield the batches of some traces; on a terminal, unless quiet, with a bar on standard error.

    Args:
        traces: what is read.
        doing: what stands before the bar, as "replaying".
        quiet: whether there is none.
    """
    console = err()
    if quiet or not console.is_terminal:
        yield from traces
        return
    columns = (
        TextColumn(doing),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=traces.size)
        for batch in traces:
            yield batch
            progress.update(task, completed=traces.position)


def show_disorder(traces: Traces) -> None:
    """Say loudly which traces are not in order: what was decided of them means little."""
    for reader in traces.readers:
        if reader.is_disordered:
            text = Text("warning: ", "bold yellow")
            text.append(f"{reader.source.name} is not in order of time", "bold")
            text.append(
                f": {reader.stepped_back:,} of {reader.requests:,} lines are earlier than one before them, "
                f"by up to {wait(reader.longest_step_ns)}. They counted as of the later time, so far too "
                f"much is refused below. Run it again with --sort.",
                "not bold default",
            )
            say(err(), text)


def notes_on(traces: Traces) -> list[str]:
    """Return what should be known about how traces were read."""
    notes = []
    for reader in traces.readers:
        name = f"{reader.source.name}: " if len(traces.readers) > 1 else ""
        unreadable = reader.unreadable
        if unreadable.count:
            notes.append(f"{name}{count(unreadable.count, 'line')} could not be read and got no decision:")
            notes += [f"    line {line.number}: {line.reason}: {line.excerpt}" for line in unreadable.first]
            if (more := unreadable.count - len(unreadable.first)) > 0:
                notes.append(f"    … and {more:,} more")
        if reader.stepped_back and not reader.is_disordered:
            notes.append(
                f"{name}{count(reader.stepped_back, 'line')} earlier than one before (by up to "
                f"{wait(reader.longest_step_ns)}) counted as of the later time; --sort puts them in order"
            )
        if reader.source.broken is not None:
            notes.append(f"{name or 'the trace '}broke off: {reader.source.broken}")
    return notes


def traces_json(traces: Traces) -> dict[str, Any]:
    """Return what was read, for machines."""
    readers = traces.readers
    each = [_trace_json(reader) for reader in readers]
    return {
        "trace": ", ".join(one["trace"] for one in each),
        "format": ", ".join(dict.fromkeys(one["format"] for one in each)),
        "traces": each,
        "sorted": traces.is_sorted,
        "in_order": not any(reader.is_disordered for reader in readers),
        "unreadable": {
            "lines": sum(one["unreadable"] for one in each),
            "first": [
                {"line": line.number, "reason": line.reason, "text": line.excerpt}
                for reader in readers
                for line in reader.unreadable.first
            ],
        },
        "stepped_back": sum(one["stepped_back"] for one in each),
        "longest_step_s": max(one["longest_step_s"] for one in each),
        "broken": next((one["broken"] for one in each if one["broken"] is not None), None),
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


def history_of(policy: Policy, given: str | None = None) -> History | None:
    """Return the history of a given file, or of the one that the policy names; None if there is none.

    Raises:
        Failure: it cannot be used.
    """
    if given is not None and not any(allowance_of(rule) is not None for rule in policy.compiled.rules):
        raise Failure(
            "--history: the policy has no limit with an allowance, so payers have no records",
            USAGE,
            hint="Write `budget = { per_usd = … }` into the limit of a payer, or leave --history out.",
        )
    named = policy.compiled.file.store.history if given is None else given
    if named is None:
        return None
    key = wish_of(policy, needs_key=False).key
    if key is None and given is not None:
        raise Failure(
            "--history: a history is bound to a hash key, and the policy has none",
            POLICY,
            hint="Write `[hashing]` with the `key` that the history was made with.",
        )
    if key is None:
        note(f"{named} is not read, as the hash key is not at hand: payers begin as new ones")
        return None
    try:
        return read_history(Path(named), key)
    except FileNotFoundError:
        note(f"{named} does not exist: payers begin as new ones")
        return None
    except StoreError as error:
        raise Failure(f"{error} [{error.code}]", INPUT) from error


def table_of(*titles: str) -> Table:
    """Return an empty table; titles after ">" are those of numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        is_number = title.startswith(">")
        table.add_column(title.removeprefix(">"), overflow="fold", justify="right" if is_number else "left")
    return table


def head_of(*rows: tuple[str, Any]) -> Table:
    """Return a summary's first lines: what each is called, and it."""
    head = Table.grid(padding=(0, 2))
    head.add_column(style="dim")
    head.add_column(overflow="fold")
    for title, said in rows:
        head.add_row(title, said)
    return head
