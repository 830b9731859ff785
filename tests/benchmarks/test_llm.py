"""The burst on the example, small: budgets hold, errors are readable, and `explain` says why."""

from __future__ import annotations

import re
import subprocess
import sys


def test_bursts_hold_the_budget_of_the_example() -> None:
    command = [sys.executable, "-m", "benchmarks.llm", "--requests", "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    shares = dict(re.findall(r"^(\w+): .*, ([\d.]+) of the budget", done.stdout, re.MULTILINE))
    assert list(shares) == ["first", "declared", "undeclared", "anthropic"]
    assert all(0.9 <= float(share) <= 1.1 for share in shares.values()), done.stdout
    assert done.stdout.count("  0 errors unreadable") == 4
    assert "explain: output tokens" in done.stdout
    for waits, refused in re.findall(r"(\d+) of (\d+) refusals", done.stdout):
        assert waits == refused != "0"
