"""A trial of an installed wheel: three processes share one budget. `python .ci/smoke.py`, from any folder."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

POLICY = """\
version = 1
[identities]
user = { from = "header:x-user" }
[[limit]]
name = "two"
per = "user"
rate = "2/hour"
"""
DECIDE = """\
import ratelimit
assert "site-packages" in ratelimit.__file__, ratelimit.__file__
limiter = ratelimit.Limiter("policy.toml")
print(sum(limiter.decide(identities={"user": "ann"}).allowed for _ in range(2)))
"""


def main() -> int:
    """Return 0 if the first process is allowed both requests, and the others none."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "policy.toml").write_text(POLICY, "utf-8")
        command = [sys.executable, "-c", DECIDE]
        allowed = [
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
            for _ in range(3)
        ]
    print(f"allowed in three processes: {', '.join(allowed)}")
    return allowed != ["2", "0", "0"]


if __name__ == "__main__":
    sys.exit(main())
