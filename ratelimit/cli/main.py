"""The `ratelimit` command: which subcommands there are.

Each is imported when it is called, so that `ratelimit --help` and shell
completion stay quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from ratelimit.cli.failure import INTERRUPTED, failure_of, show
from ratelimit.policy.schema.problem import did_you_mean

# Name, module that holds a click command of the same name with `_command` behind it.
_COMMANDS = {
    "check": "ratelimit.cli.check",
    "doctor": "ratelimit.cli.doctor",
    "explain": "ratelimit.cli.explain",
    "who": "ratelimit.cli.who",
    "replay": "ratelimit.cli.replay.command",
    "diff": "ratelimit.cli.diff.command",
    "suggest": "ratelimit.cli.suggest.command",
    "history": "ratelimit.cli.history",
    "import": "ratelimit.cli.importing.command",
    "top": "ratelimit.cli.top.command",
    "console": "ratelimit.cli.console",
    "refused": "ratelimit.cli.refused",
    "shed": "ratelimit.cli.shed",
    "actors": "ratelimit.cli.actors",
    "accounts": "ratelimit.cli.actors",
    "hashes": "ratelimit.cli.hashes",
    "exempt": "ratelimit.cli.acts",
    "stop": "ratelimit.cli.acts",
    "clear": "ratelimit.cli.acts",
    "confirm": "ratelimit.cli.acts",
    "budget": "ratelimit.cli.budget",
    "merge": "ratelimit.cli.acts",
    "split": "ratelimit.cli.acts",
    "declare": "ratelimit.cli.acts",
    "undo": "ratelimit.cli.acts",
    "acts": "ratelimit.cli.acts",
    "journal": "ratelimit.cli.journal",
    "note": "ratelimit.cli.journal",
    "serve": "ratelimit.cli.serve",
    "correlator": "ratelimit.cli.correlator",
    "prices": "ratelimit.cli.prices",
    "schema": "ratelimit.cli.schema",
    "demo": "ratelimit.cli.demo",
}


class _Lazy(click.Group):
    """A group of commands, each a module, in the order they are usually needed."""

    def main(self, *arguments: Any, standalone_mode: bool = True, **more: Any) -> Any:
        """Run a command and end the process. However it fails: a sentence and an exit code."""
        run: Callable[..., Any] = partial(super().main, *arguments, standalone_mode=False, **more)
        if not standalone_mode:
            return run()
        try:
            code = run()
        except click.Abort:
            code = INTERRUPTED
        except BrokenPipeError:  # the reader of our output has gone
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  # what is left to flush goes there
            code = 1
        except click.ClickException as error:
            show(error)
            code = error.exit_code
        except Exception as error:
            failure = failure_of(error)
            failure.show()
            code = failure.exit_code
        sys.exit(code)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; say which it may be where there is none."""
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            near = did_you_mean(args[0].lower(), _COMMANDS) or _file_first(args)
            if near:
                raise click.UsageError(f"No such command '{args[0]}'. {near}", ctx)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = getattr(import_module(module), f"{cmd_name}_command")
        if not isinstance(command, click.Command):
            raise TypeError(f"{module} holds no command")
        return command


def _file_first(args: list[str]) -> str:
    """Return what is meant by a policy in the place of the command."""
    if not args[0].endswith(".toml"):
        return ""
    command = next((word for word in args[1:] if word in _COMMANDS), "check")
    return f"The command comes first: `ratelimit {command} {args[0]}`."


def _version() -> str:
    try:
        return version("kinlimit")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_version(), prog_name="ratelimit")
def main() -> None:
    """Limit the rate of an API by a policy file: check it, explain it, try it on a log.

    \b
    Examples:
      ratelimit demo                           see it work
      ratelimit check policy.toml              is the policy sound?
      ratelimit doctor policy.toml             is this host, is the server ready?
      ratelimit explain policy.toml -r "POST /v1/chat ip=203.0.113.9"
      ratelimit replay policy.toml access.log  what would have been refused?
      ratelimit diff old.toml new.toml access.log  who would notice?
      ratelimit suggest access.log             limits from what callers use
      ratelimit history policy.toml access.log -o history.bin   payers' past
      ratelimit import ratelimit.yaml          a policy from Envoy's, or slowapi's
      ratelimit top policy.toml                what is happening, on all hosts
      ratelimit console policy.toml            the same as pages, for analysts
      ratelimit refused policy.toml            callers refused most
      ratelimit shed policy.toml               accounts without room
      ratelimit actors policy.toml             which accounts are one actor
      ratelimit exempt policy.toml acct-17     let an account be, on all hosts
      ratelimit budget show policy.toml acct-17   a customer's own numbers
      ratelimit correlator policy.toml         find actors for several hosts

    Exit codes: 0 good, 1 the policy has errors or a check failed, 2 wrong usage, 3 unreadable input,
    4 deployment out of reach, 5 a policy imported in part, 70 a fault of this program, 130 interrupted.
    """


if __name__ == "__main__":
    main()
