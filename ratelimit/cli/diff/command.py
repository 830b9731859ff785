"""`ratelimit diff`: the command."""

from __future__ import annotations

import click

from ratelimit.cli.diff.comparison import Comparison
from ratelimit.cli.diff.report import Report
from ratelimit.cli.failure import INPUT, INTERRUPTED, Failure
from ratelimit.cli.loading import load
from ratelimit.cli.replay.inputs import notes_on, open_inputs, show_disorder, trace_options
from ratelimit.cli.replay.progress import shown
from ratelimit.cli.terminal import note, out, print_json
from ratelimit.traces import TraceUnreadable


@click.command("diff")
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@trace_options
@click.option("--reveal", is_flag=True, help="Show callers as the trace gives them, not as hashes.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    help="Another seed, other hashes, where a policy's key is not at hand.",
)
@click.option("--no-correlation", is_flag=True, help="Look for no actors: limits per actor never bind.")
@click.option("--json", "as_json", is_flag=True, help="The comparison as JSON.")
@click.option("--no-progress", is_flag=True, help="No progress bar, on a terminal either.")
def diff_command(
    old: str,
    new: str,
    traces: tuple[str, ...],
    format_: str,
    sort: bool,
    mapping: tuple[str, ...],
    reveal: bool,
    seed: int,
    no_correlation: bool,
    as_json: bool,
    no_progress: bool,
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
    comparison = Comparison(
        load(old, show_warnings=False),
        load(new),
        seed=seed,
        correlates=not no_correlation,
    )
    try:
        policies = (comparison.old.loaded.compiled, comparison.new.loaded.compiled)
        inputs = open_inputs(
            traces, *policies, fields=comparison.fields, format=format_, mapping=mapping, sort=sort
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
    except TraceUnreadable as error:
        raise Failure(str(error), INPUT) from error
    except KeyboardInterrupt:
        note("interrupted")
        raise SystemExit(INTERRUPTED) from None
    finally:
        comparison.close_replays()
