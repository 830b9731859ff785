"""`ratelimit show`: lists of a running deployment, such as the callers that its limits refuse."""

from __future__ import annotations

import click

from ratelimit.cli.commands import GROUPS
from ratelimit.cli.lazy import LazyGroup


@click.group("show", cls=LazyGroup, entries=GROUPS["show"])
def show_command() -> None:
    """List who is refused or shed, who took most, the actors, what operators did, and a customer's budget.

    \b
    Examples:
      ratelimit show refused policy.toml
      ratelimit show actors policy.toml
      ratelimit show budget policy.toml acct-17
    """
