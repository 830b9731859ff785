"""The installer of this folder, with progress: `python .ci/install.py '.[demo]'`.

pip is silent while it builds. What it is at is seen from outside: translated files appear in `build/cython`,
and `setup.py` writes a line for each compiled module (`KINLIMIT_PROGRESS`). A terminal has one line that
changes; anything else gets a line for each step.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).absolute().parents[1]
STEPS = (
    "fetching the tools",
    "translating the core",
    "fetching packages",
    "compiling the core",
    "installing",
)
EVERY_S = 0.5


def count(root: Path, progress: Path, since: float) -> tuple[int, int, int]:
    """Return how many modules there are, are translated and are compiled since a time."""
    modules = [path.relative_to(root) for path in (root / "ext" / "ratelimit").rglob("*.pyx")]
    translated = 0
    for module in modules:
        with suppress(FileNotFoundError):
            translated += (root / "build" / "cython" / module.with_suffix(".c")).stat().st_mtime >= since
    with suppress(FileNotFoundError):
        return len(modules), translated, len(progress.read_text().splitlines())
    return len(modules), translated, 0


def step_of(modules: int, translated: int, compiled: int) -> tuple[str, str]:
    """Return the step that is under way, and how far it is."""
    if compiled:
        return (STEPS[4], "") if compiled >= modules else (STEPS[3], f"{compiled} of {modules} modules")
    if translated:
        return (STEPS[2], "") if translated >= modules else (STEPS[1], f"{translated} of {modules} modules")
    return STEPS[0], ""


def lines(is_terminal: bool) -> Iterator[None]:
    """Print what is sent, `(step, how far, seconds)`: in place at a terminal, else once a step."""
    told = None
    while True:
        step, far, seconds = yield  # type: ignore[misc]
        if is_terminal:
            print(f"\r  {step:22}{far:22}{seconds:4.0f} s", end="", flush=True)
        elif step != told:
            print(f"  {step} ({seconds:.0f} s)", flush=True)
        told = step


def main(what: str) -> int:
    """Install it; return pip's code."""
    begin, now = time.time(), time.monotonic
    started = now()
    show = lines(sys.stdout.isatty())
    next(show)
    with tempfile.TemporaryDirectory(prefix="kinlimit-install-") as folder:
        progress, said = Path(folder) / "progress", Path(folder) / "said"
        # setuptools warns at length that a folder here is called like the package: it is the one meant.
        environment = os.environ | {"PYTHONWARNINGS": "ignore", "KINLIMIT_PROGRESS": str(progress)}
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--editable"]
        with said.open("wb") as output:
            child = subprocess.Popen(
                [*pip, what], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                while child.poll() is None:
                    show.send((*step_of(*count(ROOT, progress, begin)), now() - started))  # type: ignore[arg-type]
                    with suppress(subprocess.TimeoutExpired):
                        child.wait(EVERY_S)
            except KeyboardInterrupt:
                child.wait()
                print()
                return 130
        if sys.stdout.isatty():
            print("\r\033[K", end="")
        if child.returncode:
            print(said.read_text("utf-8", "replace"), file=sys.stderr)
        else:
            print(f"  installed in {now() - started:.0f} s", flush=True)
    return child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
