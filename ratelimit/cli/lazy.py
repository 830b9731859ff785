"""A group of commands that imports a module when its command is called: help and completion stay quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from ratelimit.cli.commands import Entry, meant_by


class LazyGroup(click.Group):
    """A group of commands, in the order of their table."""

    def __init__(self, *arguments: Any, entries: Mapping[str, Entry], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module = import_module(entry.module)
        names = (f"{self.name}_{cmd_name}_command", f"{cmd_name}_command")
        command = next((found for name in names if (found := getattr(module, name, None)) is not None), None)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module} holds no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; name the one it may be where there is none."""
        if args and args[0] not in self.entries and not args[0].startswith("-"):
            near = self.meant(args)
            if near:
                raise click.UsageError(f"No such command '{args[0]}'. {near}", ctx)
        return super().resolve_command(ctx, args)

    def meant(self, args: list[str]) -> str:
        """Return a sentence with what was meant by the first of these words, if that is known."""
        return meant_by(args[0], self.name or "")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in self.entries.items()])
