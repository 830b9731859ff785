"""What is shown of a deployment's moment, in 80 columns or more, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from ratelimit.cli.terminal import Text, table_of
from ratelimit.inspection import formatting
from ratelimit.inspection.access.host_state import HostState
from ratelimit.inspection.hosts.moment import HostMoment, LimitRow, Moment, Refused, limits_by_trouble
from ratelimit.inspection.hosts.policies import brief_policy_words
from ratelimit.inspection.identities import short_hash
from ratelimit.telemetry import names
from ratelimit.telemetry.snapshot import LoadNumbers, quantile_bound_s


def overview(
    target: str, now: Moment, before: Moment | None, chosen: int | None = None, rows: int | None = None
) -> RenderableType:
    """Return the view of one moment: the last minute and totals, with rates since the look before.

    Args:
        target: what is watched, as it was given.
        now: the moment.
        before: the look before.
        chosen: which limit is marked; None without keys.
        rows: how many limits there is room for.
    """
    head = Table.grid(padding=(0, 2))
    head.add_column(style="dim")
    head.add_column(overflow="fold")
    for name, said, style in (("watching", target, ""), *_head(now, before)):
        head.add_row(name, Text(said, style))
    parts: list[RenderableType] = [head, Text()]
    if len(now.hosts) > 1:
        parts += [hosts_table(now.hosts), Text()]
    limits = limits_by_trouble(now, before)
    first = 0 if chosen is None or rows is None else max(0, chosen - rows + 1)
    marked = None if chosen is None else chosen - first
    parts += [Text(_order(now, before), "dim"), _limits(limits[first:][:rows], marked)]
    if rows is not None and len(limits) - first > rows:
        parts.append(Text(f"and {len(limits) - first - rows} more below", "dim"))
    return Group(*parts)


def _head(moment: Moment, earlier: Moment | None) -> Iterator[tuple[str, str, str]]:
    """Yield what is said above the limits: its name, its words, their style."""
    now, before = moment.total, None if earlier is None else earlier.total
    passed_s = 0.0 if earlier is None else (moment.at_ns - earlier.at_ns) / 1e9
    for said in moment.trouble:
        yield "trouble", said, "yellow"
    policies = brief_policy_words([each.state for each in moment.hosts if each.state is not None])
    for at, words in enumerate(policies):
        yield "" if at else "policy", words, "red" if len(policies) > 1 else ""
    if moment.missing:
        yield "hosts", f"no answer from {', '.join(moment.missing)}", "red"
    decided, refused = now.decided, now.refused
    total = f"{decided:,} decided, {refused:,} refused ({formatting.share(refused, decided)})"
    if before is not None and passed_s > 0:
        rate, refused_rate = (decided - before.decided) / passed_s, (refused - before.refused) / passed_s
        total = f"{rate:,.0f}/s, {refused_rate:,.0f}/s refused;  in all {total}"
    yield "requests", total, ""
    capacity, workers = int(now.gauge(names.TABLE_CAPACITY)), int(now.gauge(names.WORKERS))
    evicted = int(now.gauge(names.EVICTIONS) + now.gauge(names.BLOCK_EVICTIONS))
    table = f"{now.entries_live:,} live of {capacity:,} ({formatting.share(now.entries_live, capacity)})"
    yield "table", table + (f", {evicted:,} evicted alive" if evicted else ""), "red" if evicted else ""
    yield "workers", f"{workers}", ""
    if now.away:
        yield "store", f"away for {now.away} of {workers} workers", "red"
    if moment.acts:
        yield "acts", f"{moment.acts} of the operator's in force, see `ratelimit show acts`", "cyan"
    if now.verdicts:
        told = (
            f"{now.of_verdict(names.CLUSTERS, verdict):,.0f} {_verdict(moment, verdict)} with "
            f"{now.of_verdict(names.CLUSTER_MEMBERS, verdict):,.0f} accounts"
            for verdict in ("certain", "likely")
        )
        yield "actors", f"{', '.join(told)}; `ratelimit show actors` compares them", ""
    for group, load in now.loads.items():
        then = None if before is None else before.loads.get(group, LoadNumbers())
        yield "load" if len(now.loads) == 1 else f"load {group}", load_words(load, then, passed_s), ""
    half, most = (quantile_bound_s(now.latency, share) for share in (0.5, 0.99))
    if half is not None and most is not None:
        yield "decisions", f"half within {_bound(half)}, 99 % within {_bound(most)}", ""
    if faults := int(now.gauge(names.STORE_FAULTS)):
        said = "requests decided without the server; the journal has outages, and not single ones"
        yield "faults", f"{faults:,} {said}", "red"


def _verdict(moment: Moment, verdict: str) -> str:
    return verdict if moment.rules is None else formatting.verdict_words(verdict, moment.rules)


def load_words(now: LoadNumbers, before: LoadNumbers | None, passed_s: float) -> str:
    """Return what is in flight beside what may be, how late first bytes are, and what was shed."""
    told = f"{now.answering + now.waiting:,.0f} in flight; "
    told += f"{now.waiting:,.0f} wait for a first byte, room below {now.bound:,.0f}"
    if now.bound < now.learned:
        told += f" ({now.learned:,.0f} before; no first byte for {now.still_s:.1f} s)"
    if now.held:
        told += f"; {now.held:,.0f} held in the gateway"
    if now.kept_free:
        told += f"; the last class leaves {100 * now.kept_free:.0f} % of the places free"
    if now.target_s:
        told += f"; 95 % of first bytes within {now.pressure * now.target_s:.2g} s, target {now.target_s:g} s"
    elif not now.enforced:
        told += "; no target is learned yet"
    if shed := ", ".join(f"{count:,} {name}" for name, count in now.shed.items() if count):
        if before is not None:
            rate = max(sum(now.shed.values()) - sum(before.shed.values()), 0) / passed_s
            shed = f"{rate:,.0f}/s, in all {shed}"
        told += f"; {'shed' if now.enforced else 'in shadow, would have shed'} {shed}"
    elif not now.enforced:
        told += "; in shadow"
    return told


def hosts_table(hosts: Sequence[HostMoment]) -> Table:
    """Return a line of each host: whether it is heard, what it decided, and whether it applies acts."""
    table = table_of("host…", "store…", "workers>", "requests>", "refused>", "99 % within|", "acts|")
    for host in hosts:
        counts, state = host.counts, host.state
        if counts is None:
            word = "silent" if state is None or not state.is_gone else "gone"
            word = "ended" if state is not None and not state.workers else word
            cells: list[Any] = [Text(word, "red"), "", "", "", ""]
        else:
            most = quantile_bound_s(counts.latency, 0.99)
            cells = [
                Text("away", "red") if counts.away else Text("answers"),
                f"{int(counts.gauge(names.WORKERS)):,}",
                f"{counts.decided:,}",
                Text(formatting.share(counts.refused, counts.decided), "red" if counts.refused else ""),
                "" if most is None else _bound(most),
            ]
        table.add_row(Text(host.host, "bold"), *cells, _applied(state))
    return table


def _applied(state: HostState | None) -> Text:
    if state is None:
        return Text("–", "dim")
    if not state.workers:
        return Text(state.unheard, "dim")
    if passed_s := state.silent_s or state.late_s:
        return Text(f"heard {formatting.wait(passed_s * 10**9)} ago", "red")
    return Text("✔", "green") if state.has_applied else Text("✘ not yet", "red")


def _order(now: Moment, before: Moment | None) -> str:
    """Return by what limits are ordered, and which time totals cover."""
    order = "most refused in all first" if before is None else "most refused now first"
    if now.knows_callers:
        order = "most refused in the last minute first"
    if any(each.in_shadow and each.now for each in now.callers):
        order += ", (would refuse) in brackets"
    missing = ", ".join(each.host for each in now.hosts if each.counts is None)
    return f"{order}; totals since the hosts' memory began{f', without {missing}' if missing else ''}"


def _limits(rows: Sequence[LimitRow], chosen: int | None) -> Table:
    has_rates = any(row.refused_s is not None for row in rows)
    has_minute = any(row.last_minute is not None for row in rows)
    columns = ["last\nmin>|"] if has_minute else []
    columns += ["refused/s>|", "would/s>|", "allowed/s>|"] if has_rates else []
    table = table_of("limit…", *columns, "refused>|", "would>|", *([] if has_rates else ["allowed>|"]))
    # Of a row too long the name is cut, never a number: so its column alone may be made narrower.
    table.columns[0].min_width, table.columns[0].no_wrap = 12, False
    for at, row in enumerate(rows):
        label = Text(row.name, "bold") + Text("  shadow" if row.counts.shadow else "", "not bold yellow")
        label.no_wrap, label.overflow = True, "ellipsis"
        cells: list[Any] = []
        if has_minute and row.would_last_minute and not row.last_minute:
            cells.append(Text(f"({row.would_last_minute:,})", "yellow"))
        elif has_minute:
            cells.append(Text(f"{row.last_minute or 0:,}", "red" if row.last_minute else "dim"))
        if has_rates:
            rates = ((row.refused_s, "red"), (row.would_s, "yellow"), (row.allowed_s, ""))
            cells += [
                Text("–", "dim") if rate is None else Text(f"{rate:,.1f}", style if rate else "dim")
                for rate, style in rates
            ]
        cells += [f"{row.counts.refused:,}", f"{row.counts.would_refuse:,}"]
        cells += [] if has_rates else [f"{row.counts.allowed:,}"]
        table.add_row(label, *cells, style="reverse" if at == chosen else "")
    return table


def callers(limit: str, found: Sequence[Refused], chosen: int, rows: int) -> RenderableType:
    """Return the callers that a limit refused within the last hour, or would have refused in shadow."""
    head = Text("limit ", "dim") + Text(limit, "bold") + Text("  refused within the last hour", "dim")
    if not found:
        return Group(head, Text(), Text("No caller was refused within the last hour."))
    table = table_of("caller…", "last minute>", "last hour>", "", "host…", "last (UTC)")
    first = max(0, chosen - rows + 1)
    for at, each in enumerate(found[first:][:rows], first):
        about = "≤ " if each.uncertain * 10 > each.refused else ""
        how = each.aside if each.is_likely else "would refuse"
        if not each.in_shadow:
            how = f"by act {each.act}" if each.act else "refused"
        table.add_row(
            Text(f"{formatting.as_said(each.per) or 'in code'} ") + Text(short_hash(each.hash), "yellow"),
            f"{each.now:,}",
            f"{about}{each.refused:,}",
            Text(how, "yellow" if each.in_shadow else "red"),
            Text(each.host),
            formatting.instant(each.last_ns)[11:],
            style="reverse" if at == chosen else "",
        )
    return Group(head, Text(), table)


def _bound(seconds: float) -> str:
    return "more than 5 ms" if seconds == float("inf") else formatting.wait(round(seconds * 1e9))


def moment_json(moment: Moment, trouble: str) -> dict[str, Any]:
    """Return a moment for machines: all that the screens show of it."""
    now = moment.total
    return {
        "requests": [
            {"action": action, "reason": reason, "requests": number}
            for (action, reason), number in now.requests.items()
        ],
        "limits": [
            {
                "limit": row.name,
                "refused_last_minute": row.last_minute,
                "would_refuse_last_minute": row.would_last_minute,
                "allowed": row.counts.allowed,
                "refused": row.counts.refused,
                "refused_in_shadow": row.counts.refused_in_shadow,
                "likely_refused": row.counts.likely_refused,
                "skipped": row.counts.skipped,
            }
            for row in limits_by_trouble(moment, None)
        ],
        "actors": {
            verdict: {
                "actors": int(now.of_verdict(names.CLUSTERS, verdict)),
                "accounts": int(now.of_verdict(names.CLUSTER_MEMBERS, verdict)),
                "held": None if moment.rules is None else formatting.holds(verdict, moment.rules),
            }
            for verdict in ("certain", "likely")
            if now.verdicts
        },
        "hosts": [_host_json(each) for each in moment.hosts],
        "callers": [
            {
                "limit": each.limit,
                "per": each.per or None,
                "hash": f"{each.hash:016x}",
                "refused_last_minute": each.now,
                "refused": each.refused,
                "in_shadow": each.in_shadow,
                "act": each.act or None,
                "host": each.host,
                "last": formatting.iso(each.last_ns),
            }
            for each in moment.callers
        ],
        "missing": moment.missing,
        "shed": {group: load.shed for group, load in now.loads.items()},
        "table": {
            "live": now.entries_live,
            "capacity": int(now.gauge(names.TABLE_CAPACITY)),
            "evictions": int(now.gauge(names.EVICTIONS)),
        },
        "workers": int(now.gauge(names.WORKERS)),
        "store_away": now.away,
        "policy_trouble": trouble or None,
        "acts": moment.acts,
        "store_faults": int(now.gauge(names.STORE_FAULTS)),
    }


def _host_json(host: HostMoment) -> dict[str, Any]:
    counts, state = host.counts, host.state
    since_s = 0 if state is None else state.policy_since_s or 0
    return {
        "host": host.host,
        "answered": counts is not None,
        "workers": None if counts is None else int(counts.gauge(names.WORKERS)),
        "decided": None if counts is None else counts.decided,
        "refused": None if counts is None else counts.refused,
        "store_away": None if counts is None else counts.away,
        "applied": None if state is None else state.has_applied,
        "silent_seconds": None if state is None else state.silent_s or None,
        "last_heard_seconds": None if state is None else state.late_s or None,
        "gone": state is not None and state.is_gone,
        "policy": None if state is None else state.policy or None,
        "policy_since": formatting.iso(since_s * 10**9) if since_s else None,
    }
