"""The operator's acts, from `exempt` to `undo`, and the list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.table import Table

from ratelimit.cli.failure import DEPLOYMENT, USAGE, Failure
from ratelimit.cli.loading import load_to_act
from ratelimit.cli.terminal import Text, note, out, print_json, say
from ratelimit.clock import SystemClock
from ratelimit.errors import StoreError
from ratelimit.inspection import formatting
from ratelimit.inspection.acting import (
    Deployment,
    HostState,
    act_named,
    confirmed,
    deployment_of,
    do,
    identity_hashes,
    known_acts,
    payment_hashes,
    principals,
)
from ratelimit.inspection.identities import short_hash
from ratelimit.policy.schema.duration import parse_duration
from ratelimit.stores.acts.act import Act, in_force

LONGEST_NS = 31 * 86_400 * 10**9
SHOWN = 3
"""Hashes of one act in the list."""


def _span(context: click.Context, parameter: click.Parameter, value: str) -> int:
    try:
        span_ns = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}; write it like 2h, 30m or 7d") from error
    if not 0 < span_ns <= LONGEST_NS:
        raise click.BadParameter("31d is the longest; for good, write it into the policy file")
    return span_ns


def _acting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every act takes: how long, why, and how to print."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--reason", default="", help="Why, for the list; at most 200 characters."),
        click.option(
            "--for",
            "for_ns",
            default="1d",
            show_default=True,
            callback=_span,
            metavar="TIME",
            help="Duration, like 2h; 31d at most. It lapses by itself.",
        ),
    ):
        command = option(command)
    return command


@click.command("exempt", short_help="Let an account be, for a while.")
@click.argument("policy")
@click.argument("account")
@click.option(
    "--from",
    "what",
    type=click.Choice(["clusters", "limits"]),
    help="From limits per cluster alone, or from all limits. The first where the policy correlates.",
)
@click.option("--identity", metavar="NAME", help="With `--from limits`: the identity that ACCOUNT is of.")
@_acting
def exempt_command(
    policy: str, account: str, what: str | None, identity: str | None, for_ns: int, reason: str, as_json: bool
) -> None:
    """Exempt an account on all hosts: from limits per cluster, or from all limits.

    With `--from clusters` it is in no cluster; its other limits hold. With `--from limits` no limit
    applies to it, as if it were on the policy's allow list.

    \b
    Examples:
      ratelimit exempt policy.toml acct-17 --for 2h --reason "wrong cluster"
      ratelimit exempt policy.toml acct-17 --from limits --for 30m

    ACCOUNT may be `hash:` and the 16 digits that `ratelimit accounts --json` has. Exit code 4 if a
    host has not confirmed within 5 seconds.
    """
    with _deployment(policy) as there:
        if what is None:
            what = "limits" if there.policy.compiled.correlation is None else "clusters"
        if what == "limits":
            name, hashes = identity_hashes(there, account, identity)
            act = do(
                there, "exempt-limits", accounts=hashes, identity=name, for_ns=for_ns, reason=reason[:200]
            )
        else:
            hashes = principals(there, [account])
            act = do(there, "exempt", accounts=hashes, for_ns=for_ns, reason=reason[:200])
        _tell(there, act, as_json)


@click.group("declare", short_help="Declare what you know, for a while.")
def declare_command() -> None:
    """Declare what you know, on all hosts and for a while.

    \b
    Example:
      ratelimit declare organisation policy.toml Acme --payment card-9
    """


@declare_command.command("organisation")
@click.argument("policy")
@click.argument("name")
@click.option("--payment", "payments", multiple=True, metavar="VALUE", help="A payment method of its own.")
@click.option("--account", "accounts", multiple=True, metavar="ACCOUNT", help="One of its accounts.")
@_acting
def organisation_command(
    policy: str,
    name: str,
    payments: tuple[str, ...],
    accounts: tuple[str, ...],
    for_ns: int,
    reason: str,
    as_json: bool,
) -> None:
    """Declare an organisation: values that its members share are no evidence between them.

    Without an account, every account that pays by one of its methods is a member. Networks of an
    organisation are for the policy file.
    """
    if not payments:
        raise Failure("an organisation needs what its members share: --payment VALUE", USAGE)
    with _deployment(policy) as there:
        act = do(
            there,
            "organisation",
            name=name[:64],
            payments=payment_hashes(there, payments),
            accounts=principals(there, accounts),
            for_ns=for_ns,
            reason=reason[:200],
        )
        _tell(there, act, as_json)


def _of_accounts(kind: Any, least: int, help: str, short: str, example: str) -> click.Command:
    """Return the command of an act that names accounts and nothing else."""

    def command(policy: str, accounts: tuple[str, ...], for_ns: int, reason: str, as_json: bool) -> None:
        if len(accounts) < least:
            raise Failure(f"`{kind}` takes at least {formatting.count(least, 'account')}", USAGE)
        with _deployment(policy) as there:
            keys = principals(there, accounts)
            if len(keys) < least:
                raise Failure(f"`{kind}` takes at least {least} different accounts", USAGE)
            _tell(there, do(there, kind, accounts=keys, for_ns=for_ns, reason=reason[:200]), as_json)

    command.__doc__ = f"{help}\n\n\\b\nExample:\n  ratelimit {kind} policy.toml {example}"
    for wrap in (
        _acting,
        click.argument("accounts", nargs=-1, required=True),
        click.argument("policy"),
    ):
        command = wrap(command)
    return click.command(kind, short_help=short)(command)


merge_command = _of_accounts(
    "merge",
    2,
    "Rule that accounts are one actor, whatever the evidence; on all hosts and for a while.",
    "Say that accounts are one actor.",
    "acct-17 acct-18 --for 7d",
)
split_command = _of_accounts(
    "split",
    2,
    "Rule that no two of these accounts are one actor; on all hosts and for a while.",
    "Say that accounts are not one actor.",
    "acct-17 acct-18 --for 7d",
)
confirm_command = _of_accounts(
    "confirm",
    1,
    "Confirm the cluster of an account: its likely members count as certain; for a while.",
    "Confirm the cluster of an account.",
    "acct-17 --for 7d",
)
clear_command = _of_accounts(
    "clear",
    1,
    "Clear the cluster of an account: no limit per cluster binds its members; for a while.",
    "Clear the cluster of an account.",
    "acct-17 --for 2h",
)


@click.command("undo", short_help="Take an act back.")
@click.argument("policy")
@click.argument("act")
@click.option("--reason", default="", help="Why, for the list; at most 200 characters.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def undo_command(policy: str, act: str, reason: str, as_json: bool) -> None:
    """Take back an act, on all hosts. ACT is its number, as `ratelimit acts` shows it.

    \b
    Example:
      ratelimit undo policy.toml 7

    Exit code 3 if no such act is in force.
    """
    with _deployment(policy) as there:
        _tell(there, do(there, "undo", undoes=act_named(there, act), reason=reason[:200]), as_json)


@click.command("acts", short_help="List what operators did, by whom and why.")
@click.argument("policy")
@click.option("--all", "everything", is_flag=True, help="Also what was undone or has lapsed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with what has lapsed.")
def acts_command(policy: str, everything: bool, as_json: bool) -> None:
    """List the operator's acts: those in force beside the policy file, and the log of earlier ones.

    \b
    Examples:
      ratelimit acts policy.toml
      ratelimit acts policy.toml --all

    The log keeps 512 acts; those in force stay longest.
    """
    with _deployment(policy) as there:
        acts = known_acts(there)
        held = in_force(acts, there.key, SystemClock().now_ns())
        try:
            hosts, is_away = there.hosts(), False
        except StoreError:
            hosts, is_away = there.this_host(), True
    now = {act.label for act in held}
    if as_json:
        print_json(
            {
                "acts": [{**_json(act), "in_force": act.label in now} for act in acts],
                "hosts": _hosts_json(hosts),
            }
        )
        return
    shown = acts if everything else held
    if not shown:
        note("No act of an operator's is in force; --all lists those that were.")
        return
    out().print(_table(shown, now))
    for each in hosts:
        if not each.has_applied:
            note(f"{each.host} {_state_of(each)}")
    if is_away:
        note("The server does not answer: these are the acts that this host knows.")


@contextmanager
def _deployment(policy: str) -> Iterator[Deployment]:
    with deployment_of(load_to_act(policy)) as there:
        yield there


def _tell(there: Deployment, act: Act, as_json: bool) -> None:
    """Wait for every host, and say what came of it."""
    outcome = confirmed(there, act)
    if as_json:
        print_json({**_json(act), "hosts": _hosts_json(outcome.hosts), "server_away": outcome.is_away})
    else:
        console = out()
        say(console, Text(f"{act.label}  ", "bold yellow") + Text(_said(act)))
        for each in outcome.hosts:
            mark = Text("✔ ", "green") if each.has_applied else Text("✘ ", "bold red")
            workers = formatting.count(each.workers, "worker")
            say(console, mark + Text(f"{each.host} {_state_of(each)}, {workers}"))
        if not outcome.hosts and not outcome.is_away:
            note("No worker runs; those that start go by it.")
    if outcome.is_away:
        raise Failure(
            "the server does not answer: other hosts have not confirmed",
            DEPLOYMENT,
            hint="The act is in force on this host, whose workers bring it to the server when that is back.",
        )
    if outcome.missing:
        raise Failure(
            f"not confirmed by {', '.join(outcome.missing)}",
            DEPLOYMENT,
            hint="It is in the log, and in force there as soon as its workers read it.",
        )


def _state_of(host: HostState) -> str:
    if host.silent_s:
        return f"has not been heard of for {formatting.wait(host.silent_s * 10**9)}"
    return "applies it" if host.has_applied else "has not confirmed"


def _said(act: Act) -> str:
    what = {
        "exempt": "exempt from limits per cluster; all other limits hold",
        "exempt-limits": f"exempt from all limits, by {act.identity}",
        "merge": "one actor",
        "split": "not one actor",
        "confirm": "its cluster is confirmed",
        "clear": "its cluster is cleared",
        "organisation": f"organisation {act.name}",
        "undo": f"act {act.undoes} is taken back",
    }[act.kind]
    until = "" if act.until_ns is None else f", until {formatting.instant(act.until_ns)} UTC"
    return f"{what}{until}"


def _table(acts: Sequence[Act], now: set[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("act", "says", "accounts", "by", "at (UTC)", "reason"):
        table.add_column(title, overflow="fold")
    for act in acts:
        style = "" if act.label in now else "dim"
        hashes = [short_hash(one) for one in (*act.accounts, *act.payments)]
        more = f" and {len(hashes) - SHOWN:,} more" if len(hashes) > SHOWN else ""
        table.add_row(
            Text(act.label, style or "bold yellow"),
            Text(_said(act), style),
            Text(" ".join(hashes[:SHOWN]) + more, style),
            Text(act.by, style),
            Text(formatting.instant(act.at_ns), style),
            Text(act.reason, style),
        )
    return table


def _json(act: Act) -> dict[str, Any]:
    return {
        "act": act.label,
        "kind": act.kind,
        "accounts": [f"{one:016x}" for one in act.accounts],
        "identity": act.identity or None,
        "payments": [f"{one:016x}" for one in act.payments],
        "name": act.name or None,
        "by": act.by,
        "at": formatting.iso(act.at_ns),
        "until": None if act.until_ns is None else formatting.iso(act.until_ns),
        "reason": act.reason,
        "undoes": act.undoes,
    }


def _hosts_json(hosts: Sequence[HostState]) -> list[dict[str, Any]]:
    return [
        {
            "host": each.host,
            "workers": each.workers,
            "applied": each.has_applied,
            "silent_seconds": each.silent_s or None,
        }
        for each in hosts
    ]
