"""`ratelimit make policy`: the command."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ratelimit.cli.failure import INPUT, PARTIAL, POLICY, USAGE, Failure
from ratelimit.cli.importing.decorators import read_decorators
from ratelimit.cli.importing.draft import PolicyDraft
from ratelimit.cli.loading import show_problems
from ratelimit.cli.terminal import Text, err, note, print_json, say
from ratelimit.errors import PolicyError
from ratelimit.inspection import formatting
from ratelimit.policy import Policy

_LARGEST_BYTES = 4 << 20
_MOUNT = """\
from ratelimit import RateLimitMiddleware
app.add_middleware(RateLimitMiddleware, policy="policy.toml")"""
_MOUNT_WSGI = """\
from ratelimit.wsgi import RateLimitMiddleware
app.wsgi_app = RateLimitMiddleware(app.wsgi_app, policy="policy.toml")"""
_YAML = (".yaml", ".yml")
"""Endings of files that another command takes as they are."""


@click.command("policy")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option("--partial", is_flag=True, help="Write what can be carried over, though something cannot.")
@click.option("--json", "as_json", is_flag=True, help="The policy, and what is not in it, as JSON.")
def policy_command(files: tuple[str, ...], partial: bool, as_json: bool) -> None:
    """Write a policy from the configuration of another limiter.

    FILE is each Python file of an application with slowapi or Flask-Limiter. They are parsed and
    never run. The policy goes to standard output. Lines that it cannot express exactly go to
    standard error; then no policy is written, unless --partial writes the rest.

    \b
    Examples:
      ratelimit make policy app/*.py > policy.toml
      ratelimit make policy --partial app/*.py > policy.toml

    Exit code 0: the policy decides as its source. 1: it would not, and no policy is written. 5: with
    --partial, it is written, and its first lines list what is missing.
    """
    draft = PolicyDraft()
    _read(files, draft)
    head = [f"Imported by `ratelimit make policy` from {', '.join(Text(file).plain for file in files)}."]
    policy: str | None = draft.text(head)
    try:
        loaded = Policy.from_toml(draft.text(head), "the imported policy")
    except PolicyError as error:
        policy = None
        show_problems(error.problems)
    if not draft.limits or (draft.losses and not partial):
        policy = None
    if as_json:
        _print(draft, policy)
    elif policy is not None:
        sys.stdout.write(policy)
        sys.stdout.flush()
    _say(draft, is_written=policy is not None)
    if policy is None:
        raise Failure(*_refusal(draft))
    show_problems(loaded.warnings)
    note(
        f"{formatting.count(len(draft.limits), 'limit')} written, "
        f"{formatting.count(len(draft.losses), 'thing')} not carried over"
    )
    note("Save the policy, and add to the application in place of its decorators:")
    for line in (_MOUNT_WSGI if draft.is_wsgi else _MOUNT).splitlines():
        note(f"    {line}")
    if draft.losses:
        raise SystemExit(PARTIAL)


def _read(files: tuple[str, ...], draft: PolicyDraft) -> None:
    for file in files:
        if Path(file).suffix in _YAML:
            raise Failure(
                f"{file}: YAML is not imported",
                USAGE,
                hint="The descriptors of Envoy's rate-limit service are served as they are: "
                "ratelimit serve --descriptors FILE --envoy HOST:PORT",
            )
    try:
        read_decorators([(file, _text(file)) for file in files], draft)
    except (ValueError, RecursionError) as error:
        raise Failure(f"{', '.join(files)}: {error}", INPUT) from error


def _refusal(draft: PolicyDraft) -> tuple[str, int]:
    if not draft.limits:
        return "nothing written: not one limit can be carried over", POLICY
    if not draft.losses:
        return "nothing written: together the limits are no policy", POLICY
    lost = formatting.count(len(draft.losses), "thing")
    return f"nothing written: {lost} cannot be carried over; --partial writes the rest", POLICY


def _print(draft: PolicyDraft, policy: str | None) -> None:
    print_json(
        {
            "policy": policy,
            "limits": 0 if policy is None else len(draft.limits),
            "losses": [
                {
                    "file": each.place.file,
                    "line": each.place.line,
                    "text": each.text,
                    "why": each.why,
                    "instead": each.instead,
                }
                for each in draft.losses
            ],
            "remarks": draft.remarks,
        }
    )


def _say(draft: PolicyDraft, *, is_written: bool) -> None:
    console = err()
    for each in draft.losses:
        text = Text(f"{each.place}: ", "bold")
        text.append("not carried over: ", "bold red")
        say(console, text.append(f"{each.text}: {each.why}"))
        if each.instead:
            say(console, Text(f"    {each.instead}", "dim"))
    for remark in draft.remarks if is_written else ():
        say(console, Text("for all of it: ", "yellow").append(remark))


def _text(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise Failure(f"{file}: {getattr(error, 'strerror', None) or error}", INPUT) from error
    if len(content) > _LARGEST_BYTES:
        raise Failure(f"{file}: larger than 4 MiB", INPUT)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Failure(f"{file}: not UTF-8", INPUT) from error
