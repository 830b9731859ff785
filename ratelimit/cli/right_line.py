"""The line that was meant by one that a command cannot take: its words in their order, with what is missing.

One way for all commands. It knows the tree of commands, the arguments and options of each, and a policy
file by its name; so it needs no sentence of any command's own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from ratelimit.cli.commands import GROUPS, TOP, places_of
from ratelimit.errors import PolicyError
from ratelimit.policy import Policy
from ratelimit.stores.embedded.folder import is_there

POLICY = "policy.toml"
"""In place of a file that was not named."""
_FILES = ("policy", "target", "old", "new")
"""Arguments that a policy stands for."""
_BY_OPTION = {"journal": "--of", "explain": "-r"}
"""Commands of a policy alone, and the option behind which a further word belongs."""
_TIME = re.compile(r"[0-9]+(\.[0-9]+)?(ms|[smhdw])")
_OF_ONE_CALLER = ("top", "show refused", "show shed", "show actors", "show acts", "check", "doctor")
"""Commands of a policy alone that people give a caller to; `who` takes one."""


def right_line(root: click.Group, words: Sequence[str]) -> str:
    """Return the line that was meant; empty where that is not known, or it is what was written.

    Args:
        root: the command of the whole.
        words: as they were written, behind `ratelimit`.
    """
    context = click.Context(root)
    path, rest = _path(words)
    command: click.Command | None = root
    for name in path:
        command = command.get_command(context, name) if isinstance(command, click.Group) else None
    if isinstance(command, click.Group):
        path, rest, command = _into_group(context, path, rest, command)
    if command is None or isinstance(command, click.Group):
        return ""
    _, written = _options(command, words)
    options, words_left = _options(command, rest)
    path, options, words_left = _elsewhere(path, command, options, words_left)
    if path == ["who"]:
        command = root.get_command(context, "who")
        assert command is not None
    placed = _placed(command, words_left)
    if placed is None:
        return ""
    if [*path, *placed] == written:
        return ""
    return f"ratelimit {' '.join(map(_quoted, [*path, *placed, *options]))}"


def _quoted(word: str) -> str:
    return word if word.isupper() or "…" in word else shlex.quote(word)


def _is_file(word: str) -> bool:
    return is_there(Path(word)) and Path(word).is_file()


def _is_policy(word: str) -> bool:
    return word.endswith(".toml") or word.startswith(("http://", "https://"))


def _path(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names of the command that is meant, wherever they stand, and the other words."""
    rest = list(words)
    for at, word in enumerate(words):
        if word.startswith("-"):
            break
        if word in TOP:
            path = [word]
        elif not at and len(places := places_of(word)) == 1:
            path = places[0].split()
        else:
            continue
        del rest[at]
        if len(path) == 1 and word in GROUPS:
            inner = next((each for each in rest if each in GROUPS[word]), None)
            if inner is not None:
                path.append(inner)
                rest.remove(inner)
        return path, rest
    return [], rest


def _into_group(
    context: click.Context, path: list[str], rest: list[str], group: click.Group
) -> tuple[list[str], list[str], click.Command | None]:
    """Return the command inside a group that is meant: the one that is named, or by what its words are."""
    names = group.list_commands(context)
    inner = next((each for each in rest if each in names), None)
    if inner is not None:
        rest = list(rest)
        rest.remove(inner)
    elif path == ["act", "budget"] and any("=" in word for word in rest):
        inner = "set"
    elif path in (["act", "budget"], ["show"]) and any(not _is_policy(word) for word in rest):
        show = path == ["act", "budget"]
        path = ["show", "budget"] if show else ["who"]
        root = context.command
        assert isinstance(root, click.Group)
        command: click.Command | None = root
        for name in path:
            assert isinstance(command, click.Group)
            command = command.get_command(context, name)
        return path, rest, command
    elif len(names) == 1:
        inner = names[0]
    else:
        return path, rest, None
    return [*path, inner], rest, group.get_command(context, inner)


def _options(command: click.Command, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options among some words with their values, and the other words."""
    takes = {
        name: not option.is_flag
        for option in command.params
        if isinstance(option, click.Option)
        for name in option.opts
    }
    options, others, left = [], [], iter(words)
    for word in left:
        if not word.startswith("-") or word == "-":
            others.append(word)
            continue
        options.append(word)
        if takes.get(word) and (value := next(left, None)) is not None:
            options.append(value)
    return options, others


def _elsewhere(
    path: list[str], command: click.Command, options: list[str], words: list[str]
) -> tuple[list[str], list[str], list[str]]:
    """Return where words belong that the command has no place for: behind an option, or to `who`."""
    arguments = [each for each in command.params if isinstance(each, click.Argument) and each.required]
    name = " ".join(path)
    further = [word for word in words if not _is_policy(word) and not _is_file(word)]
    if len(arguments) != 1 or arguments[0].nargs != 1 or not further:
        return path, options, words
    kept = [word for word in words if word not in further]
    if name in _BY_OPTION:
        for word in further:
            is_time = name == "journal" and _TIME.fullmatch(word) is not None and "--since" not in options
            options = [*options, "--since" if is_time else _BY_OPTION[name], word]
        return path, options, kept
    if name in _OF_ONE_CALLER:
        if name == "show refused" and kept and set(further) <= _limits(kept[0]):
            return path, [*options, "--limit", further[0]], kept
        return ["who"], [each for each in options if each == "--json"], words
    return path, options, words


def _limits(path: str) -> set[str]:
    try:
        return {each.name for each in Policy.load(path).compiled.limits}
    except (PolicyError, OSError):
        return set()


def _placed(command: click.Command, words: Sequence[str]) -> list[str] | None:
    """Return words in the places of a command's arguments; None if it has no place for one."""
    left = list(words)
    found: list[str] = []
    for argument in command.params:
        if not isinstance(argument, click.Argument):
            continue
        if argument.name in _FILES:
            at = next((at for at, word in enumerate(left) if _is_policy(word)), None)
            if at is None:
                at = next((at for at, word in enumerate(left) if _is_file(word)), None)
            found.append(POLICY if at is None else left.pop(at))
        elif argument.name in ("account", "name") and argument.nargs == 1 and left:
            at = next((at for at, word in enumerate(left) if "=" not in word), 0)
            found.append(left.pop(at))
        elif argument.nargs == 1 and left:
            found.append(left.pop(0))
        elif argument.nargs != 1 and left:
            found += left
            left = []
        elif argument.required:
            found.append((argument.metavar or argument.name or "").upper())
    return None if left else found
