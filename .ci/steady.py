"""Look for tests that depend on chance: run all of them again and again, each time in another random order.

    python .ci/steady.py                                20 runs, each second one beside four that compute
    python .ci/steady.py --runs 4 -- tests/redis -n 2   so many runs, with these words for pytest

A table at the end names what failed, in which run. `build/steady/RUN.log` has what pytest printed.
`--randomly-seed=SEED` repeats the order within each file. Which files came before it in one process depends
on the machine: `build/steady/RUN-FAILURE.txt` lists all that the process had run up to the test that failed,
and `python -m pytest -p no:randomly @build/steady/RUN-FAILURE.txt` repeats it. The exit code is 1 if a test
failed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

ROOT = Path(__file__).absolute().parents[1]
LOGS = Path("build", "steady")
BURNERS = 4
# Ends with what started it, however that ended: the pipe is at its end then.
BURN = """\
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
while True:
    pass
"""
# What a worker says of a test. Without workers the order is that of the log, and is not listed.
RAN = re.compile(r"^\[(gw\d+)\] \[ *\d+%\] ([A-Z]+) (.+?)\s*$")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - .*)?$")
PASSED = re.compile(r"\b(\d+) passed")


@dataclass
class Run:
    """One run of the tests, a row of the table.

    Attributes:
        failed: the tests that failed, each with what its process had run before and itself.
    """

    number: int
    seed: int
    is_burned: bool
    took_s: float = 0.0
    code: int = 0
    passed: int = 0
    failed: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_steady(self) -> bool:
        """Whether every test passed."""
        return self.code == 0 and not self.failed

    def read(self, said: str) -> None:
        """Take from what pytest printed what became of the tests."""
        ran: dict[str, list[str]] = {}
        for line in said.splitlines():
            if found := RAN.match(line):
                worker, outcome, test = found.groups()
                before = ran.setdefault(worker, [])
                before.append(test)
                if outcome in ("FAILED", "ERROR"):
                    self.failed[test] = list(before)
            if found := FAILED.match(
                line
            ):  # of the summary: a process that died ran the test and told nothing
                self.failed.setdefault(found[1], [found[1]])
            if found := PASSED.search(line):
                self.passed = int(found[1])


@contextmanager
def burning(count: int) -> Iterator[None]:
    """Let so many processes compute while the block runs."""
    burners = [subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.communicate()


def play(run: Run, words: list[str], root: Path) -> None:
    """Run the tests once, and keep what was printed."""
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", f"--randomly-seed={run.seed}"]
    log = root / LOGS / f"{run.number}.log"
    begun = time.monotonic()
    with burning(BURNERS if run.is_burned else 0), log.open("w") as into:
        done = subprocess.run([*command, *words], cwd=root, stdout=into, stderr=subprocess.STDOUT)
    run.took_s, run.code = time.monotonic() - begun, done.returncode
    run.read(log.read_text(errors="replace"))
    for place, before in enumerate(run.failed.values(), 1):
        (root / LOGS / f"{run.number}-{place}.txt").write_text("".join(f"{test}\n" for test in before))


def table(runs: list[Run]) -> str:
    """Return a row for each run, and below it the names of what failed."""
    rows = [f"{'run':>3} {'seed':>10} {'burned':6} {'seconds':>7} {'passed':>6}  failed"]
    for run in runs:
        what = "\n".join(run.failed) or ("" if run.is_steady else f"exit code {run.code}")
        burned = "yes" if run.is_burned else "no"
        row = f"{run.number:3} {run.seed:10} {burned:6} {run.took_s:7.0f} {run.passed:6}  "
        rows.append((row + what.replace("\n", "\n" + " " * len(row))).rstrip())
    return "\n".join(rows)


def main(given: list[str], root: Path = ROOT) -> int:
    """Run the tests so many times; return 0 if none failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("words", nargs="*", help="what else pytest is told, after --")
    options = parser.parse_args(given)
    (root / LOGS).mkdir(parents=True, exist_ok=True)
    for old in (root / LOGS).iterdir():
        old.unlink()
    runs: list[Run] = []
    for number in range(1, options.runs + 1):
        run = Run(number, SystemRandom().getrandbits(32), is_burned=number % 2 == 0)
        play(run, options.words, root)
        runs.append(run)
        print(table([run]) if number == 1 else table([run]).partition("\n")[2], flush=True)
    print(f"\n{table(runs)}")
    return 0 if all(run.is_steady for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
