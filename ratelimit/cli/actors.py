"""`ratelimit show actors` and `ratelimit show accounts`: the actors, their accounts, and what they use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ratelimit.cli.failure import DEPLOYMENT, INPUT, USAGE, Failure
from ratelimit.cli.loading import load_to_show
from ratelimit.cli.terminal import Text, note, out, print_json, say, table_of
from ratelimit.correlation.overview import Overview
from ratelimit.decision import VERDICTS, cluster_name
from ratelimit.inspection import formatting
from ratelimit.inspection.actors.actors_here import ActorHere, actors_here, is_unreachable
from ratelimit.inspection.actors.glance import Glance, glance_at, in_order
from ratelimit.inspection.actors.running import look, revealed_hashes
from ratelimit.inspection.actors.saved import Actor, Member, Use, actors_of, is_held, members_of
from ratelimit.inspection.acts.rulings import RULED
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.refused import RefusedCaller
from ratelimit.inspection.identities import short_hash
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import LimitRule

_COLOURS = {"certain": "yellow", "likely": "cyan", None: "green"}


@click.command("actors")
@click.argument("policy")
@click.option(
    "--most", type=click.IntRange(1, 4096), default=20, show_default=True, help="Number of actors shown."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def actors_command(policy: str, most: int, as_json: bool) -> None:
    """List the actors of the running correlator: accounts that it takes for one, and why.

    The surest come first, and of one verdict those with the traffic of most exits. Several are set side by
    side, in the numbers by which one hand differs from an organisation. Each has what operators ruled, its
    verdict, its age, its accounts, and how much of each limit per actor it has used; then what it asked, this
    host's refusals within the last hour, and the evidence in words.

    \b
    Examples:
      ratelimit show actors policy.toml
      ratelimit show actors policy.toml --json

    Actors are as the correlator last saved them, which it does as soon as one is found, otherwise every
    minute; budgets are those of now. While the server is away they are those that this host decides by,
    without evidence and budgets. Exit code 4 then, if no worker runs, or the correlator has not saved yet.
    """
    loaded = load_to_show(policy)
    try:
        _show_actors(policy, loaded, most, as_json=as_json)
    except InspectionFailure as failure:
        if loaded.compiled.remote is None or not is_unreachable(failure):
            raise
        _show_actors_here(loaded, most, as_json=as_json)


def _show_actors_here(policy: Policy, most: int, *, as_json: bool) -> None:
    """Write what this host knows of actors while the server is away, and what is missing."""
    here = actors_here(policy)
    rules = policy.compiled.rules
    if as_json:
        actors = [_actor_here_json(each, rules) for each in here.actors[:most]]
        as_of = formatting.iso(here.heard_ns) if here.heard_ns else None
        print_json(
            {"as_of": as_of, "actors": actors, "found": len(here.actors), "outage": here.outage.as_json()}
        )
    else:
        console = out()
        for each in here.actors[:most]:
            verdict = VERDICTS[each.verdict]
            head = Text(short_hash(each.identity), "bold yellow")
            head += Text(f"  {formatting.verdict_words(verdict, rules)}", _COLOURS[verdict])
            head += Text(f"  {each.accounts}")
            say(console, head + _refusals(each.refused))
        if len(here.actors) > most:
            note(f"and {len(here.actors) - most:,} smaller actors; --most says how many are shown")
        if not here.actors:
            note("No actor is known on this host.")
        age = f", as it heard up to {formatting.instant(here.heard_ns)} UTC" if here.heard_ns else ""
        note(f"These are the actors by which this host decides{age}.")
        if any(each.at_least < each.at_most for each in here.actors[:most]):
            note("It counts an actor's own payment methods with its accounts: so these are from … to ….")
        note("Missing: evidence, rulings, requests and budgets, which are with the server.")
    raise Failure(here.outage.words.rstrip("."), DEPLOYMENT)


def _show_actors(policy: str, loaded: Policy, most: int, *, as_json: bool) -> None:
    with look(loaded) as present:
        found = in_order(present.source.actors)
        actors = actors_of(present.source, found[:most], present.budget, present.refused)
        as_of_ns, rules = present.source.correlator.now_ns, present.bound.compiled.rules
        glances = [glance_at(present.source, each.found, rules) for each in actors]
        rulings = [present.source.ruled(each.found) for each in actors]
    if as_json:
        shown = [_actor_json(*each, rules) for each in zip(actors, glances, rulings, strict=True)]
        told = {"as_of": formatting.iso(as_of_ns), "actors": shown}
        print_json({**told, "found": len(found)})
        return
    if not found:
        note(f"No actor is known; evidence up to {formatting.instant(as_of_ns)} UTC.")
        return
    console = out()
    if len(actors) > 1:
        console.print(_side_by_side(actors, glances, rulings, rules))
        console.print()
    for number, (actor, glance, ruling) in enumerate(zip(actors, glances, rulings, strict=True)):
        if number:
            console.print()
        _print_actor(console, actor, glance, ruling, rules)
    note(f"evidence up to {formatting.instant(as_of_ns)} UTC; refusals are this host's, of the last hour")
    if len(found) > most:
        note(f"and {len(found) - most:,} smaller actors; --most says how many are shown")
    note(f"`ratelimit show accounts {policy} ACTOR` has their accounts")
    note(next_acts(policy, [actor.found.verdict for actor in actors]))


def next_acts(policy: str, verdicts: Sequence[int]) -> str:
    """Return which acts may follow, and what it means that an actor is likely, if one is."""
    clears = f"`ratelimit act clear {policy} ACTOR` frees one"
    if "likely" not in {VERDICTS[each] for each in verdicts}:
        return clears
    meaning = "no limit refuses a likely one, unless the policy says so"
    return f"{meaning}; `ratelimit act confirm {policy} ACTOR` makes it certain, {clears}"


def _side_by_side(
    actors: Sequence[Actor], glances: Sequence[Glance], rulings: Sequence[str], rules: Sequence[LimitRule]
) -> Table:
    """Return the numbers of several actors, to compare."""
    numbers = ("accounts>", "pay\nmethods>", "accounts\nper address>", "at\nhome>", "new>", "joined\nin 1 h>")
    table = table_of("actor", "verdict", *numbers, "asked>")
    for actor, glance, ruling in zip(actors, glances, rulings, strict=True):
        table.add_row(
            Text(short_hash(actor.found.identity), "yellow"),
            Text((ruling and RULED[str(actor.found.override)]) or _verdict(actor.found, rules)),
            f"{len(actor.found.members):,}",
            f"{glance.payments:,}",
            f"{glance.an_address:.1f}",
            f"{glance.homed:,}",
            f"{glance.new:,}",
            f"{glance.joined:,}",
            formatting.pace(glance.asked, glance.watched_ns),
        )
    return table


def _verdict(found: Overview, rules: Sequence[LimitRule]) -> str:
    return formatting.verdict_words(VERDICTS[found.verdict], rules)


def _print_actor(
    console: Console, actor: Actor, glance: Glance, ruling: str, rules: Sequence[LimitRule]
) -> None:
    found = actor.found
    head = Text(short_hash(found.identity), "bold yellow")
    if ruling:
        head += Text(f"  {ruling}", "cyan")
    if found.override != "clear":  # of which no verdict is left
        head += Text(f"  {_verdict(found, rules)}", _COLOURS[VERDICTS[found.verdict]])
    since = f"  since {formatting.instant(found.first_s * 10**9)} UTC, {_accounts(actor)}"
    head += Text(f";{since}" if ruling else since)
    say(console, head)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for use in actor.uses or ():
        table.add_row("  budget", _use(use, actor.found))
    table.add_row("  asked", _asked(actor, glance))
    table.add_row("  in short", Text(glance.words))
    table.add_row("  evidence", Text(found.words))
    console.print(table)


def _accounts(actor: Actor) -> str:
    members = len(actor.found.members)
    return _of_them(formatting.count(members, "account"), members, actor.certain)


def _of_them(said: str, members: int, certain: int) -> str:
    return said if certain in (0, members) else f"{said}, {certain:,} of them certain"


def _use(use: Use, actor: Overview) -> Text:
    if not is_held(use.rule, actor):
        return Text(f"not held to “{use.rule.name}” ({formatting.rate(use.rule)})", "dim")
    style = "red" if use.used >= use.holds else "yellow" if 5 * use.used >= 4 * use.holds else ""
    unit = use.rule.unit
    used = formatting.amount(use.used, unit).removesuffix(f" {unit}")
    said = Text(f"{formatting.share(use.used, use.holds)} used", style)
    holds = formatting.amount(use.holds, unit)
    return said + Text(f": {used} of {holds} of “{use.rule.name}” ({formatting.rate(use.rule)})")


def _asked(actor: Actor, glance: Glance) -> Text:
    said = Text(formatting.taken(actor.requests, actor.watched_ns))
    if glance.of_budget is not None:
        said += Text(f", {glance.of_budget_words}")
    return said + _refusals(actor.refused)


def _refusals(refused: Sequence[RefusedCaller]) -> Text:
    said = Text("")
    for each in refused:
        said += Text("; ") + Text(f"{each.refused:,} refused", "red")
        said += Text(f" by “{each.rule.name}” since {formatting.instant(each.since_ns)[11:]}")
    return said


def _actor_json(actor: Actor, glance: Glance, ruling: str, rules: Sequence[LimitRule]) -> dict[str, Any]:
    found = actor.found
    return {
        "actor": cluster_name(found.identity),
        "verdict": VERDICTS[found.verdict],
        "held": formatting.holds(VERDICTS[found.verdict], rules),
        "ruling": found.override,
        "ruled": ruling or None,
        "since": formatting.iso(found.first_s * 10**9),
        "young_until": formatting.iso(found.young_until_s * 10**9) if found.young_until_s else None,
        "accounts": len(found.members),
        "certain": actor.certain,
        "budgets": None
        if actor.uses is None
        else [
            {
                "limit": use.rule.name,
                "used": use.used,
                "of": use.holds,
                "held": is_held(use.rule, found),
            }
            for use in actor.uses
        ],
        "asked": actor.requests,
        "asked_a_day": formatting.rounded_a_day(actor.requests, actor.watched_ns),
        "watched_seconds": actor.watched_ns // 10**9,
        "refused": _refusals_json(actor.refused),
        "why": found.why,
        "words": found.words,
        "evidence": found.evidence,
        **glance.as_json(),
    }


def _actor_here_json(each: ActorHere, rules: Sequence[LimitRule]) -> dict[str, Any]:
    return {
        "actor": cluster_name(each.identity),
        "verdict": VERDICTS[each.verdict],
        "held": formatting.holds(VERDICTS[each.verdict], rules),
        "accounts_at_least": each.at_least,
        "accounts_at_most": each.at_most,
        "likely": each.likely,
        "refused": _refusals_json(each.refused),
    }


def _refusals_json(refused: Sequence[RefusedCaller]) -> list[dict[str, Any]]:
    return [
        {"limit": each.rule.name, "refused": each.refused, "since": formatting.iso(each.since_ns)}
        for each in refused
    ]


@click.command("accounts")
@click.argument("policy")
@click.argument("actor")
@click.option(
    "--most", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Number of accounts shown."
)
@click.option(
    "--reveal",
    "revealed",
    metavar="ACCOUNT",
    multiple=True,
    help="Say whether this account is one of them. Its hash is made here and not stored.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def accounts_command(policy: str, actor: str, most: int, revealed: tuple[str, ...], as_json: bool) -> None:
    """List the accounts of ACTOR: their hashes, the certainty of each, and their requests.

    ACTOR is its id in `ratelimit show actors` or `ratelimit show refused`, or the beginning of that.

    \b
    Examples:
      ratelimit show accounts policy.toml 4be0643f
      ratelimit show accounts policy.toml 4be0643f --reveal acct-17

    Exit code 3 if no such actor is known, or if an account to reveal is not one of its accounts.
    """
    with look(load_to_show(policy)) as present:
        found = _named(present.source.actors, actor)
        members: Sequence[Member] = members_of(present.source, found)
        known = revealed_hashes(present.bound, revealed) if revealed else {}
        rules = present.bound.compiled.rules
    missing = sorted(set(known.values()) - {known[each.key] for each in members if each.key in known})
    if known:
        members = [each for each in members if each.key in known]
    if as_json:
        told = [_member_json(each, known) for each in members[:most]]
        print_json({"actor": cluster_name(found.identity), "accounts": told, "found": len(found.members)})
    else:
        out().print(_member_table(members[:most], known, rules))
        if len(members) > most:
            note(f"and {len(members) - most:,} more accounts; --most says how many are shown")
    if missing:
        raise Failure(f"not of this actor: {', '.join(missing)}", INPUT)


def _named(found: Sequence[Overview], actor: str) -> Overview:
    wanted = actor.strip().lower()
    if not wanted or not set(wanted) <= set("0123456789abcdef"):
        raise Failure(f"`{actor}` is no actor: an id is like 4be0643f", USAGE)
    fitting = [each for each in found if f"{each.identity:016x}".startswith(wanted)]
    if not fitting:
        raise Failure(f"no actor has the id {actor}", INPUT, hint="`ratelimit show actors` lists them.")
    if len(fitting) > 1:
        raise Failure(f"{len(fitting)} actors begin with {actor}; write more of the id", USAGE)
    return fitting[0]


def _member_table(members: Sequence[Member], known: dict[int, str], rules: Sequence[LimitRule]) -> Table:
    further = ("first seen (UTC)", "last seen (UTC)", "operator", *(("is",) if known else ()))
    table = table_of("account", "verdict", "asked>", *further)
    for each in members:
        table.add_row(
            Text(short_hash(each.key), "bold"),
            Text(formatting.verdict_words(each.verdict, rules) or "none", _COLOURS.get(each.verdict, "")),
            f"{each.requests:,}",
            formatting.instant(each.first_s * 10**9),
            formatting.instant(each.last_s * 10**9),
            each.override or "",
            *((Text(known.get(each.key, ""), "cyan"),) if known else ()),
        )
    return table


def _member_json(each: Member, known: dict[int, str]) -> dict[str, Any]:
    return {
        "account": f"{each.key:016x}",
        "hash": short_hash(each.key),
        "verdict": each.verdict,
        "ruling": each.override,
        "asked": each.requests,
        "first_seen": formatting.iso(each.first_s * 10**9),
        "last_seen": formatting.iso(each.last_s * 10**9),
        **({"given": known[each.key]} if each.key in known else {}),
    }
