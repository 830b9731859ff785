"""States as text: what a store that keeps the specification's states elsewhere writes and reads."""

from __future__ import annotations

import json
from typing import Any

from ratelimit.parsing.json import read_json
from ratelimit.reference.distinct import WindowMembers
from ratelimit.reference.log import Record
from ratelimit.reference.sliding import Pair
from ratelimit.reference.slots import Slot
from ratelimit.reference.window import Count

_NAMED: dict[str, Any] = {kind.__name__: kind for kind in (Count, Pair, Record, Slot, WindowMembers)}


def written(state: Any) -> str:
    """Return a state as text."""
    return json.dumps(_plain(state))


def read(text: str) -> Any:
    """Return the state that a text was written from.

    Raises:
        KeyError, TypeError, ValueError: it is no such text.
    """
    return _state(read_json(text))


def _plain(value: Any) -> Any:
    """Return numbers as they are, and what is made of others as a list behind the name of its kind."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, frozenset):
        return ["set", *sorted(value)]
    name = type(value).__name__ if type(value).__name__ in _NAMED else "tuple"
    return [name, *map(_plain, value)]


def _state(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    name, *parts = value
    if name == "set":
        return frozenset(parts)
    parts = [_state(part) for part in parts]
    return tuple(parts) if name == "tuple" else _NAMED[name](*parts)
