"""The chart of a week, as parts of an SVG picture: bars by the hour, and below them what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ratelimit.inspection import formatting
from ratelimit.inspection.history.week import DAY_HOURS, KINDS, Week, day_words
from ratelimit.inspection.journal.entries import HOUR_NS, Hour

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
    for kind in KINDS:
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
