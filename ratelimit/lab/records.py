"""One recorded request: its fields, its instant, and what a policy reads of it.

A record type is made for each replay. It has the fields of every trace, and one more for each identity and
unit that the policy names. So the JSON decoder writes straight into slots and skips everything else.

An identity that a record carries under its policy name is taken as it is. Otherwise it comes from where the
policy says, as far as a record has that: headers, cookies, the user agent, the address, the path. State and
resolvers exist only in the running application, so for those the record has to name the value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.facts.numbers import NumberForm
from ratelimit.identity.fact import NO_CONTEXT, Context, value_bytes
from ratelimit.policy.compile.compiled import CompiledPolicy, IdentitySpec, SourceSpec
from ratelimit.policy.compile.identities import INTERNAL

if TYPE_CHECKING:
    from ratelimit.core.replay.members import Form

MAX_COST = 2**31 - 1
FIXED = ("time", "method", "path", "ip", "user_agent", "headers")
USER_AGENT = "user-agent"
_LATEST_S = 9_200_000_000
"""Nanoseconds are kept in 63 bits: until the year 2262."""
_PLAIN: Mapping[NumberForm, Form] = {"seconds": "whole", "dollars": "decimal", "units": "nothing"}
"""What a plain line has for a number; a line with anything else there is decoded whole."""
_NUMBER = re.compile(r"\d{1,19}(?:\.\d{1,9})?$", re.ASCII)
_UNITS = ((10**17, 1), (10**14, 1_000), (10**11, 1_000_000))
"""The least number of nanoseconds, microseconds and milliseconds: no two units overlap from 1973 to 2261."""

Pairs = list[tuple[bytes, bytes]]


class Fields:
    """The record type for some identities and units, and where each name is found in it.

    Args:
        identities: policy names that a line may carry as members of their own.
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
        text = str | None
        slots: list[Any] = [("time", int | float | str), ("method", str), ("path", str), ("ip", text, None)]
        forms: list[Form] = ["time", "required text", "required text", "text"]
        if user_agent:
            slots.append(("user_agent", text, None))
            forms.append("text")
        if headers:
            slots.append(("headers", dict[str, Any] | None, None))
            forms.append("nothing")
        self.attribute: dict[str, str] = {name: name for name in FIXED}
        """Attribute of a record that holds each fixed field, identity or unit, by its name."""
        rename: dict[str, str] = {}
        amount = Annotated[int, msgspec.Meta(ge=0, le=MAX_COST)] | None
        wanted: list[tuple[str, Any, Form]] = [(name, Any, _PLAIN[form]) for name, form in numbers.items()]
        wanted += [(name, str | int | None, "identity") for name in identities]
        wanted += [(name, amount, "amount") for name in units]
        for name, kind, form in wanted:
            if name not in self.attribute:
                slot = self.attribute[name] = f"field_{len(slots)}"
                rename[slot] = name
                slots.append((slot, kind, None))
                forms.append(form)
        self.member: dict[str, int] = {slot[0]: at for at, slot in enumerate(slots)}
        """Place among the members of each attribute that a record has."""
        self.members: list[tuple[str, Form]] = [
            (rename.get(slot, slot), form) for slot, form in zip(self.member, forms, strict=True)
        ]
        """What lines say, by its name there, and what that may be where a line is plain."""
        # Records hold no cycles; untracked, a million of them cost the collector nothing.
        self.type: type[Any] = msgspec.defstruct("Record", slots, rename=rename, gc=False)


def times_ns(records: Sequence[Any]) -> list[int]:
    """Return the instants of some records: `time_ns` of each, quicker.

    Raises:
        ValueError: one of them is no instant.
    """
    times = [record.time for record in records]
    if set(map(type, times)) == {float} and min(times) >= 0 and max(times) < _LATEST_S:
        return [int(time * 1e6 + 0.5) * 1000 for time in times]
    return list(map(time_ns, times))


def time_ns(value: Any) -> int:
    """Return an instant as nanoseconds since the Unix epoch.

    Numbers are seconds, milliseconds, microseconds or nanoseconds, by their size. Fractions of a second are
    rounded to the microsecond, which is what a 64-bit float holds of today's date. Text is such a number,
    RFC 3339, or as access logs write it; without an offset it is read as UTC.

    Raises:
        ValueError: it is no instant between 1970 and 2261.
    """
    if isinstance(value, str):
        if not _NUMBER.match(value):
            return _text_ns(value)
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("time is neither a number nor text")
    if 0 <= value < _LATEST_S:  # NaN compares false and is refused too
        return value * 10**9 if isinstance(value, int) else int(value * 1e6 + 0.5) * 1000
    for least, ns in _UNITS:
        if least <= value < _LATEST_S * 10**9:
            return int(value * ns)
    raise ValueError("time is outside 1970 to 2261")


def _text_ns(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        try:
            instant = datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z")
        except ValueError:
            raise ValueError("the time does not exist, or is not epoch seconds or RFC 3339") from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    seconds = int(instant.replace(microsecond=0).timestamp())
    if not 0 <= seconds < _LATEST_S:
        raise ValueError("time is outside 1970 to 2261")
    return seconds * 10**9 + instant.microsecond * 1000


def fields_of(*policies: CompiledPolicy) -> Fields:
    """Return the record type for some policies: their identities, their units, headers if one reads any."""
    specs = [spec for compiled in policies for spec in compiled.identities]
    read = {source.record.field(source.name) for spec in specs for source in spec.sources} - {None}
    is_trusting = any(compiled.trust.networks or compiled.trust.unix for compiled in policies)
    return Fields(
        [name for compiled in policies for name in (*carried(compiled), *shared(compiled))],
        [unit for compiled in policies for unit in compiled.units[1:]],
        headers=is_trusting or bool(read - {USER_AGENT}),
        user_agent=USER_AGENT in read or any(spec.name == "user_agent" for spec in specs),
        numbers={name: form for compiled in policies for name, form in numbers_of(compiled).items()},
    )


def carried(compiled: CompiledPolicy) -> list[str]:
    """Return the identities that a record can name: all but those that are found out."""
    return [spec.name for spec in compiled.identities if spec.name not in INTERNAL]


def shared(compiled: CompiledPolicy) -> list[str]:
    """Return the members that a record may have for an identity with several fields of the state.

    A trace names these fields, such as `payment` and `sponsor` of a payer, not what the policy makes of them.
    """
    return list(dict.fromkeys(name for spec in compiled.identities for name in members_of(spec)[1:]))


def members_of(spec: IdentitySpec) -> list[str]:
    """Return the members that may have an identity: that of its name, then its fields of the state."""
    fields = [source.name for source in spec.sources if source.record.reading == "state"]
    return [spec.name, *fields] if len(fields) > 1 else [spec.name]


def numbers_of(compiled: CompiledPolicy) -> dict[str, NumberForm]:
    """Return the members that a record may have for numbers, and the form of each."""
    return {each.member: each.form for each in compiled.numbers.values() if each.member is not None}


def header_pairs(record: Any, fields: Fields) -> Pairs:
    """Return a record's headers as ASGI has them."""
    pairs: Pairs = []
    if fields.user_agent and record.user_agent is not None:
        pairs.append((b"user-agent", value_bytes(record.user_agent) or b""))
    if fields.headers and record.headers:
        for name, value in record.headers.items():
            lower = name.lower().encode("latin-1", "replace")
            if lower == b"user-agent" and pairs:
                continue
            for single in value if isinstance(value, list) else (value,):
                if single is not None:
                    pairs.append((lower, value_bytes(str(single)) or b""))
    return pairs


class RecordFacts:
    """Identities of single records, the way the middleware would find them."""

    def __init__(self, bound: BoundPolicy, fields: Fields) -> None:
        self._extractor = bound.extractor
        self._fields = fields
        self._own = [
            (spec.name, [fields.attribute[name] for name in members_of(spec)])
            for spec in bound.compiled.identities
            if spec.name not in INTERNAL
        ]
        self._numbers = [
            (at, fields.attribute[number.member])
            for at, number in bound.compiled.numbers.items()
            if number.member is not None
        ]

    def values(self, record: Any) -> dict[str, str]:
        """Return the identities that a record carries under their own names."""
        found: dict[str, str] = {}
        for name, attributes in self._own:
            for attribute in attributes:
                # An empty value is none, where another one may follow.
                value = getattr(record, attribute)
                if value is not None and (value != "" or attribute == attributes[-1]):
                    found[name] = str(value)
                    break
        return found

    def sourced(self, spec: IdentitySpec, record: Any) -> str | None:
        """Return what an identity's own sources find in a record, as text; None for nothing."""
        pairs = header_pairs(record, self._fields)
        for source in spec.sources:
            if source.record.is_address and record.ip is not None:
                return str(record.ip)
            if source.record.field(source.name) is not None:
                found = self._extractor.look_up(source.as_source(), pairs, None, NO_CONTEXT)
                if found is not None:
                    return found.decode("utf-8", "backslashreplace") or None
        return None

    def found(self, source: SourceSpec, record: Any, matched: Matched) -> bytes | None:
        """Return what one source finds in a record's headers and path, as the extractor does."""
        context = Context(matched.params)
        return self._extractor.look_up(source.as_source(), header_pairs(record, self._fields), None, context)

    def identities(self, record: Any, matched: Matched) -> list[int]:
        """Return the hashed identities of one record, by position."""
        context = NO_CONTEXT
        if self._extractor.needs_context or self._numbers:
            numbers = {at: getattr(record, attribute) for at, attribute in self._numbers}
            context = Context(matched.params, numbers=numbers)
        pairs = header_pairs(record, self._fields)
        return self._extractor.from_values(self.values(record), record.ip, pairs, context)
