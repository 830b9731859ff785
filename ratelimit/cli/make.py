"""`ratelimit make`: files that are made from others, such as limits from a log."""

from __future__ import annotations

import click

from ratelimit.cli.commands import GROUPS
from ratelimit.cli.lazy import LazyGroup


@click.group("make", cls=LazyGroup, entries=GROUPS["make"])
def make_command() -> None:
    """Make limits from logs, and what a policy reads.

    \b
    Examples:
      ratelimit make limits access.log
      ratelimit make prices import gpt-4o-mini --into policy.toml
      ratelimit make schema > policy.schema.json
      ratelimit make alerts > alerts.yml
    """
