"""Failures of a command: a sentence, a next step, an exit code.

0   it is as it should be
1   the policy has errors (check, and every command that needs a policy); a check failed (doctor);
    the demo's verdict is bad; a source cannot be carried over (import)
2   the command was called wrongly
3   a trace or a request cannot be read; an act names an unknown or ambiguous caller, or changes nothing
4   the deployment cannot be reached, or its memory is not ours; it is away, or a host of it is not heard,
    and what is shown of all hosts is without that
5   a policy was imported, and lacks something of its source (import --partial)
70  a fault of this program
130 interrupted
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import IO, Any

import click

from ratelimit.errors import PolicyError, RateLimitError, UsageError, unforeseen
from ratelimit.inspection.failure import Cause, InspectionFailure

POLICY, USAGE, INPUT, DEPLOYMENT, FAULT, INTERRUPTED = 1, 2, 3, 4, 70, 130

_CODES: dict[Cause, int] = {"call": USAGE, "input": INPUT, "deployment": DEPLOYMENT}


class Failure(click.ClickException):
    """Ends a command. `message` says what is wrong and where; `hint` what to do."""

    def __init__(self, message: str, exit_code: int, *, hint: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it on the class and reads it here
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to standard error."""
        # Imported here, as below: without a failure, and without a result, nothing is shown by it.
        from ratelimit.cli.terminal import Text, err, say

        console = err()
        say(console, Text("error: ", "bold red") + Text(self.message, "not bold default"), indent=2)
        if self.hint:
            say(console, Text(f"  {self.hint}", "dim"), indent=2)


def failure_of(raised: Exception) -> Failure:
    """Return how a command fails by an exception that none of its parts foresaw."""
    if isinstance(raised, InspectionFailure):
        return Failure(str(raised), _CODES[raised.cause], hint=raised.hint)
    if isinstance(raised, RateLimitError):
        code = USAGE if isinstance(raised, UsageError) else DEPLOYMENT
        return Failure(f"{raised} [{raised.code}]", POLICY if isinstance(raised, PolicyError) else code)
    if isinstance(raised, OSError):
        place = f"{raised.filename}: " if raised.filename else ""
        return Failure(f"{place}{raised.strerror or raised}", INPUT)
    hint = "This is a fault of ratelimit itself: report it, with what you called it with."
    return Failure(unforeseen(raised), FAULT, hint=hint)


def fail_if_unheard(hosts: Sequence[str]) -> None:
    """End a command that looks at all hosts, if some of them were not heard.

    Args:
        hosts: these, as people read them; without those that ended or are taken for gone.
    """
    if hosts:
        raise Failure(f"no answer from {'; '.join(hosts)}", DEPLOYMENT)


def show(error: click.ClickException) -> None:
    """Write how a command fails, or was called wrongly, to standard error."""
    if isinstance(error, Failure):
        error.show()
        return
    from ratelimit.cli.terminal import Text, err, say

    # What click says repeats arguments as they were given: it goes the way of all other text.
    said = StringIO()
    error.show(said)
    for line in said.getvalue().splitlines():
        say(err(), Text(line))
