"""The names of all commands, by task and in groups; a module is imported when its command is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click

from ratelimit.environment.spelling import did_you_mean, nearest
from ratelimit.stores.acts.kinds import KINDS, UNDO


class Entry(NamedTuple):
    """A command: the module that has it, and its line in the list of commands."""

    module: str
    line: str


_HERE = "ratelimit.cli"
_OF_ACTS = {"budget": "budget"}
"""The modules of commands that lie beside the other acts."""
TASKS: dict[str, dict[str, Entry]] = {
    "Write": {
        "demo": Entry(f"{_HERE}.demo", "See it work, on this machine, in under a minute."),
        "check": Entry(f"{_HERE}.check", "Check a policy, and list its limits."),
        "make": Entry(f"{_HERE}.commands", "Make limits from logs, prices, alerts, a schema …"),
    },
    "Try": {
        "explain": Entry(f"{_HERE}.explain", "One request, step by step: identities, limits, verdicts."),
        "replay": Entry(f"{_HERE}.replay", "Who of a recorded trace would have been refused?"),
        "diff": Entry(f"{_HERE}.diff", "Who of a trace would notice a changed policy?"),
    },
    "Run": {
        "doctor": Entry(f"{_HERE}.doctor", "Are the server and this host as they should be?"),
        "serve": Entry(f"{_HERE}.serve", "Decide for Envoy, nginx and other proxies."),
        "correlator": Entry(f"{_HERE}.correlator", "Correlate for all hosts, in a process of its own."),
    },
    "Watch": {
        "top": Entry(f"{_HERE}.top", "Watch a running deployment, on all hosts."),
        "who": Entry(f"{_HERE}.who", "One caller: its limits, refusals, actor and acts."),
        "show": Entry(f"{_HERE}.commands", "List who is refused or shed, actors, acts, a budget."),
        "journal": Entry(f"{_HERE}.journal", "What happened on all hosts: acts, policies, outages."),
        "console": Entry(f"{_HERE}.console", "Serve pages for analysts: actors, callers, acts."),
    },
    "Act": {
        "act": Entry(f"{_HERE}.commands", "Stop or exempt a caller, change a budget, undo it …"),
    },
}
"""The commands at the top, by task, in the order in which they are usually needed."""
TOP = {name: entry for entries in TASKS.values() for name, entry in entries.items()}
GROUPS: dict[str, dict[str, Entry]] = {
    "make": {
        "limits": Entry(f"{_HERE}.suggest", "Limits from what callers of a trace really use."),
        "history": Entry(
            f"{_HERE}.history", "Records of payers from logs, for an installation to begin with."
        ),
        "prices": Entry(f"{_HERE}.make", "Prices of models, for limits in dollars."),
        "hashes": Entry(f"{_HERE}.make", "The hash of each account in a list, beside it."),
        "schema": Entry(f"{_HERE}.make", "The policy file's JSON Schema, for editors."),
        "alerts": Entry(f"{_HERE}.make", "The alerts for Prometheus."),
        "dashboard": Entry(f"{_HERE}.make", "The dashboard for Grafana."),
    },
    "show": {
        "refused": Entry(f"{_HERE}.refused", "The callers that each limit refuses most."),
        "took": Entry(f"{_HERE}.took", "The callers that took most of each limit."),
        "shed": Entry(f"{_HERE}.refused", "The accounts that found no room, and why they went first."),
        "actors": Entry(f"{_HERE}.actors", "Which accounts are one actor, and what do they use?"),
        "accounts": Entry(f"{_HERE}.actors", "The accounts of an actor."),
        "acts": Entry(f"{_HERE}.acts", "What operators did, by whom and why."),
        "budget": Entry(f"{_HERE}.budget", "What a customer has of each limit, and has used."),
    },
    "act": {
        **{
            each.command: Entry(f"{_HERE}.{_OF_ACTS.get(each.command, 'acts')}", each.line)
            for each in KINDS
            if each.line and not each.is_undo
        },
        "note": Entry(f"{_HERE}.journal", "Write a note into the journal."),
        UNDO.command: Entry(f"{_HERE}.acts", UNDO.line),
    },
}
_MEANT = {
    "suggest": "make limits",
    "watch": "top",
    "validate": "check",
    "lint": "check",
    "allow": "act exempt",
    "deny": "act stop",
    "block": "act stop",
    "ban": "act stop",
    "unblock": "act undo",
    "unstop": "act undo",
    "limit": "act budget",
    "status": "top",
    "changes": "journal",
    "caller": "who",
    "audit": "show acts",
    "events": "journal",
    "grafana": "make dashboard",
    "prometheus": "make alerts",
}
"""Words that people try, and the commands that do it."""


def meant_by(word: str, group: str = "") -> str:
    """Return a sentence with the command that a word may mean; nothing where there is none.

    Args:
        word: what was written where a command stands.
        group: the group that it was looked for in; at the top by default.
    """
    word = word.lower()
    if word in _PLACES:
        return f"It is {_PLACES[word]}."
    if near := did_you_mean(word, GROUPS[group] if group else TOP):
        return near
    likely = nearest(word, _PLACES)
    return f"Did you mean {_PLACES[likely]}?" if likely else ""


def places_of(word: str) -> list[str]:
    """Return the commands that a word means, behind `ratelimit`; none for one that is not known."""
    return _COMMANDS.get(word.lower(), [])


def _commands() -> dict[str, list[str]]:
    """Return each word that is known, and the commands that it means."""
    found = {word: [command] for word, command in _MEANT.items()} | {name: [name] for name in TOP}
    for group, entries in GROUPS.items():
        for name in entries:
            found.setdefault(name, []).append(f"{group} {name}")
    return found


_COMMANDS = _commands()
_PLACES = {
    word: " or ".join(f"`ratelimit {command}`" for command in commands)
    for word, commands in _COMMANDS.items()
}


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


@click.group("show", cls=LazyGroup, entries=GROUPS["show"])
def show_command() -> None:
    """List who is refused or shed, who took most, the actors, what operators did, and a customer's budget.

    \b
    Examples:
      ratelimit show refused policy.toml
      ratelimit show actors policy.toml
      ratelimit show budget policy.toml acct-17
    """
