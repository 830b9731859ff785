"""Pages as HTML: the templates and what they draw."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ratelimit.correlation.description import describe_account, reason_of
from ratelimit.environment.printable import printable
from ratelimit.inspection import formatting
from ratelimit.inspection.actors.glance import glance_at
from ratelimit.inspection.acts.own_numbers import all_changed
from ratelimit.inspection.acts.words import act_words
from ratelimit.inspection.callers.naming import EVERYONE, Caller
from ratelimit.inspection.callers.profile import Links
from ratelimit.inspection.callers.waits import again_words, refuses_words
from ratelimit.inspection.history.week import DAY_HOURS, Week, day_words
from ratelimit.inspection.history.week import KINDS as WEEK_KINDS
from ratelimit.inspection.hosts.moment import over_hosts
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.journal.entries import HOUR_NS, Hour
from ratelimit.load.shed import named as named_class
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.acts.kinds import KINDS
from ratelimit.telemetry.names import WORKERS
from ratelimit.telemetry.snapshot import Snapshot, quantile_bound_s

HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
ASSETS: Mapping[str, tuple[str, bytes]] = {
    path.name: (_TYPES[path.suffix], path.read_bytes())
    for path in sorted((HERE / "assets").iterdir())
    if path.suffix in _TYPES
}
"""By name, type and content of the files that pages ask for."""
VERSION = hashlib.sha256(b"".join(content for _, content in ASSETS.values())).hexdigest()[:12]
"""Changes with the assets: browsers keep them under an address that has it."""


def named(caller: Caller) -> str:
    """Return a caller's name for an address or a form: a hash, never a value."""
    if caller.what == "actor":
        return f"actor={caller.hash:016x}"
    if caller.what == "together":
        return f"hash:{caller.hash:016x}"
    return named_hash(caller.identity, caller.hash)


def named_hash(identity: str, hashed: int) -> str:
    """Return the name of an identity's value by its hash; several identities have one hash together."""
    is_one = identity not in ("", EVERYONE) and "," not in identity and " + " not in identity
    return f"{identity}=hash:{hashed:016x}" if is_one else f"hash:{hashed:016x}"


def _counted_by(rule: LimitRule, compiled: CompiledPolicy) -> str:
    """Return what the counter of a limit belongs to, in the words of pages."""
    return formatting.as_said(formatting.per(rule, compiled))


def _plural(number: int, noun: str) -> str:
    return formatting.count(number, noun)


def _rate(value: float | None) -> str:
    if value is None:
        return "–"
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    # Below each other the points of small and middling numbers are in one place.
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def _slowest(counts: Snapshot) -> str:
    """Return the time within which 99 of 100 decisions were made."""
    bound_s = quantile_bound_s(counts.latency, 0.99)
    if bound_s is None:
        return "–"
    return "more than 5 ms" if bound_s == float("inf") else formatting.wait(round(bound_s * 1e9))


def _made() -> Environment:
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "short": short_hash,
        "hex": lambda number: f"{number:016x}",
        "number": lambda number: f"{number:,}",
        "rate": _rate,
        "share": formatting.share,
        "count": _plural,
        "instant": formatting.instant,
        "refuses": refuses_words,
        "again": again_words,
        "amount": formatting.amount,
        "part": formatting.amount_of,
        "act": act_words,
        "named": named,
        "printable": printable,
        "slowest": _slowest,
        "workers": lambda counts: int(counts.gauge(WORKERS)),
    }
    found.globals |= {
        "formatting": formatting,
        "counted_by": _counted_by,
        "named_class": named_class,
        "named_hash": named_hash,
        "over_hosts": over_hosts,
        "reason_of": reason_of,
        "describe_account": describe_account,
        "glance_at": glance_at,
        "all_changed": all_changed,
        "version": VERSION,
        "act_titles": {each.kind: each.title for each in KINDS},
    }
    return found


TEMPLATES = _made()


def prepare() -> None:
    """Compile all templates: the first page of each kind is not to wait for it."""
    for name in TEMPLATES.list_templates():
        TEMPLATES.get_template(name)


def rendered(name: str, **values: Any) -> str:
    """Return a template filled in."""
    return TEMPLATES.get_template(f"{name}.jinja").render(**values)


LEFT = 70
WIDTH = LEFT + 840
"""Of seven days five for each hour; of fewer, more."""
ALL_HEIGHT, REFUSED_HEIGHT, GAP, ROW = 124, 60, 34, 18
MOST_MARKS = 300
"""Of each kind; of more, the latest."""
_LEAST = 1.5
"""Height of a bar that would be too low to be seen, and width of a mark."""


@dataclass(frozen=True, slots=True)
class Box:
    """One rectangle."""

    x: float
    y: float
    width: float
    height: float
    look: str
    """Its class in the style sheet."""
    words: str = ""
    """What it is, for people who point at it."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of a week."""

    height: float
    boxes: Sequence[Box]
    lines: Sequence[tuple[float, str]]
    """Where days begin, and their names."""
    rows: Sequence[tuple[float, str]]
    """The height of each row's label, and its words."""


def chart_of(week: Week) -> Chart:
    """Return the picture of a week: all requests, those refused on a scale of their own, and events."""
    boxes: list[Box] = []
    step = step_of(week)
    most = max((hour.asked for hour in week.hours), default=0)
    most_refused = max((hour.refused + hour.shed for hour in week.hours), default=0)
    second = ALL_HEIGHT + ROW
    for hour in week.hours:
        x = LEFT + (hour.begin_ns - week.begin_ns) // HOUR_NS * step
        words = _words(hour)
        for below, most_here, height in (
            (ALL_HEIGHT, most, ALL_HEIGHT - GAP),
            (second + REFUSED_HEIGHT, most_refused, REFUSED_HEIGHT - 10),
        ):
            parts = [(hour.refused, "is-refused"), (hour.shed, "is-shed")]
            parts += [(hour.allowed, "is-allowed")] if below == ALL_HEIGHT else []
            y = float(below)
            for number, look in parts:
                if number:
                    tall = max(_LEAST, height * number / most_here)
                    y -= tall
                    boxes.append(Box(x, round(y, 1), step - 1, round(tall, 1), look, words))
    rows = [
        (GAP - 10.0, f"requests, {most:,} an hour at most"),
        (second + 4.0, f"refused and shed, {most_refused:,} an hour at most"),
    ]
    y = float(second + REFUSED_HEIGHT + ROW)
    for kind in WEEK_KINDS:
        spans = week.spans[kind]
        if not spans:
            continue
        rows.append((y + ROW - 6.0, kind))
        for span in spans[-MOST_MARKS:]:
            begin, end = (_place(week, at) for at in (span.begin_ns, span.end_ns))
            words = f"{formatting.instant(span.begin_ns)} UTC, {span.entry.host}: {span.entry.text}"
            boxes.append(
                Box(round(begin, 1), y + 3, round(max(3.0, end - begin), 1), ROW - 6, f"is-{kind}", words)
            )
        y += ROW
    day_ns = 24 * HOUR_NS
    lines = [
        (_place(week, at), day_words(at))
        for at in range(-(-week.begin_ns // day_ns) * day_ns, week.end_ns, day_ns)
    ]
    return Chart(y + 4, boxes, lines, rows)


def _place(week: Week, at_ns: int) -> float:
    within = min(max(at_ns, week.begin_ns), week.end_ns)
    return LEFT + (within - week.begin_ns) / HOUR_NS * step_of(week)


def step_of(week: Week) -> int:
    """Return the width of one hour."""
    return (WIDTH - LEFT) // (week.days_shown * DAY_HOURS)


def _words(hour: Hour) -> str:
    return f"{formatting.instant(hour.begin_ns)} UTC: {hour.as_entry().text}"


MOST_NODES = 500
MOST_IDENTIFIERS = 80
SIZE = 800
_PAYMENT = 2
_INNER, _OUTER, _SPREAD = 150, 340, 34
_GOLDEN = math.pi * (3 - math.sqrt(5))


@dataclass(frozen=True, slots=True)
class Node:
    """One dot of the drawing."""

    x: float
    y: float
    r: float
    label: str
    """What it is, for people who point at it."""
    look: str
    """Its class in the style sheet."""
    hash: int
    identity: str = ""
    """The policy's name for what it is of; empty for an account."""
    lines: str = ""
    """Of an account, the path of its lines,"""
    ties: Sequence[int] = ()
    """and the numbers of the identifiers that these lead to."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture, and how much of the actor is in it."""

    accounts: Sequence[Node]
    identifiers: Sequence[Node]


def drawing_of(links: Links) -> Drawing:
    """Return the drawing of an actor: payment methods on an inner circle, addresses on an outer one.

    Each account lies in the middle of what it was seen with, so accounts that share much lie together.
    """
    places: list[tuple[float, float]] = [(0.0, 0.0)] * len(links.identifiers)
    for radius, ring in (
        (_INNER, [at for at, one in enumerate(links.identifiers) if one.kind == _PAYMENT]),
        (_OUTER, [at for at, one in enumerate(links.identifiers) if one.kind != _PAYMENT]),
    ):
        for number, at in enumerate(ring):
            turn = 2 * math.pi * number / len(ring)
            places[at] = (radius * math.cos(turn), radius * math.sin(turn))
    ties: list[list[int]] = [[] for _ in links.accounts]
    for account, identifier in links.edges:
        ties[account].append(identifier)
    middle = SIZE / 2
    accounts, identifiers = [], []
    for number, (member, tied) in enumerate(zip(links.accounts, ties, strict=True)):
        x = sum(places[at][0] for at in tied) / max(1, len(tied))
        y = sum(places[at][1] for at in tied) / max(1, len(tied))
        # Those with the same ties would lie upon each other: seeds of a sunflower do not.
        away = _SPREAD * math.sqrt((number % 40 + 1) / 40)
        x, y = x + away * math.cos(number * _GOLDEN), y + away * math.sin(number * _GOLDEN)
        lines = []
        for at in tied:
            there = f"{middle + places[at][0]:.0f} {middle + places[at][1]:.0f}"
            lines.append(f"M{middle + x:.0f} {middle + y:.0f}L{there}")
        words = f"account {member.key:016x}, {member.verdict or 'no verdict'}, {member.requests:,} requests"
        look, place = f"is-{member.verdict}", (round(middle + x, 1), round(middle + y, 1))
        accounts.append(Node(*place, 4, words, look, member.key, "", "".join(lines), tied))
    for at, one in enumerate(links.identifiers):
        size = min(18.0, 5 + 2 * math.log2(one.members))
        look = "is-payment" if one.kind == _PAYMENT else "is-place" if one.kind == 0 else "is-extra"
        words = f"{one.identity} {one.hash:016x}: {one.members:,} members, {one.others:,} other accounts"
        x, y = places[at]
        place = round(middle + x, 1), round(middle + y, 1)
        identifiers.append(Node(*place, round(size, 1), words, look, one.hash, one.identity))
    return Drawing(accounts, identifiers)
