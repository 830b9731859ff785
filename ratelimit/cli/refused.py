"""`ratelimit show refused` and `ratelimit show shed`: callers that limits refuse, or that find no room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any

import click
from rich.table import Table

from ratelimit.cli.failure import DEPLOYMENT, USAGE, Failure, fail_if_unheard
from ratelimit.cli.loading import load_to_show
from ratelimit.cli.terminal import Text, note, out, print_json, table_of
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.denials import DENY_LIST
from ratelimit.environment.spelling import nearest
from ratelimit.inspection import formatting
from ratelimit.inspection.access.attachment import attach
from ratelimit.inspection.acts.held import known_log
from ratelimit.inspection.hosts.moment import AWAY, Refused, refused_of, uncounted
from ratelimit.inspection.hosts.raising import MOST_TIMES, TIMES, Raising, raised_of
from ratelimit.inspection.hosts.refused import hashes_of
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.journal.outage import outage_of
from ratelimit.integrations.asked_limits import with_limits_in_code
from ratelimit.load.compile import class_names, loads_of
from ratelimit.load.memory import SharedInFlight
from ratelimit.load.shed import ShedAccount, shed_accounts
from ratelimit.load.values import known_values, value_name
from ratelimit.policy import Policy
from ratelimit.policy.compile.identities import CLUSTER
from ratelimit.runtime.route_counters import core_of, rows_by_route

MOST_RAISED = 4
"""Limits of which it is said what they would do if they were raised."""


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
@click.option(
    "--times",
    type=click.FloatRange(1, MOST_TIMES, min_open=True),
    default=TIMES,
    show_default=True,
    help="Say what limits would do at so many times their numbers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def refused_command(
    policy: str, limit: str | None, most: int, revealed: tuple[str, ...], times: float, as_json: bool
) -> None:
    """List the callers that limits refuse now, over all workers and all hosts that share the server.

    Callers are hashes, as in `explain`; the table holds no value.
    `--reveal VALUE` makes the hash of a value with the table's key, and shows the lines of that caller.

    \b
    Examples:
      ratelimit show refused policy.toml
      ratelimit show refused policy.toml --limit requests --most 50 --json
      ratelimit show refused policy.toml --reveal account=acct-17
      ratelimit show refused policy.toml --limit requests --times 1.5

    Those come first that were refused most in the last sixty seconds, then those of the last hour: on this
    host of up to 4,096 callers, on each other host of 256. Refusals that a limit in shadow would have made
    come last. Exit code 4 if no worker of this user has run the policy here, or a host does not answer,
    which is named.
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
        log = known_log(loaded)
        found, missing, gone = refused_of(loaded, store, log)
        is_away = any(each.host == AWAY for each in missing)
        outage = outage_of(loaded, store) if is_away else None
        positions = {spec.name: spec.index for spec in loaded.compiled.identities}
        by_route = _by_route(loaded, bound, known)
    given = {
        at: value
        for at in ((each.per, each.hash) for each in found)
        if (value := known.get((positions.get(at[0], -1), at[1]), by_route.get(at))) is not None
    }
    raising = Raising() if missing or gone else raised_of(loaded.compiled, found, log, times, limit)
    if limit is not None:
        found = [each for each in found if each.limit == limit]
    if revealed:
        found = [each for each in found if (each.per, each.hash) in given]
    if as_json:
        lines = [_json(each, given.get((each.per, each.hash))) for each in found[:most]]
        absent = {"missing": [each.host for each in missing], "gone": [each.host for each in gone]}
        twice, away = [each.as_json() for each in raising.found], None if outage is None else outage.as_json()
        print_json(
            {
                "refused": lines,
                "callers": len(found),
                **absent,
                "outage": away,
                "raised": twice,
                "unsaid": [*raising.unsaid],
            }
        )
    elif not found:
        asked = f"No limit refused {', '.join(revealed)}" if revealed else "No caller was refused"
        note(f"{asked} within the last hour.")
        if revealed:
            note("`ratelimit who` looks at its address, payment method and actor, too.")
    else:
        _show(policy, found, most, given if revealed else None, has_hosts=loaded.compiled.remote is not None)
        if not revealed:
            print_raised(policy, raising)
    if gone and not as_json:
        note(uncounted(gone))
    if outage is not None:
        raise Failure(outage.words.rstrip("."), DEPLOYMENT)
    fail_if_unheard([each.named for each in missing])


def _by_route(
    policy: Policy, bound: BoundPolicy, known: Mapping[tuple[int, int], str]
) -> dict[tuple[str, int], str]:
    """Return the same values by the counters of limits in code that count each route by itself."""
    found = {}
    for (position, hashed), value in known.items():
        row = [-1] * len(bound.extractor.anonymous)
        row[position] = hashed
        for rule, rows in rows_by_route(bound, policy.path, row):
            plan = core_of(bound, rule)
            found.update({(formatting.per(rule, policy.compiled), plan.key(0, one)): value for one in rows})
    return found


def _show(
    policy: str,
    found: Sequence[Refused],
    most: int,
    given: Mapping[tuple[str, int], str] | None,
    *,
    has_hosts: bool,
) -> None:
    """Write the callers for people, and which command comes next."""
    out().print(_table(found[:most], given, has_hosts=has_hosts))
    if len(found) > most:
        note(f"and {len(found) - most:,} more callers; --most says how many are shown")
    if any(each.per == CLUSTER for each in found[:most]):
        note(f"`ratelimit show actors {policy}` says more about actors.")
    note(f"`ratelimit who {policy} {short_hash(found[0].hash)}` shows a caller: its limits, actor and acts.")


def print_raised(policy: str, raising: Raising) -> None:
    """Write what limits would do at higher numbers, why others are left out, and which command knows more."""
    for each in raising.found[:MOST_RAISED]:
        note(f"If callers asked as they did, {each.words}.")
    for words in raising.unsaid[:MOST_RAISED]:
        note(words)
    note(
        f"`ratelimit diff {policy} NEW.toml access.log` says what other numbers change, by a log of "
        'requests. A second limit with them and mode = "shadow" says it live.'
    )


def _table(
    found: Sequence[Refused], given: Mapping[tuple[str, int], str] | None, *, has_hosts: bool
) -> Table:
    further = [*(["on"] if has_hosts else []), *(["is"] if given is not None else [])]
    table = table_of("limit", "caller", "last minute>", "last hour>", "last (UTC)", *further)
    for each in found:
        about = "≤ " if each.uncertain * 10 > each.refused else ""
        table.add_row(
            Text(each.refuser, "bold") + Text(f"  {each.aside}" if each.aside else "", "not bold yellow"),
            Text(f"{formatting.as_said(each.per) or 'in code'} ") + Text(short_hash(each.hash), "yellow"),
            _number(each.now, "yellow" if each.in_shadow else "red"),
            f"{about}{each.refused:,}",
            formatting.instant(each.last_ns)[11:],
            *((Text(each.host),) if has_hosts else ()),
            *((Text(given[each.per, each.hash], "cyan"),) if given is not None else ()),
        )
    return table


def _number(number: int, style: str) -> Text:
    return Text(f"{number:,}", style if number else "dim")


def _json(each: Refused, given: str | None) -> dict[str, Any]:
    return {
        "limit": each.limit,
        "tier": each.tier or None,
        "act": each.act or None,
        "per": "actor" if each.per == CLUSTER else each.per or None,
        "hash": short_hash(each.hash),
        "key": f"{each.hash:016x}",
        "refused_last_minute": each.now,
        "refused": each.refused,
        "uncertain": each.uncertain,
        "in_shadow": each.in_shadow,
        "within_seconds": round((each.last_ns - each.since_ns) / 1e9),
        "since": formatting.iso(each.since_ns),
        "last": formatting.iso(each.last_ns),
        "hosts": each.host.split(", "),
        **({} if given is None else {"given": given}),
    }


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
        shown = [{**_shed_json(each, per), "mode": modes[each.group]} for each in found[:most]]
        print_json({"modes": modes, "shed": shown, "accounts": len(found)})
        return
    if not found:
        asked = f"Nothing of {', '.join(revealed)}" if revealed else "Nothing"
        note(f"{asked} was shed on this host within the last hour.")
        return
    console = out()
    has_groups, has_given, is_wide = len(specs) > 1, bool(revealed), console.width >= _WIDE
    console.print(_shed_table(found[:most], per, has_groups=has_groups, has_given=has_given, is_wide=is_wide))
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


def _shed_table(
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


def _shed_json(each: ShedAccount, per: str) -> dict[str, Any]:
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
