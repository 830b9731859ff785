"""Batches of a trace, with a bar that shows how far it is."""

from __future__ import annotations

from collections.abc import Iterator

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from ratelimit.cli.terminal import err
from ratelimit.traces import Batch, Traces


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
