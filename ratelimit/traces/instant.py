"""Instants as logs write them: epoch numbers of any unit, RFC 3339, and the access log's own form.

Numbers are seconds, milliseconds, microseconds or nanoseconds by their size. Of the years 1973 to
2261 no two of these can be mistaken for one another. Text without an offset is read as UTC.
"""

from __future__ import annotations

import re
from calendar import timegm
from typing import Any

from ratelimit.traces.record import time_ns

MONTHS = {
    name: index
    for index, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], start=1
    )
}
LATEST_S = 9_200_000_000
# Of the oldest an instant may be: in milliseconds from 1973 on, in others from 1970 and a day.
_MILLISECONDS, _MICROSECONDS, _NANOSECONDS = 10**11, 10**14, 10**17
_REMEMBERED = 10_000

# `17/May/2015:10:05:03 +0200`; HAProxy has milliseconds and no offset.
_LOGGED = re.compile(
    r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?: ([+-])(\d\d)(\d\d))?$", re.ASCII
)
_NUMBER = re.compile(r"\d{1,19}(?:\.\d{1,9})?$", re.ASCII)
_BAD = "the time is not epoch seconds, RFC 3339, or of the form 17/May/2015:10:05:03 +0000"


class Instants:
    """Turns what stands for a time into nanoseconds since the epoch.

    Remembers the last ones: a log repeats the current second.
    """

    def __init__(self) -> None:
        self._known: dict[Any, int] = {}

    def __call__(self, value: Any) -> int:
        """Return the instant.

        Raises:
            ValueError: it is none between 1970 and 2261.
        """
        known = self._known.get(value) if type(value) is str else None
        if known is not None:
            return known
        instant = any_time_ns(value)
        if type(value) is str:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[value] = instant
        return instant


def any_time_ns(value: Any) -> int:
    """Return an instant in any notation as nanoseconds since the epoch.

    Raises:
        ValueError: it is none between 1970 and 2261.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(_BAD)
    if not isinstance(value, str):
        return _number_ns(value)
    if _NUMBER.match(value):
        return _number_ns(float(value) if "." in value else int(value))
    logged = _LOGGED.match(value)
    return time_ns(value) if logged is None else _logged_ns(logged)


def _number_ns(value: int | float) -> int:
    if not 0 <= value < LATEST_S * 10**9:  # NaN compares false and is refused too
        raise ValueError("time is outside 1970 to 2261")
    for least, ns in ((_NANOSECONDS, 1), (_MICROSECONDS, 1_000), (_MILLISECONDS, 1_000_000)):
        if value >= least:
            return int(value * ns)
    return time_ns(value)


def _logged_ns(match: re.Match[str]) -> int:
    day, name, year, hour, minute, second, fraction, sign, zone_h, zone_m = match.groups()
    month = MONTHS.get(name, 0)
    if not (month and 1 <= int(day) <= 31 and int(hour) < 24 and int(minute) < 60 and int(second) <= 60):
        raise ValueError("the time does not exist")
    seconds = timegm((int(year), month, int(day), int(hour), int(minute), int(second)))
    if sign is not None:
        offset = int(zone_h) * 3600 + int(zone_m) * 60
        seconds -= offset if sign == "+" else -offset
    if not 0 <= seconds < LATEST_S:
        raise ValueError("time is outside 1970 to 2261")
    return seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))
