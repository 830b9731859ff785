"""Facts of a recorded request for the limiter: path, identities, costs.

An identity that a record carries under its policy name is taken as it is. Otherwise it comes
from where the policy says, as far as a record has that: headers, cookies, the user agent,
the address, the path. State and resolvers exist only in the running
application, so for those the record has to name the value.
"""

from __future__ import annotations

from typing import Any

from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.facts.numbers import NumberForm
from ratelimit.identity.fact import NO_CONTEXT, Context, value_bytes
from ratelimit.policy.compile.compiled import CompiledPolicy, IdentitySpec, SourceSpec
from ratelimit.policy.compile.identities import INTERNAL
from ratelimit.traces import Fields

Pairs = list[tuple[bytes, bytes]]
USER_AGENT = "user-agent"


def fields_of(*policies: CompiledPolicy) -> Fields:
    """Return the record type for some policies: their identities, their units, headers if one reads any."""
    specs = [spec for compiled in policies for spec in compiled.identities]
    read = {source.record.field(source.name) for spec in specs for source in spec.sources} - {None}
    is_trusting = any(compiled.trust.networks or compiled.trust.unix for compiled in policies)
    return Fields(
        list(
            dict.fromkeys(name for compiled in policies for name in (*carried(compiled), *shared(compiled)))
        ),
        list(dict.fromkeys(unit for compiled in policies for unit in compiled.units[1:])),
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
        pairs.append((b"user-agent", _bytes(record.user_agent)))
    if fields.headers and record.headers:
        for name, value in record.headers.items():
            lower = name.lower().encode("latin-1", "replace")
            if lower == b"user-agent" and pairs:
                continue
            for single in value if isinstance(value, list) else (value,):
                if single is not None:
                    pairs.append((lower, _bytes(str(single))))
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


def _bytes(text: str) -> bytes:
    return value_bytes(text) or b""
