"""Starts of calendar windows: true months, local midnights, in a named zone.

Pure arithmetic over the time zone database; no clock is read.

Theory of operation. A window starts at the *first instant* at which the local
date (and hour, minute) is that of the window. Where the clocks go forward over a window's nominal
start, it starts with the jump. Where they go back over it, the first of the two readings counts and
the second is ignored. Days are thus 23, 24 or 25 hours long (and Samoa's 30 December 2011 has no
window at all). An hour that the clocks read twice is two windows, half an hour read twice belongs
to the window around it. Starts ascend strictly, and every instant is in exactly one window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache, partial
from itertools import islice
from typing import Literal

from ratelimit.environment.spelling import nearest

Unit = Literal["minute", "hour", "day", "week", "month", "year"]
UNITS: tuple[Unit, ...] = ("minute", "hour", "day", "week", "month", "year")

_SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=64)
def zone_named(name: str) -> tzinfo:
    """Return a time zone of the database by name; `UTC` needs no database.

    Raises:
        ValueError: no such zone, or no such name can be.
    """
    if name == "UTC":
        return UTC
    # Imported here: what finds the database takes longer to load than a small policy to read.
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        # A directory of the database, or a name that leads out of it, is an OSError or ValueError.
        raise ValueError(f"unknown time zone {name!r}") from error


def likely_zone(name: str) -> str:
    """Return the zone that was meant by a name in another case, by a city, or with a slip; else nothing."""
    from zoneinfo import available_timezones  # as above

    word = name.lower().replace(" ", "_")
    known = sorted(available_timezones() | {"UTC"}, key=lambda zone: (len(zone), zone))
    same = (zone for zone in known if word in (zone.lower(), zone.lower().rpartition("/")[2]))
    return next(same, None) or nearest(name, known) or ""


def starts(unit: Unit, zone: str, after_ns: int, count: int) -> list[int]:
    """Return `count` ascending window starts, in nanoseconds since the epoch.

    The first is the start of the window that `after_ns` is in; each next one is
    the end of the one before.
    """
    place = zone_named(zone)
    after_s = after_ns // _SECOND_NS
    ascending = (_clock_starts if unit in ("minute", "hour") else _date_starts)(unit, place, after_s)
    window = next(ascending)
    following = next(ascending)
    while following <= after_s:
        window, following = following, next(ascending)
    found = [window, following, *islice(ascending, max(0, count - 2))]
    return [start * _SECOND_NS for start in found[:count]]


def _clock_starts(unit: Unit, place: tzinfo, after_s: int) -> Iterator[int]:
    """Yield minute or hour starts from a little before `after_s` on."""
    size = 60 if unit == "minute" else 3600
    instant = after_s - 3 * size
    instant -= (instant + _offset(place, instant)) % size
    while True:
        yield instant
        offset = _offset(place, instant)
        following = instant + size - (instant + offset) % size
        changed = _offset(place, following)
        if (changed - offset) % size:
            # The clocks move by part of a window before its end: the grid itself moves.
            jump = _first(instant, following, partial(_has_moved, place, offset))
            if (jump + changed) // size > (instant + offset) // size:
                following = jump
            else:
                following = jump + -(jump + changed) % size
        instant = following


def _date_starts(unit: Unit, place: tzinfo, after_s: int) -> Iterator[int]:
    """Yield day, week, month or year starts from a little before `after_s` on."""
    local = _local(place, after_s).replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "week":
        local -= timedelta(days=local.weekday())
    elif unit == "month":
        local = local.replace(day=1)
    elif unit == "year":
        local = local.replace(month=1, day=1)
    local = _moved(unit, local, -1)
    last: int | None = None
    while True:
        instant = _instant(place, local)
        if last is None or instant > last:
            yield instant
            last = instant
        local = _moved(unit, local, 1)


def _moved(unit: Unit, local: datetime, steps: int) -> datetime:
    if unit == "day":
        return local + timedelta(days=steps)
    if unit == "week":
        return local + timedelta(weeks=steps)
    if unit == "year":
        return local.replace(year=local.year + steps)
    months = local.year * 12 + local.month - 1 + steps
    return local.replace(year=months // 12, month=months % 12 + 1)


def _instant(place: tzinfo, wall: datetime) -> int:
    """Return the first second at which clocks there read `wall` or later."""
    # In a gap, reading with the offset before it (fold 0) lands too late, and with the one after
    # it (fold 1) too early. The jump itself lies in between.
    latest = _second(wall.replace(tzinfo=place, fold=0))
    earliest = _second(wall.replace(tzinfo=place, fold=1))
    if earliest >= latest:
        return latest
    return _first(earliest - 1, latest, lambda second: _local(place, second) >= wall)


def _first(outside: int, inside: int, holds: Callable[[int], bool]) -> int:
    """Return the least second in (outside, inside] where `holds`, which it does from there on."""
    while inside - outside > 1:
        middle = (outside + inside) // 2
        if holds(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _has_moved(place: tzinfo, offset: int, second: int) -> bool:
    return _offset(place, second) != offset


def _second(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1)


def _local(place: tzinfo, second: int) -> datetime:
    """Return what clocks there read, without a zone."""
    return (_EPOCH + timedelta(seconds=second)).astimezone(place).replace(tzinfo=None, fold=0)


def _offset(place: tzinfo, second: int) -> int:
    offset = (_EPOCH + timedelta(seconds=second)).astimezone(place).utcoffset()
    return 0 if offset is None else offset // timedelta(seconds=1)
