"""Durations as people write them: `90s`, `500 ms`, `0.5s`, `5 minutes`, or seconds as a number."""

from __future__ import annotations

import re

_UNIT_NS = {"ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}
_UNIT_NS["w"] = 7 * _UNIT_NS["d"]
_WORDS = {"second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "day": "d", "week": "w"}
_WORDS["millisecond"] = "ms"
_DURATION = re.compile(r"\s*([0-9]{1,12})(?:\.([0-9]{1,9}))?\s*([a-z]*)\s*", re.IGNORECASE)


def parse_duration(value: str | int) -> int:
    """Return a duration in nanoseconds.

    Raises:
        ValueError: the text is not a duration, or the number is negative.
    """
    if isinstance(value, int):
        if value < 0:
            raise ValueError("a duration cannot be negative")
        return value * _UNIT_NS["s"]
    found = _DURATION.fullmatch(value)
    if found is None:
        raise ValueError(f"`{value}` is not a duration")
    whole, part, named = found.groups(default="")
    word = named.lower() or "s"
    unit = word if word in _UNIT_NS else _WORDS.get(word.removesuffix("s"), "")
    if unit not in _UNIT_NS:
        raise ValueError(f"`{named}` is not a unit of time")
    # In integers: as a float the sum would not be the nanosecond that was written.
    fraction_ns = int(part or 0) * _UNIT_NS[unit] // int("1" + "0" * len(part))
    return int(whole) * _UNIT_NS[unit] + fraction_ns
