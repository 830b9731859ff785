"""Instructions of a decision.

Times differ from machine to machine and from minute to minute; instructions do not.
`benchmarks.counted` runs under valgrind's callgrind, which writes down what was executed
between two marks; the loop's own instructions are taken off. CPython's share of a
call is in there: the first line says how much that is at least.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import counted
from benchmarks.report import Answer, number
from benchmarks.settings import Settings

NAME = "instructions"
MARK = "getpgid"
"""A function of libc that nothing else calls, and Python calls without ado."""


def answer(settings: Settings) -> Answer:
    """Count instructions."""
    found = Answer(NAME, "How many instructions does a decision take, whatever the machine is doing?")
    if shutil.which("valgrind") is None:
        found.notes.append("not counted: `valgrind` is not installed")
        return found
    _run(settings.scratch)
    found.columns = ("what", "instructions")
    totals = {
        name: total_of(settings.scratch, 2 * at + 2) / count
        for at, (name, count) in enumerate(counted.COUNTS.items())
    }
    loop = totals.pop(counted.LOOP)
    found.measured = [
        (name, number(total - loop if name in counted.DECISIONS else total)) for name, total in totals.items()
    ]
    found.notes.append(f"the loop around each decision, {number(loop)} instructions, is taken off")
    bare = totals["request, bare route"]
    for name in counted.REQUESTS:
        if totals[name] != bare:
            found.notes.append(f"{name}: {number(totals[name] - bare)} more than the bare route")
    return found


def _run(scratch: Path) -> None:
    command = [
        "valgrind",
        "--tool=callgrind",
        f"--dump-before={MARK}",
        f"--callgrind-out-file={scratch / 'callgrind'}",
    ]
    command += [sys.executable, "-m", "benchmarks.counted"]
    # A fixed seed for Python's own hashes: dictionaries then collide alike in every run.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"valgrind failed:\n{done.stderr[-2000:]}")


def total_of(scratch: Path, part: int) -> int:
    """Return the instructions in one dump; each even one ends a loop that began at the mark before."""
    said = (scratch / f"callgrind.{part}").read_text()
    found = re.search(r"^(?:summary|totals): (\d+)", said, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"valgrind's dump {part} has no total")
    return int(found[1])
