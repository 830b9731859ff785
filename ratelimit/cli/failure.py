"""How a command fails: a sentence, a next step, an exit code.

0   it is as it should be
1   the policy has errors (check, and every command that needs a policy); a check failed (doctor);
    the demo's verdict is bad
2   the command was called wrongly
3   a trace or a request cannot be read
4   the deployment cannot be reached, or its memory is not ours
130 interrupted
"""

from __future__ import annotations

from typing import IO, Any

import click
from rich.text import Text

from ratelimit.cli.terminal import err, say

POLICY, USAGE, INPUT, DEPLOYMENT, INTERRUPTED = 1, 2, 3, 4, 130


class Failure(click.ClickException):
    """Ends a command. `message` says what is wrong and where; `hint` what to do."""

    def __init__(self, message: str, exit_code: int, *, hint: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it on the class and reads it here
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to standard error."""
        console = err()
        say(console, Text("error: ", "bold red") + Text(self.message, "not bold default"), indent=2)
        if self.hint:
            say(console, Text(f"  {self.hint}", "dim"), indent=2)
