"""`ratelimit act budget`: the numbers that one customer has, and acts that change them for a while."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click
from rich.table import Table

from ratelimit.cli.acts import Asking, acting
from ratelimit.cli.failure import DEPLOYMENT, INPUT, USAGE, Failure
from ratelimit.cli.loading import load_to_show
from ratelimit.cli.terminal import Text, note, out, print_json, say, table_of
from ratelimit.errors import UsageError
from ratelimit.inspection import formatting
from ratelimit.inspection.acts.own_numbers import changed_words
from ratelimit.inspection.callers.absence import share_words
from ratelimit.inspection.callers.knowledge import Knowledge, knowledge_of
from ratelimit.inspection.callers.naming import Caller, resolve
from ratelimit.inspection.callers.payers import counts_words, parted, payers_of
from ratelimit.inspection.callers.plans import noted_plans
from ratelimit.inspection.callers.stand_in import stand_in
from ratelimit.inspection.callers.waits import wait_words
from ratelimit.inspection.journal.outage import outage_of
from ratelimit.inspection.proposals import proposal
from ratelimit.inspection.proposals.budgets import Budget, budgets_here, budgets_json, budgets_of, position_of
from ratelimit.inspection.proposals.customers import Word, change_once, made_once
from ratelimit.integrations.asked_limits import with_limits_in_code

_IDENTITY = click.option("--identity", metavar="NAME", help="The identity that ACCOUNT is of.")


@click.group("budget")
def act_budget_command() -> None:
    """Change the numbers that a customer has for a while, on all hosts.

    \b
    Examples:
      ratelimit act budget set policy.toml acct-17 requests=600/minute --for 7d
      ratelimit act budget add policy.toml acct-17 spend=5.00 --reason outage
      ratelimit act budget reset policy.toml acct-17

    ACCOUNT is as the application writes it, or a hash as any screen shows it. `ratelimit show budget` shows
    the numbers, and `ratelimit show acts` what is in force. `ratelimit act undo` takes it back.
    """


@click.command("budget")
@click.argument("policy")
@click.argument("account")
@_IDENTITY
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_budget_command(policy: str, account: str, identity: str | None, as_json: bool) -> None:
    """Show what a customer has of each limit that counts by it: its number, and what is used and left.

    \b
    Example:
      ratelimit show budget policy.toml acct-17

    While the server is away it shows what this host's share has left, with exit code 4.
    """
    with knowledge_of(with_limits_in_code(load_to_show(policy))) as known:
        caller = resolve(known, account, identity)
        if known.is_away:
            _show_here(known, caller, as_json=as_json)
        found = budgets_of(known, caller)
        payers = {payer: its for payer in payers_of(known, caller) if (its := budgets_of(known, payer))}
        if as_json:
            of_payers = [
                {**budgets_json(payer, its), "accounts": known.accounts_with(payer.hash)}
                for payer, its in payers.items()
            ]
            print_json({**budgets_json(caller, found), "payers": of_payers})
            return
        if not found:
            note(f"No limit counts by {caller.identity} alone.")
        _print(known, caller, found)
        for payer, its in payers.items():
            out().print()
            say(out(), Text(counts_words(known, payer), "yellow"))
            _print(known, payer, its)


def _show_here(known: Knowledge, caller: Caller, *, as_json: bool) -> None:
    """Show what a customer has of this host's shares; nothing where no worker here decides by them.

    Raises:
        Failure: the server is away, after what is shown.
    """
    there = stand_in(known, known.row_of({position_of(known, caller): caller.hash}))
    if there is None:
        return
    outage, found = outage_of(known.deployment.policy, known.here), budgets_here(known, caller, there)
    if as_json:
        print_json({**budgets_json(caller, found), "outage": outage.as_json()})
    else:
        _print(known, caller, found)
        for weight, words in share_words(there):
            say(out(), Text(words, weight))
    raise Failure(outage.words.rstrip("."), DEPLOYMENT)


def _print(known: Knowledge, caller: Caller, found: Sequence[Budget]) -> None:
    """Write what one customer has."""
    if found:
        plans = noted_plans(known, caller.hashes)
        found = [each for each in found if plans.may_be(each.rule)]
        out().print(_table(found))
        for words in dict.fromkeys(plans.words(each.rule) for each in found):
            if words:
                note(f"Its plan: {words}.")
        if any(plans.own(each.rule) is None for each in found):
            note("Which plan a customer has is known when it asks; it has the limits of that one alone.")
        now_ns = known.bound.store.clock.now_ns()
        for each in found:
            if each.act is not None:
                note(f"{changed_words(each.whole or each.rule, each.act, now_ns)}.")
        if any(each.is_told for each in found):
            note("Where the application says a number with each request, that number goes before the rate.")


@act_budget_command.command("set", short_help="Put numbers in place of a customer's, for a while.")
@click.argument("policy")
@click.argument("account")
@click.argument("numbers", nargs=-1, required=True, metavar="LIMIT=NUMBER...")
@_IDENTITY
@acting
def set_command(asking: Asking, account: str, numbers: tuple[str, ...], identity: str | None) -> None:
    """Put numbers in place of those that a customer has, for a while.

    NUMBER is in the limit's unit and period, such as `600` or `600/minute`. It goes before what the
    application says. In a window the units that were used stay used. A bucket keeps the share that is
    used: half of 600 is half of 60. Its burst changes in proportion, to 1 at least; it is not set apart.

    \b
    Example:
      ratelimit act budget set policy.toml acct-17 requests=600/minute --for 7d
    """
    _act(asking, account, numbers, "set", identity)


@act_budget_command.command("add", short_help="Add units to what a customer has in this window.")
@click.argument("policy")
@click.argument("account")
@click.argument("numbers", nargs=-1, required=True, metavar="LIMIT=UNITS...")
@_IDENTITY
@click.option("--once", metavar="NAME", default="", help="Name of this call: repeated, it adds nothing more.")
@acting
def add_command(
    asking: Asking, account: str, numbers: tuple[str, ...], identity: str | None, once: str
) -> None:
    """Add units to what a customer has, until its window ends.

    The next window is as before. A bucket has no window: it gets units back, and is full at most.
    A lifetime has them until they are used: so a prepaid balance is paid in.

    \b
    Example:
      ratelimit act budget add policy.toml acct-17 spend=5.00 --reason outage
      ratelimit act budget add policy.toml acct-17 credit=20 --once "invoice 4711"
    """
    _act(asking, account, numbers, "add", identity, once)


@act_budget_command.command("reset", short_help="Let a customer begin this window anew.")
@click.argument("policy")
@click.argument("account")
@click.argument("limits", nargs=-1, metavar="[LIMIT...]")
@_IDENTITY
@acting
def reset_command(asking: Asking, account: str, limits: tuple[str, ...], identity: str | None) -> None:
    """Let a customer begin its window anew: what it used until now is added to what it has.

    Without LIMIT every limit that counts by this customer alone. A bucket is full again.

    \b
    Example:
      ratelimit act budget reset policy.toml acct-17 requests
    """
    _act(asking, account, limits, "reset", identity)


def _act(
    asking: Asking, account: str, written: Sequence[str], word: Word, identity: str | None, once: str = ""
) -> None:
    known = asking.known
    if once and not asking.is_dry:
        caller = resolve(known, account, identity)
        (caller, asked), *others = parted(known, caller, written)
        if others:
            raise Failure("limits of a customer and of its payer are two calls, each with a name", USAGE)
        try:
            before = made_once(known, word, caller, asked, None, once)
            if before is not None:
                asking.tell_once(before)
                return
            change = partial(change_once, known, word, caller, asked, for_ns=None, once=once)
            proposed = proposal.budgets(known, word, account, written, identity)
            asking.go_once(proposed, partial(change, reason=asking.reason, by=asking.by))
        except UsageError as error:
            raise Failure(f"nothing was done: {error} [{error.code}]", INPUT) from error
        return
    for made in proposal.budgets(known, word, account, written, identity):
        asking.go(made)


def _table(found: Sequence[Budget]) -> Table:
    table = table_of("limit", "has", "by", "used", "left")
    for each in found:
        rule = each.rule
        name = formatting.of_plan(rule, [one.rule for one in found])
        added = f", {formatting.amount(each.left.paid, rule.unit)} added" if each.left.paid else ""
        owed = f", {formatting.amount(each.owed, rule.unit)} owed" if each.owed else ""
        left = formatting.amount(each.left.remaining, rule.unit) + owed
        table.add_row(
            Text(name, "bold" if rule.tier is None else "dim"),
            f"{formatting.rate(rule)}{added}",
            f"{each.by}, or the application" if each.is_told else each.by,
            formatting.amount(each.used, rule.unit),
            ", ".join(filter(None, (left, wait_words(each.left)))),
        )
    return table
