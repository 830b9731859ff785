"""`ratelimit doctor` called on a policy for a server, and its answer by check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.running import run

POLICY = """\
version = 1
[[limit]]
name = "requests"
per = "ip"
rate = "{rate}"
[hashing]
key = "00112233445566778899aabbccddeeff"
[store]
memory = "{folder}/table"
keys = 64
url = "{url}"
{more}
"""


class Examination:
    """What one call of the command said.

    Attributes:
        checks: of the server, in order.
        code: the exit code.
    """

    def __init__(self, folder: Path, url: str, *more: str, rate: str = "60/minute") -> None:
        path = folder / "policy.toml"
        path.write_text(POLICY.format(url=url, more="\n".join(more), rate=rate, folder=folder), "utf-8")
        result = run("doctor", path, "--json")
        assert result.stdout, result.exception
        told = json.loads(result.stdout)
        self.code = result.exit_code
        self.checks: list[dict[str, Any]] = [each for each in told["checks"] if each["group"] == "server"]
        assert told["good"] == (self.code == 0)

    def __getitem__(self, check: str) -> dict[str, Any]:
        """Return the one finding of a check."""
        (found,) = [each for each in self.checks if each["check"] == check]
        return found

    def statuses(self, status: str) -> set[str]:
        """Return the checks with a status; round trips depend on what else is using the machine."""
        return {
            each["check"]
            for each in self.checks
            if each["status"] == status and each["check"] != "round trip"
        }
