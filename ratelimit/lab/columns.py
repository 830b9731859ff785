"""Identities of a whole batch, column by column.

Theory of operation. Most policies look at addresses, accounts and clients, and nothing else: then each
identity is a column of hashes, made in one compiled call. A record that brings a header which the policy
reads, and each one where the policy reads paths, goes through the extractor like a live request. A test holds
both ways equal. What identities mean is not looked at here: that is the decider's.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from ratelimit.core.replay.columns import (
    absent_column,
    address_column,
    amount_column,
    blank_column,
    columns_of,
    declared_column,
    fill_absent,
    hash_column,
    number_column,
    put_row,
    refuse,
    zero_column,
)
from ratelimit.core.request import grammar
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.facts.sources import ORIGIN, Reading
from ratelimit.identity.fact import LONGEST_VALUE
from ratelimit.lab.records import USER_AGENT, Fields, RecordFacts, members_of
from ratelimit.lab.traces import PlainLines, column
from ratelimit.policy.compile.compiled import IdentitySpec

ADDRESS, AGENT, HEADERS = "ip", "user_agent", "headers"
_ALL_ONES = 2**64 - 1
"""Where a row says ABSENT, a column has all ones."""
_BY_COLUMN: frozenset[Reading] = frozenset(("address", "line", "cookie", "state", "answer", "nothing"))
"""The ways to a value that a record has in a field: its address, its headers, or a member of its own."""
_OF_VALUES: dict[str, Callable[..., Any]] = {
    "hashes": lambda values, hasher, kind, longest, other: hash_column(hasher, kind, values, longest, other),
    "blanks": lambda values, scanner, position: blank_column(scanner, position, values),
    "declared": lambda values, scanner, position: declared_column(scanner, position, values),
    "numbers": number_column,
    "amounts": amount_column,
    "absent": lambda values: [at for at, value in enumerate(values) if value is None],
}
"""What is made of decoded values, by the name that `Spans` has for it."""


class Identities(NamedTuple):
    """What the records of a batch say of themselves."""

    columns: list[array[int]]
    """For each place of an identity list what stands there; all ones for ABSENT and REFUSED."""
    refused: array[int]
    """Bits for each record, at the places that are REFUSED."""


class Rows:
    """The records of a batch as columns, one an attribute: decoded, or found in place in plain lines."""

    def __init__(self, records: Sequence[Any], fields: Fields) -> None:
        self._records = records
        self._member = fields.member
        self._spans = records.spans if isinstance(records, PlainLines) else None

    def __len__(self) -> int:
        return len(self._records)

    def values(self, attribute: str) -> list[Any]:
        """Return one attribute of each record."""
        return column(self._records, attribute)

    def says(self, attribute: str) -> bool:
        """Return whether one of them may have an attribute."""
        member = self._member.get(attribute)
        return member is not None and (self._spans is None or not self._spans.is_absent(member))

    def made(self, way: str, attribute: str, *more: Any) -> Any:
        """Return the column that `core.replay.columns` makes of an attribute, by its name in `Spans`."""
        if self._spans is not None:
            return getattr(self._spans, way)(self._member[attribute], *more)
        return _OF_VALUES[way](self.values(attribute), *more)


_Way = Callable[[Rows], tuple["array[int]", list[int]]]
"""Makes the column of one identity, and tells the places of records that lack what the policy insists on."""


class IdentityColumns:
    """Turns records into columns of identity hashes, or into rows."""

    def __init__(self, bound: BoundPolicy, fields: Fields) -> None:
        self._facts = RecordFacts(bound, fields)
        self._bound = bound
        self._fields = fields
        self._listed_at = bound.extractor.listed_at
        compiled = bound.compiled
        sources = [(spec, source) for spec in compiled.identities for source in spec.sources]
        self._headers = frozenset(source.name for _, source in sources if source.record.reading == "line")
        # Where headers speak for the client's address, hold cookies, have a form of their own, or a list
        # names a value that counts wherever it stands, a record with any header is looked at by itself.
        self._all_headers = bool(
            compiled.trust.networks or compiled.trust.unix or compiled.allow.values or compiled.deny.values
        ) or any(
            source.record.field(source.name) is not None
            and (source.record.reading != "line" or source.read_as != "text")
            for _, source in sources
        )
        # A path's parameters are another route's elsewhere. An address behind other sources would have to be
        # looked at in its turn.
        is_plain = all(
            source.record.reading in _BY_COLUMN and not (source.record.is_address and len(spec.sources) > 1)
            for spec, source in sources
        )
        self._ways = [self._way(spec) for spec in compiled.identities] if is_plain else None

    def columns(self, records: Sequence[Any], matches: Sequence[Matched]) -> Identities:
        """Return the identities of some records, given what of the policy applies to each."""
        rows = Rows(records, self._fields)
        odd = set(range(len(records))) if self._ways is None else self._odd(rows)
        if self._ways is None or len(odd) > len(records) // 2:
            return Identities(*columns_of(self.rows(records, matches), self._listed_at + 1))
        columns: list[array[int]] = []
        refused = zero_column(len(records))
        for position, way in enumerate(self._ways):
            found, lacking = way(rows)
            columns.append(found)
            if lacking:
                refuse(refused, position, lacking)
        columns.append(zero_column(len(records)))
        columns.append(rows.made("declared", ADDRESS, self._bound.extractor.scanner, self._listed_at))
        for at in odd:
            put_row(columns, refused, at, self._facts.identities(records[at], matches[at]))
        return Identities(columns, refused)

    def rows(self, records: Sequence[Any], matches: Sequence[Matched]) -> list[list[int]]:
        """Return a row for each record."""
        return list(map(self._facts.identities, records, matches))

    def _odd(self, rows: Rows) -> set[int]:
        """Return the records of which columns cannot say all."""
        odd = set(rows.made("absent", ADDRESS))
        if rows.says(HEADERS):
            for at, headers in enumerate(rows.values(HEADERS)):
                if headers and (self._all_headers or not self._headers.isdisjoint(map(str.lower, headers))):
                    odd.add(at)
        if USER_AGENT in self._headers and rows.says(AGENT):
            agents = rows.values(AGENT)
            strange = {agent for agent in set(agents) if not _is_plain_text(agent)}
            if strange:
                odd.update(at for at, agent in enumerate(agents) if agent in strange)
        return odd

    def _way(self, spec: IdentitySpec) -> _Way:
        extractor, fields, source = self._bound.extractor, self._fields, spec.sources[0].record
        scanner, position = extractor.scanner, spec.index
        number = self._bound.compiled.numbers.get(position)
        if source is ORIGIN:
            return lambda rows: (rows.made("declared", ADDRESS, scanner, position), [])
        if source.reading == "nothing":  # found when the record's turn has come
            return lambda rows: (absent_column(len(rows)), [])
        if number is not None:
            member, read = fields.attribute.get(number.member or ""), partial(extractor.number, position)
            return lambda rows: (
                rows.made("numbers", member, number.form, read)
                if member is not None and rows.says(member)
                else absent_column(len(rows)),
                [],
            )
        return partial(self._hashes, spec, self._attributes(spec))

    def _attributes(self, spec: IdentitySpec) -> list[str]:
        """Return the attributes of records that may say an identity, in the order in which they count."""
        found = [self._fields.attribute[name] for name in members_of(spec)]
        if spec.is_address and ADDRESS in found:
            found = []
        if any(source.record.reading == "line" and source.name == USER_AGENT for source in spec.sources):
            found.append(AGENT)
        return list(dict.fromkeys(found))

    def _hashes(self, spec: IdentitySpec, attributes: list[str], rows: Rows) -> tuple[array[int], list[int]]:
        """Return an identity's column: what records say, else what stands in for it at their address."""
        extractor, hasher = self._bound.extractor, self._bound.store.hasher
        kind = hasher.kind_of(spec.name)
        found: array[int] | None = None

        def other(value: Any) -> int:
            return extractor.value_hash(spec.name, str(value))

        for attribute in filter(rows.says, attributes):
            if spec.is_address:
                values = rows.values(attribute)
                said, unsaid = address_column(hasher, kind, spec.v4_prefix, spec.v6_prefix, values, other)
            else:
                said, unsaid = rows.made("hashes", attribute, hasher, kind, LONGEST_VALUE, other)
            if found is not None:
                unsaid = fill_absent(found, said)
            elif unsaid < len(said):
                found = said
            if not unsaid:
                return said if found is None else found, []
        otherwise, lacking = rows.made("blanks", ADDRESS, extractor.scanner, spec.index)
        if found is None:
            return otherwise, lacking
        lacking = [at for at in lacking if found[at] == _ALL_ONES]
        fill_absent(found, otherwise)
        return found, lacking


def _is_plain_text(value: str | None) -> bool:
    if value is None or value == "":
        return True
    return value.isascii() and grammar.text(written := value.encode("ascii")) == written
