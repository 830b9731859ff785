"""The policy that a command needs, or all that is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.cli.failure import POLICY, Failure
from ratelimit.cli.terminal import Text, err, say, warn
from ratelimit.errors import PolicyError
from ratelimit.inspection.access.current_policy import policy_in_force, tallied
from ratelimit.inspection.hosts.policies import different_on_server
from ratelimit.policy import Policy, Problem
from ratelimit.runtime.last_policy import load_or_last
from ratelimit.runtime.limits_in_code import kept


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


def load_to_start(path: str) -> Policy:
    """Return the policy that a service starts by: a file's, or what other workers of this host go by.

    Raises:
        Failure: the file has errors, which have been shown, and there is no such worker.
    """
    try:
        return load_or_last(path, {})[0]
    except PolicyError as error:
        show_problems(error.problems)
        raise Failure(f"{path}: {tallied(error.problems)}", POLICY) from error


def load_in_force(path: str) -> tuple[Policy, str]:
    """Return the policy that workers on this host decide by, and what is wrong with its file, if anything is.

    Of a broken or deleted file it is what they last put in force: with the night's broken edit they go on so.

    Raises:
        Failure: the file has errors, which have been shown, and no worker of this user put any in force here.
    """
    try:
        return policy_in_force(path)
    except PolicyError:
        return load(path), ""  # which shows what is wrong


def load_to_act(path: str) -> Policy:
    """Return what `load_in_force` does; what is wrong with the file is said on standard error."""
    policy, trouble = load_in_force(path)
    if trouble:
        warn(trouble)
        say(err(), Text(f"  `ratelimit check {path}` shows what is wrong.", "dim"), indent=2)
    return policy


def load_whole(path: str) -> Policy:
    """Return what `load_to_act` does, with the limits in the application's code as far as this host knows."""
    policy = load_to_act(path)
    if policy.path is None or not kept(policy.path):
        return policy
    # Imported here: few policies have limits in code, and what asks for these is not loaded for others.
    from ratelimit.integrations.asked_limits import with_limits_in_code

    return with_limits_in_code(policy)


def load_to_show(path: str) -> Policy:
    """Return what `load_to_act` does; that hosts go by different policies is said on standard error."""
    policy = load_to_act(path)
    if said := different_on_server(policy):
        warn(said)
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
