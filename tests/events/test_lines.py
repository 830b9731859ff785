"""Lines of the limiter where an application has configured no logging, and where it has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

APPLICATION = """\
import logging, sys
from pathlib import Path
from ratelimit import Limiter
from ratelimit.worker.diagnostics import start_logging
if len(sys.argv) > 2:
    logging.basicConfig(format="own %(message)s", level=logging.INFO)
policy = Path(sys.argv[1])
policy.write_text('''version = 1
[[limit]]
name = "a"
per = "ip"
rate = "5/hour"
[store]
memory = "private"
''')
limiter = Limiter(policy)
start_logging(limiter)
policy.write_text(policy.read_text().replace("5/hour", "6/hour"))
limiter.reload()
policy.write_text(policy.read_text().replace("6/hour", "often"))
limiter.reload()
"""


def lines(tmp_path: Path, *more: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", APPLICATION, tmp_path / "policy.toml", *more],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stderr.splitlines()


def test_without_any_logging_lines_have_time_and_level(tmp_path: Path) -> None:
    reloaded, rejected, *_ = lines(tmp_path)
    assert re.match(r"\d{4}-\d\d-\d\d [\d:,]+ INFO ratelimit: the policy was reloaded", reloaded)
    assert re.match(r"\d{4}-\d\d-\d\d [\d:,]+ ERROR ratelimit: the policy file was not put", rejected)


def test_an_applications_own_logging_is_left_alone(tmp_path: Path) -> None:
    reloaded, rejected, *_ = lines(tmp_path, "own")
    assert reloaded == "own the policy was reloaded"
    assert rejected.startswith("own the policy file was not put in force")
