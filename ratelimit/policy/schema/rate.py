"""Rates as people write them: the grammar of the `limits` package, whole.

    rates  = rate *( ( "," | ";" | "|" ) rate )
    rate   = amount ( "/" | "per" ) [ multiple ] unit
    unit   = second | minute | hour | day | week | month | year, or its plural

Case and white space do not matter. A month is 30 days and a year 360 days, as
in that package; limits with `calendar = true` use true ones. The week is ours.
One reading differs on purpose: a multiple of 0, taken for 1 there, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ratelimit.policy.schema.problem import nearest

_DAY_S = 86_400
UNIT_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": _DAY_S,
    "week": 7 * _DAY_S,
    "month": 30 * _DAY_S,
    "year": 360 * _DAY_S,
}
LONGEST_TEXT = 256
"""Keeps numbers of absurd length away from `int`."""

_RATE = re.compile(r"\s*([0-9]+)\s*(?:/|per)\s*([0-9]+)?\s*([a-z]+)\s*", re.IGNORECASE)


class RateSyntaxError(ValueError):
    """A text that is not a rate; the message says which part of it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of units in a number of periods: `10 per 5 minutes`."""

    amount: int
    multiple: int
    unit: str

    @property
    def period_s(self) -> int:
        """Length of the period in seconds."""
        return self.multiple * UNIT_SECONDS[self.unit]

    def __str__(self) -> str:
        if self.multiple == 1:
            return f"{self.amount}/{self.unit}"
        return f"{self.amount} per {self.multiple} {self.unit}s"


def parse_rates(text: str) -> tuple[Rate, ...]:
    """Return the rates a text names, in its order.

    Raises:
        RateSyntaxError: the text, or one part of it, is not a rate.
    """
    if len(text) > LONGEST_TEXT:
        raise RateSyntaxError(f"a rate is at most {LONGEST_TEXT} characters long")
    parts = re.split("[,;|]", text)
    # The other package takes one colon before a separator. It is rarely written, but such files exist.
    cleaned = [part.removesuffix(":") for part in parts[:-1]] + parts[-1:]
    return tuple(_parse_rate(part) for part in cleaned)


def _parse_rate(part: str) -> Rate:
    found = _RATE.fullmatch(part)
    if found is None:
        raise RateSyntaxError(f"`{part.strip()}` is not a rate" if part.strip() else "a rate is missing")
    amount, multiple, word = found.groups()
    unit = word.lower()
    unit = unit if unit in UNIT_SECONDS else unit.removesuffix("s")
    if unit not in UNIT_SECONDS:
        raise RateSyntaxError(f"`{word}` is not a period{_meant(unit)}")
    if multiple is not None and int(multiple) == 0:
        raise RateSyntaxError(f"`{part.strip()}` names a period of no length")
    return Rate(int(amount), 1 if multiple is None else int(multiple), unit)


def _meant(word: str) -> str:
    """Return what to write for an abbreviation or a misspelling; `m` may be one of two."""
    meant = [unit for unit in UNIT_SECONDS if unit.startswith(word)]
    near = nearest(word, UNIT_SECONDS)
    meant = meant or ([near] if near else [])
    return f"; write {' or '.join(f'`{unit}`' for unit in meant or UNIT_SECONDS)}"
