"""`ratelimit act`: what an operator does to callers on all hosts, for a while."""

from __future__ import annotations

import click

from ratelimit.cli.commands import GROUPS
from ratelimit.cli.lazy import LazyGroup


@click.group("act", cls=LazyGroup, entries=GROUPS["act"])
def act_command() -> None:
    """Change what limits do to a caller on all hosts, for a while. Each act is recorded, and can be undone.

    \b
    Examples:
      ratelimit act stop policy.toml acct-17 --for 2h --reason "key is stolen"
      ratelimit act exempt policy.toml acct-17 --from limits --for 30m
      ratelimit act budget set policy.toml acct-17 requests=600/minute --for 7d
      ratelimit act undo policy.toml 12

    `ratelimit show acts` lists what is in force.
    """
