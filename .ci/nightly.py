"""The nightly run: what takes minutes, in two lanes, and a table of it at the end.

    python .ci/nightly.py               all steps
    python .ci/nightly.py kills streams some of them

One lane computes and the other mostly waits, so that two cores are busy. Each step prints to
`build/nightly/STEP.log`. A step that fails or exceeds its time does not keep the others from running.
The exit code is 1 if a step failed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).absolute().parents[1]
LOGS = ROOT / "build" / "nightly"
MINUTE = 60


@dataclass(frozen=True)
class Step:
    """One command of the nightly run.

    Attributes:
        name: what it is called on the command line and in the table.
        what: its row of the table.
        command: the words to run, from the project's folder.
        most_s: the seconds after which it is ended, and counts as failed.
    """

    name: str
    what: str
    command: tuple[str, ...]
    most_s: float = 30 * MINUTE


def make(name: str, what: str, *more: str, minutes: float = 30) -> Step:
    """Return the step that is a target of the Makefile, by the same name."""
    return Step(name, what, ("make", name, *more), minutes * MINUTE)


COMPUTING = (
    Step(
        "marked",
        "tests marked nightly: sizes, months, families of actors, engines",
        (sys.executable, "-m", "pytest", "-q", "-m", "nightly"),
        30 * MINUTE,
    ),
    make("kill", "10,000 kills, 18,000 damages to memory in use"),
    make("sanitize", "the core under address and undefined-behaviour sanitizers"),
    make("faults", "policies, command lines and replies made up by the ten thousand", "FAULTS=10000"),
    make("spellings", "spellings of callers, each kind to each framework", "SPELLINGS=10000"),
    make("routes", "bent request targets to every framework's router", "TARGETS=2000"),
    make("meters", "random policies metered by the middleware and in plain Python", "METERS=2000"),
    make("streams", "a million streams that end in every way"),
    make("mutants", "a sample of mutants of each room", "SAMPLE=2", "SLOW=0"),
    make("dist", "a wheel for each supported Python, used in a clean environment"),
)
WAITING = (
    make("nights", "six kinds of outage on two hosts, ten minutes each", minutes=75),
    make("gateway", "the gateway and an adaptive limit before a real engine"),
)


@dataclass(frozen=True)
class Ended:
    """How a step ended."""

    step: Step
    seconds: float
    code: int | None
    tells: str

    @property
    def row(self) -> str:
        verdict = "passed" if self.code == 0 else "late" if self.code is None else "FAILED"
        told = self.tells or self.step.what
        return f"{self.step.name:10} {verdict:7} {self.seconds / MINUTE:6.1f} min  {told}"


def run(step: Step) -> Ended:
    """Run a step to its end, or end it with all that it started."""
    log = LOGS / f"{step.name}.log"
    begin = time.monotonic()
    with log.open("wb") as output:
        child = subprocess.Popen(
            step.command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | None = child.wait(step.most_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    counts = re.findall(r"\d+ (?:passed|failed|error)\b[^\n]*", log.read_text("utf-8", "replace"))
    ended = Ended(step, time.monotonic() - begin, code, f"{step.what}: {'; '.join(counts)}" if counts else "")
    print(ended.row, flush=True)
    return ended


def lane(steps: Sequence[Step]) -> list[Ended]:
    """Run steps one after another."""
    return [run(step) for step in steps]


def main(names: Sequence[str]) -> int:
    """Run the steps of these names, or all; return 1 if one failed."""
    known = {step.name for step in (*COMPUTING, *WAITING)}
    if unknown := set(names) - known:
        sys.exit(f"no step is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    LOGS.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    lanes = [[step for step in each if not names or step.name in names] for each in (COMPUTING, WAITING)]
    with ThreadPoolExecutor(len(lanes)) as pool:
        ended = [one for found in pool.map(lane, lanes) for one in found]
    failed = [one for one in ended if one.code != 0]
    print("", f"{'step':30}  what", *(one.row for one in ended), sep="\n")
    minutes = (time.monotonic() - begin) / MINUTE
    print(f"\n{len(ended) - len(failed)} passed, {len(failed)} failed, {minutes:.0f} min")
    if failed:
        print("what they printed: " + ", ".join(f"build/nightly/{one.step.name}.log" for one in failed))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
