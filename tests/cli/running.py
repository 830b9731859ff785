"""The command line called in-process, its two streams apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from ratelimit.cli.commands import GROUPS
from ratelimit.cli.main import main

POLICY = """\
version = 1

[identities]
account = { from = "header:x-api-key" }
client  = { from = ["header:x-ja4", "header:user-agent"], missing = "skip" }

[[limit]]
name = "requests"
match = "POST /v1/*"
per = "account"
rate = "60/minute"
burst = 3

[[limit]]
name = "address"
per = "ip"
rate = "100/hour"

[[limit]]
name = "output tokens"
match = "POST /v1/*"
per = "account"
unit = "output_tokens"
rate = "1000/hour"

[[limit]]
name = "per client"
per = "client"
rate = "5/minute"
mode = "shadow"
"""

NOW_S = 1_700_000_000


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    """Run `ratelimit` with these arguments."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


def in_group(command: str) -> tuple[str, ...]:
    """Return the words of a command that stands in one group, or at the top."""
    return next(((group, command) for group, entries in GROUPS.items() if command in entries), (command,))


def write_policy(folder: Path, text: str = POLICY) -> Path:
    path = folder / "policy.toml"
    path.write_text(text, "utf-8")
    return path


def write_trace(folder: Path, lines: Iterable[Mapping[str, Any] | str]) -> Path:
    path = folder / "trace.ndjson"
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return path


def post(at_s: float, account: str = "alice", **members: Any) -> dict[str, Any]:
    """Return one trace line."""
    line = {
        "time": NOW_S + at_s,
        "method": "POST",
        "path": "/v1/chat",
        "ip": "203.0.113.9",
        "account": account,
    }
    return {**line, **members}
