"""Reports of an application about real costs, as far as they can be charged.

A report comes at the end of a stream, often from a `finally`. So nothing in it raises: what cannot
be charged is said once in the log, with what was probably meant, and the estimate stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ratelimit.deciding.route_plan import MAX_COST
from ratelimit.environment.printable import printable
from ratelimit.environment.spelling import nearest
from ratelimit.limiter import Limiter
from ratelimit.usage.compile import USAGE_UNITS

_LONGEST_WORD = 64


def chargeable(limiter: Limiter, units: Any, more: Mapping[str, Any]) -> dict[str, int]:
    """Return the reported units that can be charged; the others are said once."""
    if units is not None and not isinstance(units, Mapping):
        limiter.runtime.diagnose("settle-number", about=f"{type(units).__name__} is no mapping of units.")
        units = None
    known = limiter.current.compiled.units
    found: dict[str, int] = {}
    for unit, cost in {**(units or {}), **more}.items():
        if unit not in known:
            if unit not in USAGE_UNITS:
                _say_unknown(limiter, unit, known)
        elif type(cost) is int and 0 <= cost <= MAX_COST:
            # bool is an int, and `True` tokens are a mistake; NaN and infinity are floats.
            found[unit] = cost
        else:
            limiter.runtime.diagnose("settle-number", about=f"`{_shown(unit)}` was {_shown(repr(cost))}.")
    return found


def _say_unknown(limiter: Limiter, unit: Any, known: tuple[str, ...]) -> None:
    meant = nearest(unit, known) if isinstance(unit, str) else None
    hint = f"did you mean `{meant}`?" if meant else f"There are: {', '.join(known)}."
    limiter.runtime.diagnose("settle-unit", about=f"`{_shown(unit)}`: {hint}")


def _shown(word: Any) -> str:
    return printable(str(word)[:_LONGEST_WORD])
