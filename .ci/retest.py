"""The tests of the gate: `make test`, and once more, alone, each test that failed.

A test that passes then is unsteady: the gate goes on, and the test is named at the end and in
`build/flakes.txt`, to be ended the same day. A test that fails twice fails the gate, and so do many at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).absolute().parents[1]
FAILED = Path(".pytest_cache", "v", "cache", "lastfailed")
FLAKES = Path("build", "flakes.txt")
MOST = 20
"""So many failures are no chance."""


def fails(test: str, root: Path) -> bool:
    """Return whether a test fails when it is run by itself."""
    alone = ["-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    return subprocess.run([sys.executable, *alone, test], cwd=root).returncode != 0


def retest(failed: list[str], root: Path) -> int:
    """Run failed tests again, each alone; return the gate's code."""
    if len(failed) > MOST:
        print(f"\n{len(failed)} tests failed")
        return 1
    print(f"\n{len(failed)} failed, and are run again, each alone:", *failed, sep="\n  ", flush=True)
    if broken := [test for test in failed if fails(test, root)]:
        print("\nfailed twice:", *broken, sep="\n  ")
        return 1
    (root / FLAKES).write_text("".join(f"{test}\n" for test in failed))
    print(f"\nunsteady, as they passed alone ({FLAKES}):", *failed, sep="\n  ")
    return 0


def main(root: Path = ROOT) -> int:
    """Run all tests; return 0 if each passed, or passed alone."""
    (root / FAILED).unlink(missing_ok=True)
    (root / FLAKES).parent.mkdir(exist_ok=True)
    (root / FLAKES).write_text("")
    code = subprocess.run(["make", "test"], cwd=root).returncode
    if code == 0 or not (root / FAILED).exists():
        return code
    return retest(sorted(json.loads((root / FAILED).read_text())), root)


if __name__ == "__main__":
    sys.exit(main())
