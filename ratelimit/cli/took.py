"""`ratelimit show took`: which callers took most of each limit, on all hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

import click
from rich.table import Table

from ratelimit.cli.failure import DEPLOYMENT, USAGE, Failure
from ratelimit.cli.journal import callers_of, hashes_of_callers
from ratelimit.cli.loading import load_to_act
from ratelimit.cli.terminal import Text, note, out, print_json, say, table_of
from ratelimit.clock import SystemClock
from ratelimit.core.memory.takings import MOST_TAKERS
from ratelimit.correlation.overview import Overview
from ratelimit.decision import VERDICTS
from ratelimit.environment.spelling import nearest
from ratelimit.inspection import formatting
from ratelimit.inspection.callers.knowledge import Knowledge, knowledge_of
from ratelimit.inspection.callers.naming import Caller
from ratelimit.inspection.callers.takings import (
    SPANS,
    Campaign,
    Taker,
    Takings,
    bounds_of,
    campaign_of,
    noted_and_now,
    takings_within,
    time_words,
)
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.journal.entries import HOUR_NS, Entry, Wanted
from ratelimit.integrations.asked_limits import with_limits_in_code
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy

MOST_OF_EACH, MOST_OF_ONE = 5, 20
TOOK = "Took: requests allowed; tokens and dollars as charged."


@click.command("took")
@click.argument("policy")
@click.option(
    "--within",
    "span",
    type=click.Choice([*SPANS]),
    default="1h",
    show_default=True,
    help="The time; the hour under way is in it.",
)
@click.option("--limit", "limit", metavar="NAME", help="Only what callers took of this limit.")
@click.option("--of", "names", multiple=True, metavar="NAME", help="Only this caller.")
@click.option(
    "--most",
    type=click.IntRange(1, 4096),
    help=f"Number of callers of each limit; {MOST_OF_EACH} by default, {MOST_OF_ONE} of one limit.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def took_command(
    policy: str, span: str, limit: str | None, names: tuple[str, ...], most: int | None, as_json: bool
) -> None:
    """List the callers that took most of each limit, in its own units, on all hosts.

    \b
    Examples:
      ratelimit show took policy.toml
      ratelimit show took policy.toml --within 7d --limit tokens
      ratelimit show took policy.toml --of acct-17 --json
      ratelimit show took policy.toml --of 9f3c2a1b

    Of an actor, or of an account that is in one, it shows what all accounts of the actor took: within the
    time, today, and since the actor was found.

    Took counts what limits let through: requests that they allowed, tokens and dollars as charged. Asked
    counts every request, allowed or refused.

    Each host notes the ten callers that took most of a limit in an hour, so a sum is the least that a caller
    took. Exit code 4 if a host does not answer, which is named.
    """
    loaded = load_to_act(policy)
    whole = with_limits_in_code(loaded)
    limits = [each.name for each in whole.compiled.limits]
    if limit is not None and limit not in limits:
        near = nearest(limit, limits)
        hint = f"Did you mean `{near}`?" if near else f"It has {', '.join(limits)}."
        raise Failure(f"{loaded.name} has no limit `{limit}`", USAGE, hint=hint)
    begin_ns, end_ns = bounds_of(span, SystemClock().now_ns())
    with ExitStack() as stack:
        wanted, campaigns = None, []
        known = _known(stack, loaded, names)
        callers = {} if known is None else callers_of(known, names)
        actors = [] if known is None else _actors_of(known, callers.values())
        since_ns = min([begin_ns, *(each.first_s * 10**9 // HOUR_NS * HOUR_NS for each in actors)])
        noted, now = noted_and_now(loaded, whole, since_ns)
        if names:
            wanted = Wanted([*names, *(() if known is None else hashes_of_callers(known, callers.values()))])
        if known is not None:
            campaigns = [campaign_of(known, each, whole, noted, now, span) for each in actors]
    found = takings_within(whole.compiled, noted, now, begin_ns, end_ns)
    most = most or (MOST_OF_EACH if limit is None else MOST_OF_ONE)
    by_limit = {
        name: chosen
        for name, takers in found.limits.items()
        if limit in (None, name)
        if (chosen := [each for each in takers if _is_wanted(wanted, name, each)][:most])
    }
    if as_json:
        shown = {name: [each.as_json() for each in takers] for name, takers in by_limit.items()}
        begin, end = formatting.iso(found.begin_ns), formatting.iso(found.end_ns)
        said = {"begin": begin, "end": end, "hosts": list(found.hosts), "limits": shown}
        print_json({**said, "actors": [each.as_json() for each in campaigns]})
    else:
        for each in campaigns:
            _print_campaign(policy, each, whole.compiled)
        _print_callers(policy, found, by_limit, whole.compiled, is_brief=bool(campaigns))
    if found.without and not as_json:
        note(found.without)
    if found.trouble:
        raise Failure(found.trouble.rstrip("."), DEPLOYMENT)


def _known(stack: ExitStack, policy: Policy, names: Sequence[str]) -> Knowledge | None:
    """Open what a host knows of callers, if the command names any."""
    if not names:
        return None
    try:
        return stack.enter_context(knowledge_of(policy))
    except InspectionFailure as failure:
        note(f"{', '.join(names)} cannot be looked up: {failure}")
        return None


def _actors_of(known: Knowledge, callers: Iterable[Caller]) -> list[Overview]:
    """Return the actors that callers are, or are accounts of."""
    identities = dict.fromkeys(
        each.hash if each.what == "actor" else known.membership(each.hash)[0]
        for each in callers
        if each.what in ("actor", "account")
    )
    found = [known.actor(each) for each in identities if each is not None]
    return [each for each in found if each is not None]


def _print_campaign(policy: str, campaign: Campaign, compiled: CompiledPolicy) -> None:
    """Write what an actor took, and how much of that is known."""
    console, actor = out(), campaign.actor
    head = Text("actor ") + Text(short_hash(actor.identity), "bold yellow")
    verdict = formatting.verdict_words(VERDICTS[actor.verdict], compiled.rules)
    head += Text(f"  {campaign.ruled}", "cyan") if campaign.ruled else ""
    head += Text(f"  {verdict}" if verdict else "")
    head += Text(f"  {formatting.count(len(actor.members), 'account')}")
    say(console, head + Text(f", found {formatting.instant(actor.first_s * 10**9)} UTC"))
    said = f"  all its accounts asked: {formatting.taken(campaign.requests, campaign.watched_ns)}"
    say(console, Text(f"{said}; up to {formatting.instant(campaign.as_of_ns)[11:]}"))
    if campaign.limits:
        console.print(_campaign_table(campaign))
        first = min(each.first_ns for each in campaign.limits)
        hosts = ", ".join(sorted({host for each in campaign.limits for host in each.hosts}))
        since = f"{formatting.instant(first)[:16]} UTC"
        note(
            f"Known from {since}, on {hosts}. The day begins at 00:00 UTC; the hour in which it was found is "
            "counted whole. Sums are the least."
        )
    else:
        note("Of what it took of limits nothing is noted.")
    if campaign.uncounted:
        units = ", ".join(campaign.uncounted)
        note(
            f"{units}: counted by the account. A host remembers some {MOST_TAKERS:,} callers an hour, so of "
            'many small accounts it is a part. A limit with per = "cluster" in that unit, be it in shadow, '
            "counts all."
        )
    note(f"`ratelimit who {policy} {short_hash(actor.identity)}`: its limits, refusals and acts.")


def _campaign_table(campaign: Campaign) -> Table:
    table = table_of("took at least", *(f"{span}>" for span in campaign.spans), "unit")
    for each in campaign.limits:
        rule = each.rule
        units = [found[rule.name].units if rule.name in found else 0 for found in campaign.spans.values()]
        shown = [formatting.amount(number, rule.unit).removesuffix(f" {rule.unit}") for number in units]
        unit = f"{rule.unit}, by its accounts" if each.is_by_account else rule.unit
        table.add_row(Text(rule.name, "bold"), *shown, Text(unit, "dim"))
    return table


def _print_callers(
    policy: str,
    found: Takings,
    by_limit: Mapping[str, Sequence[Taker]],
    compiled: CompiledPolicy,
    *,
    is_brief: bool,
) -> None:
    """Write the callers that took most; `is_brief` if it was said before what an actor took."""
    if not by_limit:
        if not is_brief:
            note("Nobody took anything of a limit within this time, as far as hosts noted it.")
        return
    if is_brief:
        out().print()
    out().print(_table(by_limit, compiled))
    note(
        f"{time_words(found)}. {TOOK} Each host notes the ten that took most in an hour: sums are the least."
    )
    if not is_brief:
        first = next(iter(by_limit.values()))[0]
        note(f"`ratelimit who {policy} {short_hash(first.hash)}` shows a caller: its limits, actor and acts.")
        note(
            f"`ratelimit show refused {policy}` has those whom limits refused, and what larger ones would do."
        )


def _is_wanted(wanted: Wanted | None, limit: str, taker: Taker) -> bool:
    hosts = tuple(sorted(taker.hosts))
    return wanted is None or wanted.has(
        Entry(0, ", ".join(hosts), "", f"{taker.hash:016x}", "", {"limit": limit}, hosts=hosts)
    )


def _table(by_limit: Mapping[str, Sequence[Taker]], compiled: CompiledPolicy) -> Table:
    table = table_of("limit", "caller", "took at least>", "on")
    for limit, takers in by_limit.items():
        for at, each in enumerate(takers):
            whom = "actor" if each.is_actor else formatting.per(each.rule, compiled)
            table.add_row(
                Text("" if at else limit, "bold"),
                Text(f"{whom} ") + Text(short_hash(each.hash), "yellow"),
                each.amount,
                ", ".join(sorted(each.hosts)),
            )
    return table
