"""Rates as people write them: the grammar of the `limits` package, and short words for its periods.

    rates  = rate *( ( "," | ";" | "|" ) rate )
    rate   = amount ( "/" | "per" ) [ multiple ] unit
    amount = digits, with `_` between them; a fraction where the unit is dollars
    unit   = second | minute | hour | day | week | month | year, its plural, or a short word: s, min, h, …
           | lifetime

Case and white space do not matter, but for `M`, which may be a minute or a month. A month is 30 days and a
year 360 days, as in that package; limits by the calendar use true ones. The week is ours, and so is
the lifetime: `20/lifetime` are 20 in all, and time gives none back.
One reading differs on purpose: a multiple of 0, taken for 1 there, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ratelimit.environment.spelling import nearest

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
SHORT = {
    "s": "second",
    "sec": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "d": "day",
    "w": "week",
    "wk": "week",
    "mo": "month",
    "y": "year",
    "yr": "year",
}
"""Short words, which may have a plural's `s`, too. `m` is a minute here, as it is in durations."""
LIFETIME = "lifetime"
"""The unit of a rate without a period."""
LONGEST_TEXT = 256
"""Keeps numbers of absurd length away from `int`."""

_RATE = re.compile(
    r"\s*([0-9]+(?:_[0-9]+)*)(?:\.([0-9]+))?\s*(?:/|per)\s*([0-9]+)?\s*([a-z]+)\s*", re.IGNORECASE
)
_PLAIN = re.compile(r"\s*([0-9]+)()\s*(?:/|per)\s*([0-9]+)?\s*([a-z]+)\s*", re.IGNORECASE)
_LIKE = re.compile(r"\s*([0-9]+)\s*([km])\s*(/|per)(.*)", re.IGNORECASE | re.DOTALL)
_DOLLARS = re.compile(
    r"(?:\$|usd)?\s*([0-9_.]+)\s*(?:\$|usd|dollars?)?\s*(/|per)(.*)", re.IGNORECASE | re.DOTALL
)
_THOUSANDS = re.compile(r"\s*\$?[0-9]{1,3}(?:,[0-9]{3})+\s*(?:/|per).*", re.IGNORECASE | re.DOTALL)


class RateSyntaxError(ValueError):
    """A text that is not a rate; the message says which part of it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of units in a number of periods: `10 per 5 minutes`."""

    amount: int
    multiple: int
    unit: str
    millionths: int = 0
    """The millionths of a unit beyond `amount`: of a dollar, since nothing else has parts."""

    @property
    def period_s(self) -> int:
        """Length of the period in seconds; 0 for a lifetime."""
        return 0 if self.unit == LIFETIME else self.multiple * UNIT_SECONDS[self.unit]

    def __str__(self) -> str:
        amount = str(self.amount)
        if self.millionths:
            amount += f".{self.millionths:06}".rstrip("0")
        if self.multiple == 1:
            return f"{amount}/{self.unit}"
        return f"{amount} per {self.multiple} {self.unit}s"


def parse_rates(text: str, *, as_limits_does: bool = False) -> tuple[Rate, ...]:
    """Return the rates a text names, in its order.

    Args:
        text: the rates.
        as_limits_does: refuse what that package does not know, but weeks.

    Raises:
        RateSyntaxError: the text, or one part of it, is not a rate.
    """
    if len(text) > LONGEST_TEXT:
        raise RateSyntaxError(f"a rate is at most {LONGEST_TEXT} characters long")
    if _THOUSANDS.fullmatch(text):
        raise RateSyntaxError(f"`{text.strip()}` has a comma, which parts two rates; write `1000` or `1_000`")
    parts = re.split("[,;|]", text)
    # The other package takes one colon before a separator. It is rarely written, but such files exist.
    cleaned = [part.removesuffix(":") for part in parts[:-1]] + parts[-1:]
    if as_limits_does:
        return tuple(_parse_rate(part, _PLAIN, {}) for part in cleaned)
    return tuple(_parse_rate(part, _RATE, SHORT) for part in cleaned)


def has_lifetime(text: str | None) -> bool:
    """Return whether one of the rates that a text names is of a lifetime."""
    try:
        return text is not None and any(rate.unit == LIFETIME for rate in parse_rates(text))
    except RateSyntaxError:
        return False  # which is said where it is read


def _parse_rate(part: str, grammar: re.Pattern[str], short: dict[str, str]) -> Rate:
    found = grammar.fullmatch(part)
    if found is None:
        raise RateSyntaxError(_no_rate(part))
    amount, fraction, multiple, word = found.groups()
    unit = _unit(word, short)
    if unit is None:
        raise RateSyntaxError(f"`{word}` is not a period{_meant(word.lower())}")
    if multiple is not None and int(multiple) == 0:
        raise RateSyntaxError(f"`{part.strip()}` names a period of no length")
    if multiple is not None and unit == LIFETIME:
        raise RateSyntaxError(f"`{part.strip()}` names several lifetimes")
    digits = (fraction or "").rstrip("0")
    if len(digits) > 6:
        raise RateSyntaxError(f"`{part.strip()}` is finer than a millionth")
    return Rate(
        int(amount),
        1 if multiple is None else int(multiple),
        unit,
        int(digits.ljust(6, "0")) if digits else 0,
    )


def _unit(word: str, short: dict[str, str]) -> str | None:
    if word == "M":
        return None  # a minute to some, a month to others
    lower = word.lower()
    if lower == LIFETIME:
        return LIFETIME if short else None  # which the other package does not know
    if lower in short:
        return short[lower]
    singular = lower.removesuffix("s")
    if len(singular) > 1 and singular in short:
        return short[singular]
    return lower if lower in UNIT_SECONDS else singular if singular in UNIT_SECONDS else None


def _no_rate(part: str) -> str:
    if not part.strip():
        return "a rate is missing"
    words = f"`{part.strip()}` is not a rate"
    dollars = _DOLLARS.fullmatch(part.strip())
    if dollars is not None:
        rate = f"{dollars[1]}{'/' if dollars[2] == '/' else f' {dollars[2]}'}{dollars[3]}"
        if _RATE.fullmatch(rate):
            return f'{words}; write `{rate}`, with `unit = "usd"` for dollars'
    like = _LIKE.fullmatch(part)
    if like is not None:
        zeros = "_000" if like[2].lower() == "k" else "_000_000"
        between = "/" if like[3] == "/" else f" {like[3]}"
        words += f"; write `{like[1]}{zeros}{between}{like[4].rstrip()}`"
    return words


def _meant(word: str) -> str:
    """Return what to write for an abbreviation or a misspelling; `M` may be one of two."""
    meant = [unit for unit in UNIT_SECONDS if unit.startswith(word)]
    near = nearest(word, UNIT_SECONDS)
    meant = meant or ([near] if near else [])
    return f"; write {' or '.join(f'`{unit}`' for unit in meant or UNIT_SECONDS)}"
