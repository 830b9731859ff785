"""`python -m benchmarks.correlation.export`: a scenario as a stream, day by day, and the truth beside it.

Scenarios do not say when accounts were created. A world of the families does:

    python -m benchmarks.correlation.export base trace.ndjson --family

The campaign of the published size beside as much honest traffic, 57 million requests,
is written without ever being in memory:

    python -m benchmarks.correlation.export published - --scale published | ratelimit replay policy.toml -
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from benchmarks.needs import missing

try:
    import click

    from benchmarks.correlation.families.catalogue import NAMED
    from benchmarks.correlation.scenario import SCALES, sized_for, stage_of
    from benchmarks.correlation.trace import Trace, Truth
    from benchmarks.correlation.written import account_name, lines
except ModuleNotFoundError as error:
    raise missing(error) from None


@click.command()
@click.argument("scenario")
@click.argument("output", type=click.Path(dir_okay=False))
@click.option("--scale", default="small", show_default=True, type=click.Choice(list(SCALES)))
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Recorded traces."
)
@click.option(
    "--truth", type=click.Path(dir_okay=False, path_type=Path), help="CSV: who is behind an account."
)
@click.option("--family", is_flag=True, help="SCENARIO is a world of `benchmarks.correlation.families`.")
def main(
    scenario: str, output: str, scale: str, seed: int, data: Path | None, truth: Path | None, family: bool
) -> None:
    """Write SCENARIO to OUTPUT as NDJSON: gzip when it ends in .gz, standard output when it is -."""
    days: Iterable[Trace]
    if family:
        if scenario not in NAMED:
            raise click.BadParameter(f"no world is called {scenario!r}: see families --list")
        whole = NAMED[scenario].world(seed).trace
        days, told = (whole,), whole.truth
    else:
        stage = stage_of(scenario, sized_for(scenario, SCALES[scale]), seed, data)
        days, told = stage.days(), stage.world.truth()
    with ExitStack() as stack:
        file: IO[bytes] | gzip.GzipFile
        if output == "-":
            file = sys.stdout.buffer
        elif output.endswith(".gz"):
            file = stack.enter_context(gzip.open(output, "wb", compresslevel=1))
        else:
            file = stack.enter_context(Path(output).open("wb"))
        for day in days:
            file.writelines(lines(day))
    if truth is not None:
        _write_truth(truth, told)


def _write_truth(path: Path, truth: Truth) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("account", "actor", "class", "campaign", "generation", "victim"))
        for number in range(len(truth.actor)):
            rows.writerow(
                (
                    account_name(number),
                    truth.actor[number],
                    truth.klasses[truth.klass[number]],
                    truth.campaign[number],
                    truth.bound[number],
                    int(truth.victim[number]),
                )
            )


if __name__ == "__main__":
    main()
