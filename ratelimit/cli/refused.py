"""`ratelimit show refused`: which callers this host's limits refuse most."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import click
from rich.table import Table

from ratelimit.cli.failure import USAGE, Failure
from ratelimit.cli.loading import load_to_show
from ratelimit.cli.terminal import Text, note, out, print_json
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.denials import DENY_LIST
from ratelimit.environment.spelling import nearest
from ratelimit.inspection import formatting
from ratelimit.inspection.acts import known_log
from ratelimit.inspection.attachment import attach
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.refused import (
    DeniedCaller,
    RefusedCaller,
    denied_callers,
    hashes_of,
    refused_callers,
)
from ratelimit.integrations.asked_limits import with_limits_in_code


@click.command("refused")
@click.argument("policy")
@click.option("--limit", "limit", metavar="NAME", help="Only what this limit refused.")
@click.option(
    "--most", type=click.IntRange(1, 4096), default=20, show_default=True, help="Number of callers shown."
)
@click.option(
    "--reveal",
    "revealed",
    metavar="VALUE",
    multiple=True,
    help="Look this caller up: VALUE, or IDENTITY=VALUE. Its hash is made here and not stored.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def refused_command(
    policy: str, limit: str | None, most: int, revealed: tuple[str, ...], as_json: bool
) -> None:
    """List the callers that this host's limits refuse most, over all workers.

    Callers are hashes, as in `explain`; the table holds no value.
    `--reveal VALUE` makes the hash of a value with the table's key, and shows the lines of that caller.

    \b
    Examples:
      ratelimit show refused policy.toml
      ratelimit show refused policy.toml --limit requests --most 50 --json
      ratelimit show refused policy.toml --reveal account=acct-17

    Covers refusals of the last hour, for up to 4,096 callers on this host; also those that a limit in shadow
    would have made, which come last. Exit code 4 if no worker of this user has run the policy here.
    """
    loaded = with_limits_in_code(load_to_show(policy))
    names = [each.name for each in loaded.compiled.limits]
    if limit is not None and limit not in (*names, DENY_LIST):
        near = nearest(limit, names)
        hint = f"Did you mean `{near}`?" if near else f"It has {', '.join(names)}."
        raise Failure(f"{loaded.name} has no limit `{limit}`", USAGE, hint=hint)
    with ExitStack() as stack:
        store = attach(loaded)
        stack.callback(store.close)
        bound = BoundPolicy(loaded.compiled, store, store.clock.now_ns(), diagnose=lambda code: None)
        known = hashes_of(bound, revealed)
        found: list[RefusedCaller | DeniedCaller] = [*refused_callers(loaded.compiled, store, known)]
        found += denied_callers(loaded.compiled, store, known, known_log(loaded))
        found.sort(key=lambda each: (each.in_shadow, -each.refused))
    if limit == DENY_LIST:
        found = [each for each in found if isinstance(each, DeniedCaller)]
    elif limit is not None:
        index = names.index(limit)
        found = [each for each in found if isinstance(each, RefusedCaller) and each.rule.limit == index]
    if revealed:
        found = [each for each in found if each.given is not None]
    if as_json:
        print_json({"refused": [_json(each) for each in found[:most]], "callers": len(found)})
        return
    if not found:
        asked = f"No limit refused {', '.join(revealed)}" if revealed else "No caller was refused"
        note(f"{asked} on this host within the last hour.")
        return
    out().print(_table(found[:most], has_given=bool(revealed)))
    if len(found) > most:
        note(f"and {len(found) - most:,} more callers; --most says how many are shown")
    if any(each.is_actor for each in found[:most]):
        note(f"`ratelimit show actors {policy}` says more about clusters.")
    note(f"`ratelimit who {policy} {short_hash(found[0].hash)}` shows a caller: its limits, actor and acts.")
    if loaded.compiled.remote is not None:
        note(f"These are this host's; `ratelimit top {policy}` has the callers of all hosts.")


def _table(found: Sequence[RefusedCaller | DeniedCaller], *, has_given: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("limit", overflow="fold")
    table.add_column("caller", overflow="fold")
    for title in ("refused", "over", "a minute"):
        table.add_column(title, justify="right")
    table.add_column("last (UTC)")
    if has_given:
        table.add_column("is", overflow="fold")
    for each in found:
        about = "≤ " if each.uncertain * 10 > each.refused else ""
        table.add_row(
            Text(each.refuser, "bold") + Text("  in shadow" if each.in_shadow else "", "not bold yellow"),
            Text(f"{'cluster' if each.is_actor else each.per} ") + Text(short_hash(each.hash), "yellow"),
            Text(f"{about}{each.refused:,}", "yellow" if each.in_shadow else "red"),
            formatting.span(each.since_ns, each.last_ns),
            formatting.a_minute(each.refused, each.since_ns, each.last_ns),
            formatting.instant(each.last_ns)[11:],
            *((Text(each.given or "", "cyan"),) if has_given else ()),
        )
    return table


def _json(each: RefusedCaller | DeniedCaller) -> dict[str, Any]:
    return {
        "limit": DENY_LIST if isinstance(each, DeniedCaller) else each.rule.name,
        "act": each.act or None if isinstance(each, DeniedCaller) else None,
        "per": "actor" if each.is_actor else each.per,
        "hash": short_hash(each.hash),
        "key": f"{each.hash:016x}",
        "refused": each.refused,
        "uncertain": each.uncertain,
        "in_shadow": each.in_shadow,
        "within_seconds": round((each.last_ns - each.since_ns) / 1e9),
        "since": formatting.iso(each.since_ns),
        "last": formatting.iso(each.last_ns),
        **({} if each.given is None else {"given": each.given}),
    }
