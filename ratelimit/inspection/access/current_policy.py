"""The policy that workers of this host decide by, whatever state its file is in."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.errors import PolicyError
from ratelimit.inspection.formatting import count, instant
from ratelimit.policy import Policy, Problem
from ratelimit.runtime.last_policy import LastPolicy, has_workers, last_in_force


def policy_in_force(path: str) -> tuple[Policy, str]:
    """Return the policy in force, and a sentence about what is wrong with its file; empty if nothing is.

    Of a broken or deleted file it is the policy that workers last put in force: those that run go on by it.

    Raises:
        PolicyError: the file has errors, and no worker of this user put any policy in force here.
    """
    try:
        return Policy.load(path), ""
    except PolicyError as error:
        last = last_in_force(path)
        if last is None:
            raise
        return last.policy, f"{path} has {tallied(error.problems)}; {last_words(last)}"


def last_words(last: LastPolicy) -> str:
    """Return what became of the policy that was in force before its file broke: whether workers go by it."""
    since = instant(round(last.since_s * 1e9))
    if has_workers(last.policy):
        return (
            f"this goes by the policy in force since {since} UTC, as workers of this host do. "
            "A worker that starts now does so only while another one runs"
        )
    return (
        f"this goes by the policy of {since} UTC, which workers had last. No worker of this user runs now, "
        "and none can start until the file is mended"
    )


def tallied(problems: Sequence[Problem]) -> str:
    """Return "2 errors, 1 warning"."""
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    parts = [count(number, noun) for number, noun in ((errors, "error"), (warnings, "warning")) if number]
    return ", ".join(parts) or "no problems"
