"""`ratelimit import`: the command."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ratelimit.cli.failure import INPUT, USAGE, Failure
from ratelimit.cli.importing.draft import PolicyDraft
from ratelimit.cli.importing.envoy import read_envoy
from ratelimit.cli.importing.slowapi import read_slowapi
from ratelimit.cli.loading import show_problems
from ratelimit.cli.terminal import Text, err, note, print_json, say
from ratelimit.environment.extras import how_to_install
from ratelimit.errors import PolicyError
from ratelimit.inspection import words
from ratelimit.policy import Policy

_LARGEST_BYTES = 4 << 20
_YAML = (".yaml", ".yml")


@click.command("import", short_help="A policy from Envoy's descriptors or slowapi's decorators.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--from",
    "origins",
    multiple=True,
    metavar="KEY=SOURCE",
    help="Where a descriptor's key comes from: user_id=header:x-user-id. For Envoy.",
)
@click.option("--json", "as_json", is_flag=True, help="The policy, and what is not in it, as JSON.")
def import_command(files: tuple[str, ...], origins: tuple[str, ...], as_json: bool) -> None:
    """Write a policy from the configuration of another limiter.

    FILE is the YAML of Envoy's rate-limit service, or the Python files of an application
    with slowapi, which are parsed and never run. The policy goes to standard output; what
    could not be carried over, or has to be looked at, to standard error, with its line.

    \b
    Examples:
      ratelimit import ratelimit.yaml > policy.toml
      ratelimit import ratelimit.yaml --from user_id=header:x-user-id
      ratelimit import app/*.py > policy.toml

    Exit code 0 also where something could not be carried over.
    """
    draft = PolicyDraft()
    sources = dict(_origin(text) for text in origins)
    texts = [(file, _text(file)) for file in files]
    kinds = {Path(file).suffix in _YAML for file in files}
    if len(kinds) > 1:
        raise Failure("Envoy's YAML and Python files are imported each by themselves", USAGE)
    try:
        if kinds == {True}:
            _need_yaml()
            for file, text in texts:
                read_envoy(file, text, draft, sources)
        else:
            read_slowapi(texts, draft)
    except (ValueError, RecursionError) as error:
        raise Failure(f"{', '.join(files)}: {error}", INPUT) from error
    policy = draft.text(
        [f"Imported by `ratelimit import` from {', '.join(Text(file).plain for file in files)}."]
    )
    try:
        loaded = Policy.from_toml(policy, "the imported policy")
    except PolicyError as error:
        show_problems(error.problems)
        raise Failure("together the limits are no policy", INPUT) from error
    draft.notes.sort(key=lambda each: (each.place.file, each.place.line))
    if as_json:
        print_json(
            {
                "policy": policy,
                "limits": len(draft.limits),
                "notes": [
                    {
                        "file": each.place.file,
                        "line": each.place.line,
                        "message": each.message,
                        "lost": each.is_lost,
                    }
                    for each in draft.notes
                ],
            }
        )
        return
    sys.stdout.write(policy)
    sys.stdout.flush()
    _say(draft, loaded)


def _say(draft: PolicyDraft, loaded: Policy) -> None:
    console = err()
    for each in draft.notes:
        text = Text(f"{each.place}: ", "bold")
        text.append(
            "not carried over: " if each.is_lost else "look at it: ", "bold red" if each.is_lost else "yellow"
        )
        say(console, text.append(each.message))
    show_problems(loaded.warnings)
    lost = sum(each.is_lost for each in draft.notes)
    note(f"{words.count(len(draft.limits), 'limit')} written, {words.count(lost, 'thing')} not carried over")


def _origin(text: str) -> tuple[str, str]:
    key, equals, source = text.partition("=")
    if not equals or not key or (":" not in source and source != "client"):
        raise Failure(f"--from {text}: write KEY=header:NAME, or another source of a policy", USAGE)
    return key, source


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


def _need_yaml() -> None:
    try:
        import yaml  # noqa: F401  # only where it is asked for: an extra
    except ImportError as error:
        raise Failure("reading YAML needs another package", INPUT, hint=how_to_install("pyyaml")) from error
