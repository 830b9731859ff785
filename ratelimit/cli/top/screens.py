"""The screens of `ratelimit top`: what is shown of a moment, in 80 columns or more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text as AnyText

from ratelimit.cli.terminal import Text
from ratelimit.cli.top.acts import Offer
from ratelimit.inspection import formatting
from ratelimit.inspection.access.host_state import HostState
from ratelimit.inspection.history.changes import Changes
from ratelimit.inspection.hosts.moment import HostMoment, LimitRow, Moment, Refused, limits_by_trouble
from ratelimit.inspection.hosts.policies import brief_policy_words
from ratelimit.inspection.identities import short_hash
from ratelimit.telemetry import names
from ratelimit.telemetry.snapshot import LoadNumbers, quantile_bound_s

OVERVIEW_KEYS = "↑ ↓ move   ⏎ callers   c changes   q quit"
CALLER_KEYS = "↑ ↓ move   ⏎ the caller   ← back   c changes   q quit"
ACTING_KEYS = "↑ ↓ move   ⏎ the caller   s stop   e exempt   x clear its actor   ← back   q quit"
PERSON_KEYS = "↑ ↓ scroll   s stop   e exempt   x clear its actor   ← back   q quit"
QUESTION = "Do it on all hosts?  y, or ← for no."
OFFER_KEYS = "y do it   + - longer, shorter   ← back, nothing is done"
UNDO_KEYS = "y do it   ← back, nothing is done"
MADE_KEYS = "u undo   ← back   q quit"
TEXT_KEYS = "↑ ↓ scroll   ← back   q quit"


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
    passed_s = 0.0 if before is None else (now.at_ns - before.at_ns) / 1e9
    parts = [_head(target, now, before, passed_s), Text()]
    if len(now.hosts) > 1:
        parts += [_hosts(now.hosts), Text()]
    limits = limits_by_trouble(now, before)
    first = 0 if chosen is None or rows is None else max(0, chosen - rows + 1)
    parts.append(Text(_order(now, before), "dim"))
    parts.append(_limits(limits[first:][:rows], None if chosen is None else chosen - first))
    if rows is not None and len(limits) - first > rows:
        parts.append(Text(f"and {len(limits) - first - rows} more below", "dim"))
    return Group(*parts)


def _head(target: str, moment: Moment, earlier: Moment | None, passed_s: float) -> RenderableType:
    now, before = moment.total, None if earlier is None else earlier.total
    head = Table.grid(padding=(0, 2))
    head.add_column(style="dim")
    head.add_column(overflow="fold")
    head.add_row("watching", Text(target))
    for said in moment.trouble:
        head.add_row("trouble", Text(said, "yellow"))
    policies = brief_policy_words([each.state for each in moment.hosts if each.state is not None])
    for at, words in enumerate(policies):
        head.add_row("" if at else "policy", Text(words, "red" if len(policies) > 1 else ""))
    if moment.missing:
        head.add_row("hosts", Text(f"no answer from {', '.join(moment.missing)}", "red"))
    decided, refused = now.decided, now.refused
    total = f"{decided:,} decided, {refused:,} refused ({formatting.share(refused, decided)})"
    if before is not None and passed_s > 0:
        rate = (decided - before.decided) / passed_s
        refused_rate = (refused - before.refused) / passed_s
        total = f"{rate:,.0f}/s, {refused_rate:,.0f}/s refused;  in all {total}"
    head.add_row("requests", total)
    capacity = int(now.gauge(names.TABLE_CAPACITY))
    evicted = int(now.gauge(names.EVICTIONS) + now.gauge(names.BLOCK_EVICTIONS))
    table = f"{now.entries_live:,} live of {capacity:,} ({formatting.share(now.entries_live, capacity)})"
    head.add_row("table", Text(table) + Text(f", {evicted:,} evicted alive" if evicted else "", "red"))
    workers = int(now.gauge(names.WORKERS))
    head.add_row("workers", f"{workers}")
    if now.away:
        head.add_row("store", Text(f"away for {now.away} of {workers} workers", "red"))
    if moment.acts:
        head.add_row(
            "acts", Text(f"{moment.acts} of the operator's in force, see `ratelimit show acts`", "cyan")
        )
    if now.verdicts:
        told = (
            f"{now.of_verdict(names.CLUSTERS, verdict):,.0f} {_verdict(moment, verdict)} with "
            f"{now.of_verdict(names.CLUSTER_MEMBERS, verdict):,.0f} accounts"
            for verdict in ("certain", "likely")
        )
        head.add_row("actors", f"{', '.join(told)}; `ratelimit show actors` compares them")
    for group, load in now.loads.items():
        then = None if before is None else before.loads.get(group, LoadNumbers())
        head.add_row("load" if len(now.loads) == 1 else f"load {group}", _load(load, then, passed_s))
    half, most = (quantile_bound_s(now.latency, share) for share in (0.5, 0.99))
    if half is not None and most is not None:
        head.add_row("decisions", f"half within {_bound(half)}, 99 % within {_bound(most)}")
    if faults := int(now.gauge(names.STORE_FAULTS)):
        said = f"{faults:,} requests decided without the server; the journal has outages, and not single ones"
        head.add_row("faults", Text(said, "red"))
    return head


def _verdict(moment: Moment, verdict: str) -> str:
    return verdict if moment.rules is None else formatting.verdict_words(verdict, moment.rules)


def _load(now: LoadNumbers, before: LoadNumbers | None, passed_s: float) -> str:
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


def _hosts(hosts: Sequence[HostMoment]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("host", "store"):
        table.add_column(title, overflow="ellipsis", no_wrap=True)
    for title in ("workers", "requests", "refused"):
        table.add_column(title, justify="right")
    table.add_column("99 % within", no_wrap=True)
    table.add_column("acts", no_wrap=True)
    for host in hosts:
        counts = host.counts
        if counts is None:
            word = "silent" if host.state is None or not host.state.is_gone else "gone"
            word = "ended" if host.state is not None and not host.state.workers else word
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
        table.add_row(Text(host.host, "bold"), *cells, _applied(host.state))
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
    if now.knows_callers:
        order = "most refused in the last minute first"
    else:
        order = "most refused in all first" if before is None else "most refused now first"
    order += (
        ", (would refuse) in brackets" if any(each.in_shadow and each.now for each in now.callers) else ""
    )
    missing = ", ".join(each.host for each in now.hosts if each.counts is None)
    return f"{order}; totals since the hosts' memory began{f', without {missing}' if missing else ''}"


def _limits(rows: Sequence[LimitRow], chosen: int | None) -> RenderableType:
    has_rates = any(row.refused_s is not None for row in rows)
    has_minute = any(row.last_minute is not None for row in rows)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    # Of a row too long the name is cut, never a number: so its column alone may be made narrower.
    table.add_column("limit", min_width=12)
    if has_minute:
        table.add_column(AnyText("last\nmin"), justify="right", no_wrap=True)
    rates, totals = ["refused/s", "would/s", "allowed/s"], ["refused", "would"]
    for title in [*rates, *totals] if has_rates else [*totals, "allowed"]:
        table.add_column(title, justify="right", no_wrap=True)
    for at, row in enumerate(rows):
        label = Text(row.name, "bold") + Text("  shadow" if row.counts.shadow else "", "not bold yellow")
        label.no_wrap, label.overflow = True, "ellipsis"
        cells: list[Any] = [_minute(row)] if has_minute else []
        if has_rates:
            cells += [_rate(row.refused_s, "red"), _rate(row.would_s, "yellow"), _rate(row.allowed_s, "")]
        cells += [f"{row.counts.refused:,}", f"{row.counts.would_refuse:,}"]
        if not has_rates:
            cells.append(f"{row.counts.allowed:,}")
        table.add_row(label, *cells, style="reverse" if at == chosen else "")
    return table


def _minute(row: LimitRow) -> Text:
    """Return what a limit refused in the last minute; of one that refused nothing, (what it would have)."""
    if row.would_last_minute and not row.last_minute:
        return Text(f"({row.would_last_minute:,})", "yellow")
    return Text(f"{row.last_minute or 0:,}", "red" if row.last_minute else "dim")


def _rate(rate: float | None, style: str) -> Text:
    return Text("–", "dim") if rate is None else Text(f"{rate:,.1f}", style if rate else "dim")


def callers(limit: str, found: Sequence[Refused], chosen: int, rows: int) -> RenderableType:
    """Return the callers that a limit refused within the last hour, or would have refused in shadow."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("caller", overflow="ellipsis", no_wrap=True)
    table.add_column("last minute", justify="right")
    table.add_column("last hour", justify="right")
    table.add_column("")
    table.add_column("host", overflow="ellipsis", no_wrap=True)
    table.add_column("last (UTC)")
    first = max(0, chosen - rows + 1)
    for at, each in enumerate(found[first:][:rows], first):
        about = "≤ " if each.uncertain * 10 > each.refused else ""
        table.add_row(
            Text(f"{formatting.as_said(each.per) or 'in code'} ") + Text(short_hash(each.hash), "yellow"),
            f"{each.now:,}",
            f"{about}{each.refused:,}",
            Text(each.aside if each.is_likely else "would refuse", "yellow")
            if each.in_shadow
            else Text(f"by act {each.act}" if each.act else "refused", "red"),
            Text(each.host),
            formatting.instant(each.last_ns)[11:],
            style="reverse" if at == chosen else "",
        )
    head = Text("limit ", "dim") + Text(limit, "bold") + Text("  refused within the last hour", "dim")
    if not found:
        return Group(head, Text(), Text("No caller was refused within the last hour."))
    return Group(head, Text(), table)


_TITLES = {
    "stop": "Stop {name}: refuse every request, on all hosts",
    "exempt": "Exempt {name} from all limits, on all hosts",
    "clear": "Clear the actor of {name}: no limit per actor binds it, on all hosts",
    "undo": "Undo act {name}, on all hosts",
}


def offer(found: Offer, span: str) -> RenderableType:
    """Return an act as it is shown before it is done."""
    title = _TITLES[found.word].format(name=found.name)
    lines = [Text(title, "bold")]
    if found.word != "undo":
        lines.append(Text("for ", "dim") + Text(span, "bold") + Text(", then it lapses by itself", "dim"))
    lines.append(Text())
    if found.is_stale:
        lines.append(Text("Something changed. Nothing was done; this is what it would do now:", "yellow"))
    lines += [Text(f"{said[:1].upper()}{said[1:]}.") for said in found.does]
    lines += [Text(f"{said[:1].upper()}{said[1:]}.", "yellow") for said in found.doubts]
    lines += [Text(found.hint, "dim")] if found.hint else []
    lines += [Text(), Text(QUESTION, "bold")]
    return Group(*lines)


def changes(found: Changes) -> list[Text]:
    """Return what changed, a line each, the latest first."""
    lines = [
        Text("changes, the latest first", "dim"),
        *(Text(said, "yellow") for said in found.trouble),
        Text(),
    ]
    for each in found.entries:
        line = Text(f"{formatting.instant(each.time_ns)}  ", "dim")
        line += Text(f"{each.host}  " if each.host else "", "cyan")
        lines.append(line + Text(each.text, "yellow" if each.is_warning else ""))
    return lines if found.entries else [*lines, Text("Nothing changed.")]


def _bound(seconds: float) -> str:
    return "more than 5 ms" if seconds == float("inf") else formatting.wait(round(seconds * 1e9))


def as_json(moment: Moment, trouble: str) -> dict[str, Any]:
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


def _since(state: HostState | None) -> str | None:
    return (
        formatting.iso(state.policy_since_s * 10**9) if state is not None and state.policy_since_s else None
    )


def _host_json(host: HostMoment) -> dict[str, Any]:
    counts, state = host.counts, host.state
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
        "policy_since": _since(state),
    }
