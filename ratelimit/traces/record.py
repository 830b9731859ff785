"""One recorded request: its facts, and the instants it may carry.

A record type is made for each replay. It has the fields of every trace, and one more for each
identity and each unit that the caller names. So the JSON decoder writes straight into slots and
skips everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from ratelimit.facts.numbers import FACTS, NumberForm

if TYPE_CHECKING:
    from ratelimit.core.replay.members import Form

MAX_COST = 2**31 - 1
# Nanoseconds are kept in 63 bits: until the year 2262.
_LATEST_S = 9_200_000_000

MEMBERS = tuple(fact.member for fact in FACTS)
"""What lines say of facts that are numbers."""
FIXED = ("time", "method", "path", "ip", "user_agent", "headers")


_PLAIN: Mapping[NumberForm, Form] = {"seconds": "whole", "dollars": "decimal", "units": "nothing"}
"""What a plain line has for a number; a line with anything else there is decoded whole."""


class Fields:
    """The record type for some identities and units, and where each name is found in it.

    Args:
        identities: policy names that a trace line may carry as members of their own.
        units: cost units, likewise.
        headers, user_agent: whether they are wanted; decoding what is not asked for takes time.
        numbers: names and forms of numbers that a line may carry; whatever stands there is kept.

    An identity called as one of the fixed fields (`ip`, `user_agent`) is that field.
    """

    def __init__(
        self,
        identities: Sequence[str] = (),
        units: Sequence[str] = (),
        *,
        headers: bool = True,
        user_agent: bool = True,
        numbers: Mapping[str, NumberForm] = MappingProxyType({}),
    ) -> None:
        self.headers = headers
        self.user_agent = user_agent
        self.units = frozenset(units)
        identity_type = str | int | None
        unit_type = Annotated[int, msgspec.Meta(ge=0, le=MAX_COST)] | None
        self.attribute: dict[str, str] = {name: name for name in FIXED}
        """Attribute of a record that holds each fixed field, identity or unit, by its name."""
        rename: dict[str, str] = {}
        extra: list[tuple[str, Any, Any]] = []
        members: list[tuple[str, str, Form]] = [
            ("time", "time", "time"),
            ("method", "method", "required text"),
            ("path", "path", "required text"),
            ("ip", "ip", "text"),
        ]
        if user_agent:
            members.append(("user_agent", "user_agent", "text"))
        if headers:
            members.append(("headers", "headers", "nothing"))
        self.numbers = tuple(name for name in numbers if name not in FIXED)
        for at, name in enumerate(self.numbers):
            slot = f"number_{at}"
            self.attribute[name] = slot
            rename[slot] = name
            extra.append((slot, Any, None))
            members.append((slot, name, _PLAIN[numbers[name]]))
        for prefix, names, kind in (("identity", identities, identity_type), ("unit", units, unit_type)):
            for position, name in enumerate(names):
                if name in self.attribute:
                    continue
                slot = f"{prefix}_{position}"
                self.attribute[name] = slot
                rename[slot] = name
                extra.append((slot, kind, None))
                members.append((slot, name, "amount" if prefix == "unit" else "identity"))
        self.members: list[tuple[str, Form]] = [(name, form) for _, name, form in members]
        """What lines say, by its name there, and what that may be where a line is plain."""
        self.member: dict[str, int] = {slot: at for at, (slot, _, _) in enumerate(members)}
        """Place among the members of each attribute that a record has."""
        self.type: type[Any] = msgspec.defstruct(
            "Record",
            [
                ("time", int | float | str),
                ("method", str),
                ("path", str),
                ("ip", str | None, None),
                *([("user_agent", str | None, None)] if user_agent else []),
                *([("headers", dict[str, Any] | None, None)] if headers else []),
                *extra,
            ],
            rename=rename,
            gc=False,  # records hold no cycles; untracked, a million of them cost the collector nothing
        )


def times_ns(records: Sequence[Any]) -> list[int]:
    """Return the instants of some records: `time_ns` of each, quicker.

    Raises:
        ValueError: one of them is no instant.
    """
    times = [record.time for record in records]
    if set(map(type, times)) == {float} and min(times) >= 0 and max(times) < _LATEST_S:
        return [int(time * 1e6 + 0.5) * 1000 for time in times]
    return list(map(time_ns, times))


def time_ns(value: int | float | str) -> int:
    """Return an instant as nanoseconds since the Unix epoch.

    Numbers are seconds; fractions are rounded to the microsecond, which is what a
    64-bit float holds of today's date. Text is RFC 3339; without an offset it is
    read as UTC.

    Raises:
        ValueError: it is no instant between 1970 and 2261.
    """
    if type(value) is str:
        return _text_ns(value)
    if 0 <= value < _LATEST_S:  # type: ignore[operator]  # NaN compares false and is refused too
        return value * 1_000_000_000 if type(value) is int else int(value * 1e6 + 0.5) * 1000  # type: ignore[operator]
    if isinstance(value, int | float) and 1e11 < value < 1e19:
        raise ValueError("time is not in seconds (milliseconds, perhaps?)")
    raise ValueError("time is outside 1970 to 2261")


def _text_ns(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("time is not epoch seconds or RFC 3339") from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    whole = instant.replace(microsecond=0)
    seconds = int(whole.timestamp())
    if not 0 <= seconds < _LATEST_S:
        raise ValueError("time is outside 1970 to 2261")
    return seconds * 1_000_000_000 + instant.microsecond * 1000
