"""`ratelimit top`: what a running deployment is doing, from its table or its metrics."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from ratelimit.cli.failure import DEPLOYMENT, INTERRUPTED, Failure
from ratelimit.cli.loading import load_in_force
from ratelimit.cli.terminal import Text, out, print_json
from ratelimit.clock import monotonic_ns
from ratelimit.inspection import formatting
from ratelimit.inspection.acts import acts_in_force
from ratelimit.inspection.attachment import attach
from ratelimit.integrations.asked_limits import with_limits_in_code
from ratelimit.load.compile import class_names, loads_of
from ratelimit.load.limit import has_target
from ratelimit.load.memory import SharedInFlight
from ratelimit.load.metrics import WatchedLoad, load_numbers
from ratelimit.load.model.shedding import ShedPriority
from ratelimit.telemetry import RateLimitCollector, names, snapshot
from ratelimit.telemetry.snapshot import LimitCounts, LoadNumbers, Snapshot, quantile_bound_s
from ratelimit.telemetry.watching import WatchedTable

_TIMEOUT_S = 3
_MOST_BYTES = 16 << 20
_HOST_AND_PORT = re.compile(r"[\w.-]+:[0-9]+/?")
_SERVER = re.compile(r"https?://[^/]+/?")

Look = Callable[[], Snapshot]


@click.command("top", short_help="Watch a running deployment.")
@click.argument("target")
@click.option(
    "--interval", type=click.FloatRange(0.2, 60), default=1, show_default=True, help="Seconds between looks."
)
@click.option("--once", is_flag=True, help="Look once and end; also without a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Look once; print JSON.")
def top_command(target: str, interval: float, once: bool, as_json: bool) -> None:
    """Watch a running deployment: decisions of each limit, each second.

    TARGET is a policy file, to read the shared table of its workers on this host, or the
    address of a /metrics. Looking changes no counter.

    \b
    Examples:
      ratelimit top policy.toml
      ratelimit top http://127.0.0.1:8000/metrics --once --json

    Exit code 4 if the deployment cannot be reached.
    """
    with ExitStack() as stack:
        target = _whole(target)
        look = _look_at(target, stack)
        first = look()
        console = out()
        if as_json:
            print_json(_json(first))
        elif once or not console.is_terminal:
            console.print(render(target, first, None, 0))
        else:
            _watch(target, look, first, interval)


def _whole(target: str) -> str:
    """Return a host and a port, or the address of a server, as the address of its /metrics."""
    is_bare = _HOST_AND_PORT.fullmatch(target) is not None and not Path(target).exists()
    url = f"http://{target}" if is_bare else target
    return f"{url.rstrip('/')}/metrics" if _SERVER.fullmatch(url) else target


def _watch(target: str, look: Look, first: Snapshot, interval_s: float) -> None:
    then_ns, before = monotonic_ns(), first
    try:
        with Live(render(target, first, None, 0), console=out(), auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(interval_s)
                now_ns, current = monotonic_ns(), look()
                live.update(render(target, current, before, (now_ns - then_ns) / 1e9), refresh=True)
                then_ns, before = now_ns, current
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _look_at(target: str, stack: ExitStack) -> Look:
    if target.startswith(("http://", "https://")):
        return lambda: _scrape(target)
    policy, trouble = load_in_force(target)
    policy = with_limits_in_code(policy)
    store = attach(policy)
    stack.callback(store.close)
    flights = []
    for spec in loads_of(policy.compiled):
        flight = SharedInFlight.existing(store.place, store.hasher.key, spec.name)
        if flight is not None:
            stack.callback(flight.close)
            flights.append((spec, flight))

    def loads(now_ns: int) -> list[WatchedLoad]:
        found = []
        for spec, flight in flights:
            classes = class_names(spec)
            last = len(classes) - 1
            kept = max(0.0, ShedPriority(last, len(classes)).kept())
            numbers = load_numbers(
                flight,
                now_ns,
                floor=spec.floor,
                is_shadow=spec.shadow or not has_target(spec, flight),
                last=last,
                kept=kept,
            )
            found.append(WatchedLoad(spec.name, classes, numbers))
        return found

    watched = WatchedTable(store.table, policy.compiled.rules, store.clock, loads)
    collector = RateLimitCollector(watched)

    def look() -> Snapshot:
        found = snapshot.of_families(collector.collect())
        found.acts = acts_in_force(policy)
        found.trouble = trouble
        if policy.compiled.remote is not None:
            found.away = store.table.stats(store.clock.now_ns())["away"]
        return found

    return look


def _scrape(url: str) -> Snapshot:
    try:
        with urlopen(url, timeout=_TIMEOUT_S) as answer:
            return snapshot.of_text(answer.read(_MOST_BYTES).decode("utf-8", "replace"))
    except HTTPError as error:
        with error:
            hint = ""
            if error.code in (403, 429):
                hint = 'A limit covers it? Write `except = "GET /metrics"` there; `ratelimit check` names it.'
            elif error.code == 404:
                hint = "Is this the address of a /metrics with rate limits?"
            raise Failure(f"{url}: answered {error.code} {error.reason}", DEPLOYMENT, hint=hint) from error
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or f"{type(error).__name__} {error}".strip()
        raise Failure(f"{url}: {reason}", DEPLOYMENT) from error
    except ValueError as error:
        raise Failure(
            f"{url}: {error}", DEPLOYMENT, hint="Is this the address of a /metrics with rate limits?"
        ) from error


def render(target: str, now: Snapshot, before: Snapshot | None, passed_s: float) -> RenderableType:
    """Return the view of one moment: rates since the look before, or totals without one."""
    return Group(_head(target, now, before, passed_s), Text(), _limits(now, before, passed_s))


def _head(target: str, now: Snapshot, before: Snapshot | None, passed_s: float) -> RenderableType:
    head = Table.grid(padding=(0, 2))
    head.add_column(style="dim")
    head.add_column(overflow="fold")
    head.add_row("watching", Text(target))
    if now.trouble:
        head.add_row("policy", Text(now.trouble, "yellow"))
    decided, refused = now.decided, now.refused
    total = f"{decided:,} decided, {refused:,} refused ({formatting.share(refused, decided)})"
    if before is not None:
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
        away = f"away for {now.away} of {workers} workers: the limits' stance decides there"
        head.add_row("store", Text(away, "red"))
    if now.acts:
        head.add_row("acts", Text(f"{now.acts} of the operator's in force, see `ratelimit acts`", "cyan"))
    if now.verdicts:
        told = (
            f"{now.of_verdict(names.CLUSTERS, verdict):,.0f} {verdict} with "
            f"{now.of_verdict(names.CLUSTER_MEMBERS, verdict):,.0f} members"
            for verdict in ("certain", "likely")
        )
        head.add_row("clusters", ", ".join(told))
    for group, load in now.loads.items():
        then = None if before is None else before.loads.get(group, LoadNumbers())
        head.add_row("load" if len(now.loads) == 1 else f"load {group}", _load(load, then, passed_s))
    half, most = (quantile_bound_s(now.latency, share) for share in (0.5, 0.99))
    if half is not None and most is not None:
        head.add_row("decisions", f"half within {_bound(half)}, 99 % within {_bound(most)}")
    if faults := int(now.gauge(names.STORE_FAULTS)):
        head.add_row("faults", Text(f"{faults:,} decisions without the store", "red"))
    return head


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


def _limits(now: Snapshot, before: Snapshot | None, passed_s: float) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("limit")
    titles = ["allowed", "refused", "would refuse"]
    for title in [f"{title}/s" for title in titles if before is not None] + titles:
        table.add_column(title, justify="right")
    for name, counts in now.limits.items():
        label = Text(name, "bold") + Text("  shadow" if counts.shadow else "", "not bold yellow")
        cells = []
        if before is not None:
            then = before.limits.get(name, LimitCounts())
            for current, earlier, style in (
                (counts.allowed, then.allowed, ""),
                (counts.refused, then.refused, "red"),
                (counts.would_refuse, then.would_refuse, "yellow"),
            ):
                rate = max(current - earlier, 0) / passed_s
                cells.append(Text(f"{rate:,.1f}", style if rate else "dim"))
        totals = [f"{counts.allowed:,}", f"{counts.refused:,}", f"{counts.would_refuse:,}"]
        table.add_row(label, *cells, *totals)
    return table


def _bound(seconds: float) -> str:
    return "more than 5 ms" if seconds == float("inf") else formatting.wait(round(seconds * 1e9))


def _json(now: Snapshot) -> dict[str, Any]:
    return {
        "requests": [
            {"action": action, "reason": reason, "requests": number}
            for (action, reason), number in now.requests.items()
        ],
        "limits": [
            {
                "limit": name,
                "allowed": counts.allowed,
                "refused": counts.refused,
                "refused_in_shadow": counts.refused_in_shadow,
                "likely_refused": counts.likely_refused,
                "skipped": counts.skipped,
            }
            for name, counts in now.limits.items()
        ],
        "shed": {group: load.shed for group, load in now.loads.items()},
        "table": {
            "live": now.entries_live,
            "capacity": int(now.gauge(names.TABLE_CAPACITY)),
            "evictions": int(now.gauge(names.EVICTIONS)),
        },
        "workers": int(now.gauge(names.WORKERS)),
        "store_away": now.away,
        "policy_trouble": now.trouble or None,
        "acts": now.acts,
        "store_faults": int(now.gauge(names.STORE_FAULTS)),
    }
