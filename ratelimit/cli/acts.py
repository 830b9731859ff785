"""The operator's acts, from `exempt` to `undo`, and the list of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click
from rich.table import Table
from rich.text import Text as AnyText

from ratelimit.cli.failure import DEPLOYMENT, INPUT, Failure, fail_if_unheard
from ratelimit.cli.loading import load_to_act, load_whole
from ratelimit.cli.terminal import Text, note, out, print_json, say, table_of, warn
from ratelimit.clock import SystemClock
from ratelimit.errors import StoreError
from ratelimit.inspection import formatting
from ratelimit.inspection.access.deployment import Deployment, deployment_of
from ratelimit.inspection.access.host_state import HostState
from ratelimit.inspection.acts.acting import confirmed, known_acts
from ratelimit.inspection.acts.words import act_json, act_words, ends_of
from ratelimit.inspection.callers.knowledge import Knowledge, knowledge_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.moment import AWAY
from ratelimit.inspection.hosts.policies import different_policies
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.journal.outage import outage_words
from ratelimit.inspection.proposals import proposal
from ratelimit.inspection.proposals.customers import Changed
from ratelimit.inspection.proposals.preview import Preview
from ratelimit.inspection.proposals.proposal import Proposal
from ratelimit.stores.acts.act import Act, in_force

GONE = "A host that is silent for ten minutes is taken for gone: nothing waits for it."
SHOWN = 3
"""Hashes of one act in the list."""


def _span(context: click.Context, parameter: click.Parameter, value: str) -> int:
    try:
        return proposal.span_ns(value)
    except InspectionFailure as failure:
        raise click.BadParameter(str(failure)) from failure


def acting(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every act takes: how long, why, whether to ask, and how to print.

    The command gets an `Asking` in place of these and of the policy.
    """

    @wraps(command)
    def asking(
        policy: str,
        for_ns: int,
        by: str | None,
        reason: str,
        is_dry: bool,
        yes: bool,
        as_json: bool,
        **given: Any,
    ) -> None:
        with knowledge_of(load_whole(policy)) as known:
            asked = Asking(
                known, is_dry=is_dry, is_sure=yes, as_json=as_json, for_ns=for_ns, by=by, reason=reason
            )
            command(asked, **given)

    made: Callable[..., None] = asking
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        _DRY,
        click.option(
            "--yes",
            is_flag=True,
            help="Do it without a question: it changes nothing now, or the name is unknown.",
        ),
        click.option("--reason", default="", help="Why, for the list; at most 200 characters."),
        _BY,
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
        made = option(made)
    return made


_BY = click.option(
    "--by", metavar="PERSON", help="Who does it, listed before the account that is logged in here."
)
_DRY = click.option("--dry-run", "is_dry", is_flag=True, help="Show what it would do, and do nothing.")


@click.command("exempt")
@click.argument("policy")
@click.argument("account")
@click.option(
    "--from",
    "what",
    type=click.Choice(["actors", "limits"]),
    help="From limits per actor alone, or from all limits. The first where the policy correlates.",
)
@click.option("--identity", metavar="NAME", help="With `--from limits`: the identity that ACCOUNT is of.")
@acting
def exempt_command(asking: Asking, account: str, what: str | None, identity: str | None) -> None:
    """Exempt an account on all hosts: from limits per actor, or from all limits.

    With `--from actors` it is in no actor; its other limits hold. With `--from limits` no limit
    applies to it, as if it were on the policy's allow list. That may be an address or a payment method, too.

    \b
    Examples:
      ratelimit act exempt policy.toml acct-17 --for 2h --reason "no campaign"
      ratelimit act exempt policy.toml acct-17 --from limits --for 30m
      ratelimit act exempt policy.toml 148ff4b5 --dry-run

    ACCOUNT is as the application writes it, or a hash as any screen shows it. Exit code 3 if it is not known,
    or the act would change nothing; `--yes` does it all the same. Exit code 4 if a host has not confirmed
    within 5 seconds.
    """
    asking.go(proposal.exempt(asking.known, account, what, identity))


@click.command("stop")
@click.argument("policy")
@click.argument("caller")
@click.option("--identity", metavar="NAME", help="The identity that CALLER is of.")
@acting
def stop_command(asking: Asking, caller: str, identity: str | None) -> None:
    """Refuse every request of a caller on all hosts, as if it were on the policy's deny list.

    CALLER is an account, an address, a payment method or another identity, as the application writes it or as
    any screen shows its hash; or an actor of up to 100 accounts, all of which are stopped.

    \b
    Examples:
      ratelimit act stop policy.toml acct-17 --for 2h --reason "key is stolen"
      ratelimit act stop policy.toml 203.0.113.9 --for 30m
      ratelimit act stop policy.toml network=203.0.113.0 --for 30m
    """
    asking.go(proposal.stop(asking.known, caller, identity))


@click.group("declare")
def declare_command() -> None:
    """Declare what you know, on all hosts and for a while.

    \b
    Example:
      ratelimit act declare organisation policy.toml Acme --payment card-9
    """


@declare_command.command("organisation")
@click.argument("policy")
@click.argument("name")
@click.option("--payment", "payments", multiple=True, metavar="VALUE", help="A payment method of its own.")
@click.option("--network", "networks", multiple=True, metavar="VALUE", help="A network of its own.")
@click.option("--account", "accounts", multiple=True, metavar="ACCOUNT", help="One of its accounts.")
@acting
def organisation_command(
    asking: Asking, name: str, payments: tuple[str, ...], networks: tuple[str, ...], accounts: tuple[str, ...]
) -> None:
    """Declare an organisation: values that its members share are no evidence between them.

    Without an account, every account that pays by one of its methods is a member; without a method, too,
    every account that comes from its networks. A network is one that the policy counts by, as
    203.0.113.0/24; others are for the policy file.
    """
    asking.go(proposal.organisation(asking.known, name, payments, accounts, networks))


def _of_accounts(kind: Any, help: str, example: str) -> click.Command:
    """Return the command of an act that names accounts and nothing else."""

    def command(asking: Asking, accounts: tuple[str, ...]) -> None:
        asking.go(proposal.of_accounts(asking.known, kind, accounts))

    command.__doc__ = f"{help}\n\n\b\nExample:\n  ratelimit act {kind} policy.toml {example}"
    made = acting(command)
    for argument in (click.argument("accounts", nargs=-1, required=True), click.argument("policy")):
        made = argument(made)
    found: click.Command = click.command(kind)(made)
    return found


merge_command = _of_accounts(
    "merge",
    "Rule that accounts are one actor, whatever the evidence; on all hosts and for a while.",
    "acct-17 acct-18 --for 7d",
)
split_command = _of_accounts(
    "split",
    "Rule that no two of these accounts are one actor; on all hosts and for a while.",
    "acct-17 acct-18 --for 7d",
)
confirm_command = _of_accounts(
    "confirm",
    "Confirm the actor of an account: its likely members count as certain; for a while.",
    "acct-17 --for 7d",
)
clear_command = _of_accounts(
    "clear",
    "Clear the actor of an account: no limit per actor binds its members; for a while.",
    "acct-17 --for 2h",
)


def _is_person() -> bool:
    """Return whether somebody is there to answer a question."""
    return sys.stdin.isatty()


class Asking:
    """An act on its way: its preview is shown, a person asked where there is doubt, hosts waited for.

    Args:
        known: what is known here.
        is_dry: show the preview, and do nothing.
        is_sure: ask no question.
        as_json: print JSON.
        for_ns: how long the act holds; None for one without an end of its own.
        by: the person, as stated.
        reason: why.
    """

    def __init__(
        self,
        known: Knowledge,
        *,
        is_dry: bool,
        is_sure: bool,
        as_json: bool,
        for_ns: int | None,
        by: str | None,
        reason: str,
    ) -> None:
        self.known = known
        self.is_dry, self._is_sure, self._as_json = is_dry, is_sure, as_json
        self._for_ns, self.by, self.reason = for_ns, by, reason[:200]

    def go(self, act: Proposal) -> None:
        """Do it, unless it is only to be shown, or nobody is sure.

        `first` does what is to be done before the act is in the log, and may return more of it.

        Raises:
            Failure: there is doubt and nobody to ask; a host has not confirmed.
        """
        preview = act.preview
        words = {"does": preview.does, "doubts": preview.doubts}
        if self.is_dry:
            until_ns = act.ends_at(SystemClock().now_ns(), self._for_ns)
            if self._as_json:
                until = None if until_ns is None else formatting.iso(until_ns)
                needs = {"needs_yes": bool(preview.doubts) and not self._is_sure}
                print_json({"kind": act.kind, "dry_run": True, "until": until, **words, **needs})
            else:
                if until_ns is not None:
                    say(out(), Text(f"until {formatting.instant(until_ns)} UTC:"))
                asks = "" if self._is_sure else "this needs --yes: "
                for said in (*preview.does, *(f"{asks}{doubt}" for doubt in preview.doubts)):
                    say(out(), Text(said))
                if preview.hint:
                    note(preview.hint)
            return
        self._agree(preview)
        there = self.known.deployment
        done = act.do(there, for_ns=self._for_ns, by=self.by, reason=self.reason)
        _tell(there, done, self._as_json, words)

    def go_once(self, acts: Sequence[Proposal], change: Callable[[], Sequence[Changed]]) -> None:
        """Do what `change` does with a name of its own, as `go` does each of these acts.

        Raises:
            Failure: as `go`; another call had this name.
        """
        for act in acts:
            self._agree(act.preview)
        self.tell_once(change())

    def tell_once(self, changes: Sequence[Changed]) -> None:
        """Say what a call of a name has done, now or before."""
        for each in changes:
            if each.act is None:
                continue
            if each.is_repeated:
                note(f"Done before, as act {each.act.label}: nothing more was done.")
            words = {"does": each.does, "doubts": each.doubts, "is_repeated": each.is_repeated}
            _tell(self.known.deployment, each.act, self._as_json, words)

    def _agree(self, preview: Preview) -> None:
        if not self._as_json:
            for said in preview.does:
                note(said)
        if preview.doubts and not self._is_sure:
            self._ask(preview)

    def _ask(self, preview: Preview) -> None:
        doubt = "; ".join(preview.doubts)
        if self._as_json or not _is_person():
            hint = f"{preview.hint} --yes does it all the same.".strip()
            raise Failure(f"nothing was done: {doubt}", INPUT, hint=hint)
        note(doubt)
        if preview.hint:
            note(preview.hint)
        if not click.confirm("Do it all the same?", err=True):
            raise Failure("nothing was done", INPUT)


@click.command("undo")
@click.argument("policy")
@click.argument("act")
@_BY
@click.option("--reason", default="", help="Why, for the list; at most 200 characters.")
@_DRY
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def undo_command(policy: str, act: str, by: str | None, reason: str, is_dry: bool, as_json: bool) -> None:
    """Take back an act, on all hosts. ACT is its number, as `ratelimit show acts` shows it.

    \b
    Example:
      ratelimit act undo policy.toml 7

    Exit code 3 if no such act is in force.
    """
    with knowledge_of(load_whole(policy)) as known:
        asking = Asking(
            known, is_dry=is_dry, is_sure=True, as_json=as_json, for_ns=None, by=by, reason=reason
        )
        asking.go(proposal.undo(known, act))


@click.command("acts")
@click.argument("policy")
@click.option("--all", "everything", is_flag=True, help="Also what was undone or has lapsed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with what has lapsed.")
def acts_command(policy: str, everything: bool, as_json: bool) -> None:
    """List the operator's acts: those in force beside the policy file, and the log of earlier ones.

    \b
    Examples:
      ratelimit show acts policy.toml
      ratelimit show acts policy.toml --all

    The log keeps 512 acts; those in force stay longest. Exit code 4 if the server or a host does not answer,
    which is named.
    """
    with _deployment(policy) as there:
        acts = known_acts(there)
        held = in_force(acts, there.key, SystemClock().now_ns())
        try:
            hosts, is_away = there.hosts(), False
        except StoreError:
            hosts, is_away = there.this_host(), True
    now = {act.label for act in held}
    policies = different_policies(hosts)
    if as_json:
        print_json(
            {
                "acts": [{**act_json(act), "in_force": act.label in now} for act in acts],
                "hosts": _hosts_json(hosts),
            }
        )
    else:
        if policies:
            warn(policies)
        if is_away:
            note(outage_words(there.policy))
        if shown := acts if everything else held:
            out().print(_table(shown, now, ends_of(acts, now) if everything else None))
            if held:
                note(f"`ratelimit act undo {policy} {held[-1].label}` takes one back.")
            for each in hosts:
                if not each.has_applied:
                    note(f"{each.host} {_state_of(each)}")
        else:
            note("No act of an operator's is in force; --all lists those that were.")
    fail_if_unheard(
        [AWAY] if is_away else [each.named for each in hosts if each.unheard and not each.is_gone]
    )


@contextmanager
def _deployment(policy: str) -> Iterator[Deployment]:
    with deployment_of(load_to_act(policy)) as there:
        yield there


def _tell(there: Deployment, act: Act, as_json: bool, words: Mapping[str, Any]) -> None:
    """Wait for every host, and say what came of it."""
    outcome = confirmed(there, act)
    if as_json:
        hosts = _hosts_json(outcome.hosts)
        print_json({**act_json(act), **words, "hosts": hosts, "server_away": outcome.is_away})
    else:
        console = out()
        say(console, Text(f"{act.label}  ", "bold yellow") + Text(act_words(act)))
        for each in outcome.hosts:
            mark = Text("✔ ", "green") if each.has_applied else Text("✘ ", "bold red")
            workers = formatting.count(each.workers, "worker")
            say(console, mark + Text(f"{each.host} {_state_of(each)}, {workers}"))
        if not outcome.hosts and not outcome.is_away:
            note("No worker runs; those that start go by it.")
        if not act.of.is_undo:
            note(f"`ratelimit act undo {there.policy.name} {act.label}` takes it back.")
    if outcome.is_away:
        here = ", ".join(each.host for each in outcome.hosts if each.has_applied)
        does = f"In force on {here}" if here else "In the log of this host, where no worker has confirmed it"
        raise Failure(
            f"the server does not answer: other hosts have not confirmed act {act.label}",
            DEPLOYMENT,
            hint=f"{does}; its workers bring it to the server, and so to the others, when that is back.",
        )
    if outcome.gone and not as_json:
        note(f"{GONE} `ratelimit doctor` there, or RatelimitStoreAway, says if it is cut off.")
    if outcome.missing:
        raise Failure(
            f"not confirmed by {', '.join(outcome.missing)}",
            DEPLOYMENT,
            hint="It is in the log, and in force there as soon as its workers read it.",
        )


def _state_of(host: HostState) -> str:
    if host.unheard:
        return f"{'is taken for gone, ' if host.is_gone and host.workers else ''}{host.unheard}"
    return "applies it" if host.has_applied else "has not confirmed"


def _table(acts: Sequence[Act], now: set[str], ends: Mapping[str, str] | None) -> Table:
    """Return acts for people.

    Args:
        acts: those that are shown.
        now: the labels of those in force.
        ends: how others ended, to say of each act whether it holds; None where all hold.
    """
    table = table_of("act", "says", "accounts", "by", "at (UTC)", "reason")
    for act in acts:
        style = "" if act.label in now else "dim"
        hashes = [short_hash(one) for one in act.hashes]
        more = f" and {len(hashes) - SHOWN:,} more" if len(hashes) > SHOWN else ""
        table.add_row(
            Text(act.label, style or "bold yellow"),
            AnyText("\n").join([Text(act_words(act), style), *_state(act, ends, style)]),
            Text(" ".join(hashes[:SHOWN]) + more, style),
            Text(act.by, style),
            Text(formatting.instant(act.at_ns), style),
            Text(act.reason, style),
        )
    return table


def _state(act: Act, ends: Mapping[str, str] | None, style: str) -> list[AnyText]:
    """Return a line that says whether an act is in force; none of an undo, which is done at once."""
    return [] if ends is None or act.of.is_undo else [Text(ends.get(act.label, "in force"), style or "green")]


def _hosts_json(hosts: Sequence[HostState]) -> list[dict[str, Any]]:
    return [
        {
            "host": each.host,
            "workers": each.workers,
            "applied": each.has_applied,
            "silent_seconds": each.silent_s or None,
            "last_heard_seconds": each.late_s or None,
            "gone": each.is_gone,
            "policy": each.policy or None,
            "policy_since": formatting.iso(each.policy_since_s * 10**9) if each.policy_since_s else None,
        }
        for each in hosts
    ]
