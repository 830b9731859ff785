"""The `ratelimit` command: which subcommands there are.

Each is imported when it is called, so that `ratelimit --help` and shell
completion stay quick.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from ratelimit.cli.commands import TASKS, TOP, LazyGroup, meant_by
from ratelimit.cli.failure import INTERRUPTED, POLICY, USAGE, failure_of, show

LOOKED_AFTER = 20_000
"""So many objects are made before the interpreter looks for waste; 700 by default."""


class _Main(LazyGroup):
    """The commands at the top, and the end of the process."""

    def main(self, *arguments: Any, standalone_mode: bool = True, **more: Any) -> Any:
        """Run a command and end the process. However it fails: a sentence and an exit code."""
        run: Callable[..., Any] = partial(super().main, *arguments, standalone_mode=False, **more)
        if not standalone_mode:
            return run()
        # Most of what a command does is to load modules, and nothing of these is waste.
        gc.set_threshold(LOOKED_AFTER)
        words = list(arguments[0] if arguments and arguments[0] else more.get("args") or sys.argv[1:])
        try:
            code = run()
        except click.Abort:
            code = INTERRUPTED
        except BrokenPipeError:  # the reader of our output has gone
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  # what is left to flush goes there
            code = 1
        except click.ClickException as error:
            show(error)
            self._show_right_line(error, words)
            code = error.exit_code
        except Exception as error:
            failure = failure_of(error)
            failure.show()
            self._show_right_line(failure, words)
            code = failure.exit_code
        sys.exit(code)

    def _show_right_line(self, error: click.ClickException, words: list[str]) -> None:
        """Say which line was meant, where a command was called wrongly or was given no policy."""
        if error.exit_code not in (USAGE, POLICY):
            return
        # Imported here, as what shows a line is a third of what a command takes to begin.
        from ratelimit.cli.right_line import right_line
        from ratelimit.cli.terminal import Text, err, say

        if line := right_line(self, words):
            say(err(), Text("  Write: ", "dim") + Text(line, "bold"))

    def meant(self, args: list[str]) -> str:
        return meant_by(args[0]) or _file_first(args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first screen: each command in one line, by task."""
        lines = ["Usage: ratelimit COMMAND [ARGUMENTS]...", "", f"  {(self.help or '').splitlines()[0]}", ""]
        for task, entries in TASKS.items():
            for place, (name, entry) in enumerate(entries.items()):
                lines.append(f"  {'' if place else task:<7}{name:<12}{entry.line}")
        lines += ["", "  `ratelimit COMMAND --help` has options and examples; --version the version."]
        formatter.write("\n".join(lines) + "\n")


def _file_first(args: list[str]) -> str:
    """Return what is meant by a policy in the place of the command."""
    if not args[0].endswith(".toml"):
        return ""
    command = next((word for word in args[1:] if word in TOP), "check")
    return f"The command comes first: `ratelimit {command} {args[0]}`."


def _version() -> str:
    # Imported here: what reads a distribution's metadata loads a parser of mail.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("kinlimit")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


def _show_version(ctx: click.Context, option: click.Parameter, is_wanted: bool) -> None:
    """Write the version and end, where it is asked for."""
    if is_wanted and not ctx.resilient_parsing:
        click.echo(f"ratelimit, version {_version()}")
        ctx.exit()


@click.group(
    cls=_Main,
    entries=TOP,
    name="ratelimit",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Limit the rate of an API by a policy file: check it, try it on a log, run it."""


if __name__ == "__main__":
    main()
