"""Signs that this process belongs to a server, and is one of several workers."""

from __future__ import annotations

import ast
import multiprocessing
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

_SERVERS = frozenset(
    {"uvicorn", "gunicorn", "hypercorn", "granian", "daphne", "fastapi", "waitress", "waitress-serve"}
)
_MOST_BYTES = 1 << 16
"""Of a settings file of gunicorn's."""


def is_server() -> bool:
    """Return whether this process was started as a server, or by one as its worker, that starts applications.

    Workers have the command line of their server. A program that runs a server of its own does not count,
    nor does a server that is told to ask for no lifespan.
    """
    command = Path(sys.argv[0]) if sys.argv else Path()
    name = command.parent.name if command.name == "__main__.py" else command.name
    given = sys.argv[1:]
    return name in _SERVERS and "asginl" not in given and _value_of("lifespan", "", given) != "off"


def several_workers() -> bool:
    """Return whether this process looks like one of several workers.

    Workers of uvicorn, hypercorn and granian are children of a `multiprocessing` parent. Other servers say
    how many they start in WEB_CONCURRENCY. Workers of gunicorn have its command line, and its settings file
    is where that says, or `gunicorn.conf.py`.
    """
    if multiprocessing.parent_process() is not None:
        return True
    said = os.environ.get("WEB_CONCURRENCY", "")
    if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/"):
        given = shlex.split(os.environ.get("GUNICORN_CMD_ARGS", "")), sys.argv[1:]
        file = "gunicorn.conf.py"
        for arguments in given:
            file = _value_of("config", "c", arguments) or file
        said = _workers_in(file.removeprefix("file:")) or said
        for arguments in given:
            said = _value_of("workers", "w", arguments) or said
    return said.isdecimal() and int(said) > 1


def _value_of(name: str, short: str, arguments: Sequence[str]) -> str:
    """Return what a command line of gunicorn gives an option; empty where it gives it none."""
    found = ""
    for at, argument in enumerate(arguments):
        if argument in {f"-{short}", f"--{name}"}:
            found = "".join(arguments[at + 1 : at + 2])
        elif argument.startswith(f"--{name}="):
            found = argument.removeprefix(f"--{name}=")
        elif argument.startswith(f"-{short}") and not argument.startswith("--"):
            found = argument.removeprefix(f"-{short}")
    return found


def _workers_in(file: str) -> str:
    """Return how many workers a settings file asks for; empty where it does not say, or is none.

    It is read and not run. What is computed, as from the number of processors, counts as several.
    """
    try:
        with Path(file).open("rb") as opened:
            tree = ast.parse(opened.read(_MOST_BYTES))
    except (OSError, SyntaxError, ValueError):
        return ""
    found = ""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "workers" for target in targets):
            assert isinstance(node, ast.Assign)
            value = node.value
            found = str(value.value) if isinstance(value, ast.Constant) else "2"
    return found
