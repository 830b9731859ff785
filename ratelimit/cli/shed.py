"""`ratelimit show shed`: which accounts this host shed for want of room, or in shadow would have, and why."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any

import click
from rich.table import Table

from ratelimit.cli.failure import DEPLOYMENT, USAGE, Failure
from ratelimit.cli.loading import load_to_show
from ratelimit.cli.terminal import Text, note, out, print_json
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.environment.spelling import nearest
from ratelimit.inspection import formatting
from ratelimit.inspection.access.attachment import attach
from ratelimit.inspection.hosts.refused import hashes_of
from ratelimit.inspection.identities import short_hash
from ratelimit.load.compile import class_names, loads_of
from ratelimit.load.memory import SharedInFlight
from ratelimit.load.shed import ShedAccount, shed_accounts
from ratelimit.load.values import known_values, value_name

_WIDE = 96
"""Where a terminal has fewer columns, what is shed a minute is left out."""
_LONGEST_WHOLE = 16
"""Names of classes up to this length are never cut."""


@click.command("shed")
@click.argument("policy")
@click.option("--group", metavar="NAME", help="Only what the `[[adaptive]]` of this name shed.")
@click.option("--class", "class_", metavar="NAME", help="Only accounts of this class.")
@click.option(
    "--most", type=click.IntRange(1, 4096), default=20, show_default=True, help="Number of accounts shown."
)
@click.option(
    "--reveal",
    "revealed",
    metavar="VALUE",
    multiple=True,
    help="Look this account up: VALUE, or IDENTITY=VALUE. Its hash is made here and not stored.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def shed_command(
    policy: str,
    group: str | None,
    class_: str | None,
    most: int,
    revealed: tuple[str, ...],
    as_json: bool,
) -> None:
    """List the accounts that `[adaptive]` shed on this host, or in shadow would have, over all workers.

    Accounts are hashes, as in `explain`; no value is stored.
    `--reveal VALUE` makes the hash of a value with the table's key, and shows the lines of that account.

    The most shed come first. "before others" counts requests without room where another account of the
    class would have had room. Accounts with no reason to go first are shed `at random`.

    \b
    Examples:
      ratelimit show shed policy.toml
      ratelimit show shed policy.toml --class batch --most 50 --json
      ratelimit show shed policy.toml --reveal acct-17

    Covers the last hour, for up to 4,096 accounts on this host. Exit code 4 if no
    worker of this user has run the policy here.
    """
    loaded = load_to_show(policy)
    specs = loads_of(loaded.compiled)
    if not specs:
        hint = "`ratelimit show refused` has what limits refuse; docs/adaptive.md explains [adaptive]."
        raise Failure(f"{loaded.name} sheds nothing: it has no [adaptive]", USAGE, hint=hint)
    _check_name(loaded.name, "[[adaptive]]", group, [spec.name for spec in specs])
    specs = tuple(spec for spec in specs if group in (None, spec.name))
    _check_name(loaded.name, "class", class_, list(dict.fromkeys(chain(*map(class_names, specs)))))
    with ExitStack() as stack:
        store = attach(loaded)
        stack.callback(store.close)
        key = store.hasher.key
        named = [
            (spec, name)
            for spec in specs
            for name in (
                spec.name,
                *(value_name(spec.name, value) for _, value in known_values(store.place, key, spec.name)),
            )
        ]
        flights = [SharedInFlight.existing(store.place, key, name) for _, name in named]
        for flight in flights:
            if flight is not None:
                stack.callback(flight.close)
        if all(flight is None for flight in flights):
            hint = "Workers that started before [adaptive] was there take it up with the next reload."
            raise Failure(f"no worker counts what is in flight for {loaded.name}", DEPLOYMENT, hint=hint)
        bound = BoundPolicy(loaded.compiled, store, store.clock.now_ns(), diagnose=lambda code: None)
        known = {
            hashed: given
            for (position, hashed), given in hashes_of(bound, revealed).items()
            if position == bound.payer_at
        }
        found = [
            each
            for (spec, _), flight in zip(named, flights, strict=True)
            if flight is not None
            for each in shed_accounts(spec, store.table, flight, store.clock.now_ns(), known)
        ]
        found.sort(key=lambda each: (-each.total, each.rank, each.account))
        per = loaded.compiled.identities[bound.payer_at].name if bound.payer_at >= 0 else "account"
    if class_ is not None:
        found = [each for each in found if each.class_ == class_]
    if revealed:
        found = [each for each in found if each.given is not None]
    if as_json:
        modes = {spec.name: "shadow" if spec.shadow else "enforce" for spec in specs}
        shown = [{**_json(each, per), "mode": modes[each.group]} for each in found[:most]]
        print_json({"modes": modes, "shed": shown, "accounts": len(found)})
        return
    if not found:
        asked = f"Nothing of {', '.join(revealed)}" if revealed else "Nothing"
        note(f"{asked} was shed on this host within the last hour.")
        return
    console = out()
    has_groups, has_given, is_wide = len(specs) > 1, bool(revealed), console.width >= _WIDE
    console.print(_table(found[:most], per, has_groups=has_groups, has_given=has_given, is_wide=is_wide))
    if len(found) > most:
        note(f"and {len(found) - most:,} more accounts; --most says how many are shown")
    if any(each.priority.verdict != "none" for each in found[:most]):
        note(f"`ratelimit show actors {policy}` says more about actors.")


def _check_name(policy: str, what: str, given: str | None, names: Sequence[str]) -> None:
    if given is None or given in names:
        return
    near = nearest(given, names)
    hint = f"Did you mean `{near}`?" if near else f"It has {', '.join(names)}."
    raise Failure(f"{policy} has no {what} `{given}`", USAGE, hint=hint)


def _table(
    found: Sequence[ShedAccount], per: str, *, has_groups: bool, has_given: bool, is_wide: bool
) -> Table:
    """Return the accounts, a line each; what has happened to none of them has no column."""
    was_shed, would_be = any(each.shed for each in found), any(each.would_shed for each in found)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    names = min(_LONGEST_WHOLE, max(len(each.class_) for each in found))
    if has_groups:
        table.add_column("group", overflow="fold")
    table.add_column("class", overflow="fold", min_width=names)
    table.add_column(per, overflow="fold", min_width=len(short_hash(0)))
    counts = [("shed", was_shed), ("in shadow", would_be), ("before others", True), ("over", is_wide)]
    for title in (title for title, is_shown in counts if is_shown):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("last (UTC)", no_wrap=True)
    table.add_column("behind others as", overflow="fold")
    if has_given:
        table.add_column("is", overflow="fold")
    for each in found:
        about = "≤ " if each.uncertain * 10 > each.total else ""
        cells = (
            (Text(f"{about}{each.shed:,}", "red" if each.shed else "dim"), was_shed),
            (Text(f"{about}{each.would_shed:,}", "yellow" if each.would_shed else "dim"), would_be),
            (Text(f"{each.before_others:,}"), True),
            (Text(formatting.span(each.since_ns, each.last_ns)), is_wide),
        )
        table.add_row(
            *((each.group,) if has_groups else ()),
            Text(each.class_, "bold"),
            Text(short_hash(each.account), "yellow") if each.account else f"no {per}",
            *(cell for cell, is_shown in cells if is_shown),
            formatting.instant(each.last_ns)[11:],
            each.why.removesuffix(" of accounts"),
            *((Text(each.given or "", "cyan"),) if has_given else ()),
        )
    return table


def _json(each: ShedAccount, per: str) -> dict[str, Any]:
    priority = each.priority
    return {
        "group": each.group,
        "class": each.class_,
        "per": per,
        "hash": short_hash(each.account) if each.account else None,
        "key": f"{each.account:016x}" if each.account else None,
        "shed": each.shed,
        "would_shed": each.would_shed,
        "before_others": each.before_others,
        "uncertain": each.uncertain,
        "within_seconds": round((each.last_ns - each.since_ns) / 1e9),
        "since": formatting.iso(each.since_ns),
        "last": formatting.iso(each.last_ns),
        "why": each.why,
        "verdict": None if priority.verdict == "none" else priority.verdict,
        "factor": round(priority.factor, 3),
        "heavier_than": round(priority.lighter, 3),
        **({} if each.given is None else {"given": each.given}),
    }
