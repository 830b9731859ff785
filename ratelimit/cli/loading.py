"""Getting the policy a command needs, or saying all that is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.cli.failure import POLICY, Failure
from ratelimit.cli.terminal import Text, err, say
from ratelimit.errors import PolicyError
from ratelimit.inspection.words import count
from ratelimit.policy import Policy, Problem


def load(path: str, *, show_warnings: bool = True) -> Policy:
    """Return the policy in a file; its warnings are shown.

    Raises:
        Failure: it has errors, which have been shown.
    """
    try:
        policy = Policy.load(path)
    except PolicyError as error:
        show_problems(error.problems)
        raise Failure(f"{path}: {tallied(error.problems)}", POLICY) from error
    if show_warnings:
        show_problems(policy.warnings)
    return policy


def show_problems(problems: Sequence[Problem]) -> None:
    """Write problems to standard error, each with its place, code and next step."""
    console = err()
    for problem in problems:
        style = "bold red" if problem.severity == "error" else "yellow"
        place = problem.file if problem.line is None else f"{problem.file}:{problem.line}"
        text = Text(f"{place}: ", "bold")
        text.append(problem.severity, style)
        text.append(": ")
        if problem.key:
            text.append(f"{problem.key}: ", "cyan")
        text.append(f"{problem.message} ")
        text.append(f"[{problem.code}]", "dim")
        say(console, text)
        if problem.hint:
            say(console, Text(f"    {problem.hint}", "dim"))


def tallied(problems: Sequence[Problem]) -> str:
    """Return "2 errors, 1 warning"."""
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    parts = [count(number, noun) for number, noun in ((errors, "error"), (warnings, "warning")) if number]
    return ", ".join(parts) or "no problems"
