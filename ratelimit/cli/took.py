"""`ratelimit show took`: which callers took most of each limit, on all hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
from rich.table import Table

from ratelimit.cli.failure import DEPLOYMENT, USAGE, Failure
from ratelimit.cli.journal import entry_names
from ratelimit.cli.loading import load_to_act
from ratelimit.cli.terminal import Text, note, out, print_json
from ratelimit.environment.spelling import nearest
from ratelimit.inspection import formatting
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.journal import Entry, Wanted
from ratelimit.inspection.takings import SPANS, Taker, time_words, took_most
from ratelimit.integrations.asked_limits import with_limits_in_code
from ratelimit.policy.compile.compiled import CompiledPolicy

MOST_OF_EACH, MOST_OF_ONE = 5, 20


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
    found = took_most(loaded, whole, span)
    wanted = Wanted(entry_names(loaded, names)) if names else None
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
        print_json({"begin": begin, "end": end, "hosts": list(found.hosts), "limits": shown})
    elif not by_limit:
        note("Nobody took anything of a limit within this time, as far as hosts noted it.")
    else:
        out().print(_table(by_limit, whole.compiled))
        note(f"{time_words(found)}. Each host notes the ten that took most in an hour: sums are the least.")
        first = next(iter(by_limit.values()))[0]
        note(f"`ratelimit who {policy} {short_hash(first.hash)}` shows a caller: its limits, actor and acts.")
    if found.trouble:
        raise Failure(found.trouble.rstrip("."), DEPLOYMENT)


def _is_wanted(wanted: Wanted | None, limit: str, taker: Taker) -> bool:
    hosts = tuple(sorted(taker.hosts))
    return wanted is None or wanted.has(
        Entry(0, ", ".join(hosts), "", f"{taker.hash:016x}", "", {"limit": limit}, hosts=hosts)
    )


def _table(by_limit: Mapping[str, Sequence[Taker]], compiled: CompiledPolicy) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("limit", "caller"):
        table.add_column(title, overflow="fold")
    table.add_column("took at least", justify="right")
    table.add_column("on", overflow="fold")
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
