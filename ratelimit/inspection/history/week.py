"""A week of a deployment: what its hosts answered by the hour, and what happened meanwhile.

Numbers and events are those of the journal, outages as `folded` has them: each one span of a host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ratelimit.events import KINDS as EVENT_KINDS
from ratelimit.inspection import formatting
from ratelimit.inspection.history.changes import Changes
from ratelimit.inspection.journal.entries import HOUR_NS, Entry, Hour
from ratelimit.inspection.journal.outages import AWAY, OUTAGE, folded

DAY_HOURS = 24
DAYS = (1, 3, 7)
"""How many days people look at."""
KINDS: Mapping[str, tuple[str, ...]] = {
    "outages": (AWAY, OUTAGE),
    **{
        topic: tuple(name for name, kind in EVENT_KINDS.items() if kind.topic == topic)
        for topic in ("actors", "acts", "policies", "others")
    },
}
"""The events of a week by what they are about."""


@dataclass(frozen=True, slots=True)
class Span:
    """One event of the week."""

    begin_ns: int
    end_ns: int
    """The end of an outage, else `begin_ns`."""
    entry: Entry


@dataclass(frozen=True, slots=True)
class Day:
    """One day, in UTC."""

    begin_ns: int
    allowed: int
    refused: int
    shed: int
    worst: Hour
    """The hour in which most was refused and shed."""
    limits: Sequence[tuple[str, int]]
    """The limits with most refusals, and what else refused as much."""
    classes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Of each class of limits that follow the load, requests allowed and shed."""

    @property
    def asked(self) -> int:
        """All requests."""
        return self.allowed + self.refused + self.shed


@dataclass(frozen=True)
class Week:
    """Seven days up to this hour."""

    begin_ns: int
    hours: Sequence[Hour]
    """Those with requests, by time."""
    spans: Mapping[str, Sequence[Span]]
    """By the words of `KINDS`, by time."""
    trouble: Sequence[str]
    days_shown: int = 7

    @property
    def end_ns(self) -> int:
        """The end of the last hour."""
        return self.begin_ns + self.days_shown * DAY_HOURS * HOUR_NS

    @property
    def classes(self) -> Sequence[str]:
        """The classes of limits that follow the load, with requests in these days."""
        return sorted({name for hour in self.hours for name in hour.by_class})

    def around(self, at_ns: int) -> str:
        """Return which share was refused in the hours before and after an instant, as far as known."""
        by_begin = {hour.begin_ns: hour for hour in self.hours}
        begin_ns = at_ns // HOUR_NS * HOUR_NS
        words = (("before", begin_ns - HOUR_NS), ("after", begin_ns + HOUR_NS))
        said = [
            f"{formatting.share(hour.refused + hour.shed, hour.asked)} refused in the hour {word}"
            for word, at in words
            if (hour := by_begin.get(at)) is not None
        ]
        return ", ".join(said)

    @property
    def days(self) -> Sequence[Day]:
        """The days with requests, the latest first."""
        by_day: dict[int, list[Hour]] = {}
        for hour in self.hours:
            by_day.setdefault(hour.begin_ns // (DAY_HOURS * HOUR_NS), []).append(hour)
        return [_day(day * DAY_HOURS * HOUR_NS, by_day[day]) for day in sorted(by_day, reverse=True)]


def week_of(hours: Sequence[Hour], changes: Changes, now_ns: int, days: int = 7) -> Week:
    """Return the week up to now, or fewer days.

    Args:
        hours: what was answered, by the hour.
        changes: what happened.
        now_ns: the time.
        days: how many.
    """
    begin_ns = begin_of(now_ns, days)
    spans: dict[str, list[Span]] = {word: [] for word in KINDS}
    words = {kind: word for word, kinds in KINDS.items() for kind in kinds}
    for entry in folded(changes.entries):
        word = words.get(entry.kind)
        if word is not None:
            end_ns = now_ns if entry.kind == AWAY else entry.end_ns or entry.time_ns
            spans[word].append(Span(entry.time_ns, end_ns, entry))
    within = [each for each in hours if each.begin_ns >= begin_ns]
    return Week(begin_ns, within, spans, changes.trouble, days)


def begin_of(now_ns: int, days: int = 7) -> int:
    """Return when the days up to now began: at a full hour."""
    return (now_ns // HOUR_NS + 1 - days * DAY_HOURS) * HOUR_NS


def day_words(begin_ns: int) -> str:
    """Return a day as people read it: `Thu 26 Nov`."""
    return datetime.fromtimestamp(begin_ns / 1e9, UTC).strftime("%a %d %b")


def _day(begin_ns: int, hours: Sequence[Hour]) -> Day:
    limits: dict[str, int] = {}
    classes: dict[str, tuple[int, int]] = {}
    for hour in hours:
        for name, (allowed, shed) in hour.by_class.items():
            before = classes.get(name, (0, 0))
            classes[name] = before[0] + allowed, before[1] + shed
        for name, refused in hour.foremost:
            limits[name] = limits.get(name, 0) + refused
    return Day(
        begin_ns,
        sum(hour.allowed for hour in hours),
        sum(hour.refused for hour in hours),
        sum(hour.shed for hour in hours),
        max(hours, key=lambda hour: (hour.refused + hour.shed, -hour.begin_ns)),
        sorted(limits.items(), key=lambda one: (-one[1], one[0]))[:3],
        dict(sorted(classes.items())),
    )
