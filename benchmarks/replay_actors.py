"""`ratelimit replay` with correlation, decisions written: requests a second, as a person waits for them.

A campaign among people (`benchmarks.correlation.families`, the world *base*, seed 1) is written as NDJSON.
The command replays it under the policy of `examples/llm-api`, in a process of its own, three times. The rate
is the one that the command prints, by the wall clock and without its start; so other work on the machine
lowers it.
"""

from __future__ import annotations

import re
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.replay import LLM_API
from benchmarks.report import Answer, Row, number
from benchmarks.settings import Settings

NAME = "replay-actors"
AIM = 300.0
RUNS = 3
SEED = 1
_RATE = re.compile(r"([\d,]+) requests a second")


def answer(settings: Settings) -> Answer:
    """Time the command."""
    found = Answer(NAME, "How many requests a second does `ratelimit replay` decide with correlation?")
    try:
        from benchmarks.correlation.families.catalogue import NAMED
        from benchmarks.correlation.families.world import LARGE, SMALL
        from benchmarks.correlation.written import write
    except ModuleNotFoundError as error:
        found.notes.append(f"not measured: {error.name} is not installed")
        return found
    trace = settings.scratch / "campaign.ndjson"
    decisions = settings.scratch / "decisions.ndjson"
    made = NAMED["base"].world(SEED, SMALL if settings.quick else LARGE).trace
    try:
        write(made, trace)
        runs = [_replay(trace, decisions, len(made)) for _ in range(RUNS)]
    finally:
        trace.unlink(missing_ok=True)
        decisions.unlink(missing_ok=True)
    rates, processor = zip(*runs, strict=True)
    rate = statistics.median(rates)
    found.rows.append(Row("replay, decisions written", rate, "thousand/s", AIM, more_is_better=True))
    found.columns = ("", "requests", "median, thousand a second", "range")
    for title, values in (("as printed", rates), ("by processor time, start included", processor)):
        spread = f"{number(min(values))} to {number(max(values))}"
        found.measured.append((title, f"{len(made):,}", number(statistics.median(values)), spread))
    return found


def _replay(trace: Path, decisions: Path, requests: int) -> tuple[float, float]:
    """Return the thousand requests a second that the command prints, and those a second of processor time."""
    command = [sys.executable, "-m", "kinlimit", "replay", str(LLM_API), str(trace)]
    before = _processor_s()
    done = subprocess.run(
        [*command, "--decisions", str(decisions)], capture_output=True, text=True, check=False
    )
    taken_s = _processor_s() - before
    said = _RATE.search(done.stderr)
    if done.returncode or said is None:
        raise RuntimeError(f"the replay failed:\n{done.stderr[-2000:]}")
    written = decisions.read_bytes().count(b"\n")
    if written != requests:
        raise AssertionError(f"{written} decisions for {requests} requests")
    return int(said[1].replace(",", "")) / 1000, requests / taken_s / 1000


def _processor_s() -> float:
    """Return the processor time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
