"""`python -m benchmarks`: asks the questions one after another and says what came of it."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from types import ModuleType

import click
from rich.console import Console

from benchmarks import (
    costs,
    hosts,
    hot_key,
    instructions,
    machine,
    many_keys,
    middleware,
    processes,
    queue,
    replay,
    replay_actors,
    report,
    server,
    stalls,
    three_limits,
    usage,
    ways,
)
from benchmarks.redis import cluster as redis_cluster
from benchmarks.redis import concurrent as redis_concurrent
from benchmarks.redis import exact as redis_exact
from benchmarks.redis import leased as redis_leased
from benchmarks.redis import memory as redis_memory
from benchmarks.redis import middleware as redis_middleware
from benchmarks.redis import outage as redis_outage
from benchmarks.redis import sequential as redis_sequential
from benchmarks.redis import soak as redis_soak
from benchmarks.settings import Settings

QUESTIONS: dict[str, ModuleType] = {
    "hot-key": hot_key,
    "many-keys": many_keys,
    "three-limits": three_limits,
    "middleware": middleware,
    "ways": ways,
    "server": server,
    "processes": processes,
    "replay": replay,
    "replay-actors": replay_actors,
    "stalls": stalls,
    "costs": costs,
    "usage": usage,
    "queue": queue,
    "redis-sequential": redis_sequential,
    "redis-concurrent": redis_concurrent,
    "redis-middleware": redis_middleware,
    "redis-leased": redis_leased,
    "redis-cluster": redis_cluster,
    "redis-exact": redis_exact,
    "redis-outage": redis_outage,
    "redis-memory": redis_memory,
    "redis-soak": redis_soak,
    "hosts": hosts,
    "instructions": instructions,
}
_Outside = click.Path(path_type=Path)


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice(list(QUESTIONS)), help="Ask this; may be given again."
)
@click.option(
    "--quick", is_flag=True, help="Short and rough: to try the benchmarks, not for numbers to quote."
)
@click.option("--instructions", "counting", is_flag=True, help="Count instructions as well, under valgrind.")
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Recorded traces."
)
@click.option("--json", "as_json", type=_Outside, help="Write everything measured as JSON.")
@click.option("--markdown", type=_Outside, help="Write the tables as Markdown.")
def main(
    only: tuple[str, ...],
    quick: bool,
    counting: bool,
    data: Path | None,
    as_json: Path | None,
    markdown: Path | None,
) -> None:
    """Measure the library beside its peers. Exit code 1 when an aim was missed."""
    names = only or tuple(name for name in QUESTIONS if counting or name != "instructions")
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    about = machine.describe()
    for name, value in about.items():
        console.print(f"[dim]{name}: {value}[/dim]", highlight=False)
    answers = []
    scratch = Path(tempfile.mkdtemp(prefix="kinlimit-benchmarks-"))
    try:
        for name in names:
            answers.append(QUESTIONS[name].answer(Settings(quick, data, scratch)))
            report.show(console, answers[-1])
    finally:
        shutil.rmtree(scratch)
    report.show_aims(console, answers)
    # Where this run's files were is no part of the command.
    said = [*(f"--only {name}" for name in only), *["--quick"] * quick, *["--instructions"] * counting]
    command = " ".join(["python -m benchmarks", *said])
    if as_json is not None:
        as_json.write_text(json.dumps(report.as_json(answers, about), indent=1) + "\n")
    if markdown is not None:
        markdown.write_text(report.markdown(answers, about, command))
    if any(row.verdict == "missed" for answer in answers for row in answer.rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
