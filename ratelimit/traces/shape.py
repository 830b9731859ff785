"""The shape of a trace's format: the place of each fact, from the format or from the caller's field map.

A row is a mapping: a JSON object, the named parts of a log line, the columns of a table. A
shape says for each thing wanted in which places of a row it may stand; the first place
that holds something is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ratelimit.traces.record import MEMBERS

MOST_PLACES = 64
_LONGEST_PLACE = 200
HEADER = "header:"
TARGETS = ("time", "method", "path", "request", "ip", "forwarded", "user_agent", "headers", *MEMBERS)
"""What a shape may place, beside `header:NAME`, identities and units."""
NOTHING = (None, "", "-")
"""What logs write for a value that is not there."""


class MappingWrong(ValueError):
    """A field map that cannot be used; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a value in a row: steps down from its top; or a constant, the same for each row."""

    steps: tuple[str, ...] = ()
    constant: str | None = None

    def find(self, row: Mapping[str, Any]) -> Any:
        """Return what stands there, of a list its first item; None for nothing."""
        if self.constant is not None:
            return self.constant
        value: Any = row.get(".".join(self.steps)) if len(self.steps) > 1 else None
        if value is None:
            value = row
            for step in self.steps:
                value = _down(value, step)
                if value is None:
                    return None
        while isinstance(value, list):
            value = value[0] if value else None
        return value


def _down(value: Any, step: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(step)
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    return None


def at(*written: str) -> tuple[Place, ...]:
    """Return places by their dotted paths."""
    return tuple(Place(tuple(path.split("."))) for path in written)


@dataclass(frozen=True, slots=True)
class Shape:
    """The places of the wanted values in a format's rows."""

    places: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)
    header_prefix: str = ""
    """Members that begin so are request headers, as nginx names its variables; empty for none."""
    redacted: str = ""
    """What the format writes in place of a secret header; such a header counts as not there."""

    def with_map(self, mapping: FieldMap) -> Shape:
        """Return this shape with a caller's places before its own."""
        places = dict(self.places)
        for target, place in mapping.places.items():
            places[target] = (place, *places.get(target, ()))
        # A map that places the method or the path means them, not the request line.
        if "request" in places and {"method", "path"} & set(mapping.places):
            places["request"] = ()
        return Shape(places, self.header_prefix, self.redacted)


@dataclass(frozen=True, slots=True)
class FieldMap:
    """The caller's words about the places of fields: `time=ts`, `path==/v1/chat`."""

    places: Mapping[str, Place] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.places)

    @classmethod
    def parse(cls, written: Iterable[str], known: Iterable[str] = ()) -> FieldMap:
        """Return the map that some texts say, each `NAME=FIELD` or `NAME==TEXT`, several by commas.

        Args:
            written: the texts.
            known: identities and units that may be placed beside the fixed fields.

        Raises:
            MappingWrong: one of them says nothing, or places what no policy knows.
        """
        targets = [*TARGETS, *known]
        places: dict[str, Place] = {}
        for part in (part.strip() for text in written for part in _parts(text)):
            target, equals, source = part.partition("=")
            if not equals or not target or source in ("", "="):
                raise MappingWrong(f"--map {part}: write NAME=FIELD, or NAME==TEXT for the same on each line")
            if target.lower().startswith(HEADER):
                target = target.lower()
            elif target not in targets:
                raise MappingWrong(f"--map {part}: no {target!r} is wanted; there are {', '.join(targets)}")
            if len(source) > _LONGEST_PLACE or len(places) >= MOST_PLACES:
                raise MappingWrong(f"--map: more than {MOST_PLACES} fields, or a name that is too long")
            constant = source[1:] if source.startswith("=") else None
            places[target] = Place(() if constant is not None else tuple(source.split(".")), constant)
        return cls(places)


NO_MAP = FieldMap()


def _parts(text: str) -> list[str]:
    """Return the parts of a map in one argument: a comma ends one only where another begins."""
    return re.split(r",(?=[^,=]+=)", text)
