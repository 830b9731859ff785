"""Identities of a whole batch, column by column.

Theory of operation. Most policies look at addresses, accounts and clients, and nothing
else: then each identity is a column of hashes, made in one compiled call. A record that brings odd
headers, and each one where the policy reads paths, goes through the extractor like a live request. A
test holds both ways equal. What identities mean is not looked at here: that is the decider's.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from ratelimit.core.replay.columns import (
    absent_column,
    address_column,
    columns_of,
    fill_absent,
    hash_column,
    number_column,
    put_row,
    refuse,
    zero_column,
)
from ratelimit.core.request import grammar
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.facts.numbers import Number
from ratelimit.facts.sources import ORIGIN, Reading
from ratelimit.identity.fact import LONGEST_VALUE
from ratelimit.policy.compile.compiled import IdentitySpec
from ratelimit.replay.facts import USER_AGENT, RecordFacts, members_of
from ratelimit.replay.rows import Rows, rows_of
from ratelimit.traces import Fields

_USER_AGENT = "user_agent"


class Identities(NamedTuple):
    """What the records of a batch say of themselves."""

    columns: list[array[int]]
    """For each place of an identity list what stands there; all ones for ABSENT and REFUSED."""
    refused: array[int]
    """Bits for each record, at the places that are REFUSED."""


class IdentityColumns:
    """Turns records into columns of identity hashes, or into rows."""

    def __init__(self, bound: BoundPolicy, fields: Fields) -> None:
        self._facts = RecordFacts(bound, fields)
        self._fields = fields
        # Headers are read column by column unless they speak for the client's address, hold cookies, or
        # have a form of their own, or a list names one. Each also has to be one line of plain text.
        self._has_odd_headers = fields.headers and not _reads_headers_plainly(bound)
        self._lowered = Lowered(fields, _header_names(bound))
        extractor = bound.extractor
        self._size = extractor.listed_at + 1
        self._scanner = extractor.scanner
        self._listed_at = extractor.listed_at
        self._columns: list[_AnyColumn] | None = None
        if _is_plain(bound):
            self._columns = [_column(spec, bound, fields) for spec in bound.compiled.identities]

    def columns(self, records: Sequence[Any], matches: Sequence[Matched]) -> Identities:
        """Return the identities of some records.

        Args:
            records: of one batch.
            matches: what of the policy applies to each.
        """
        if self._columns is None:
            return Identities(*columns_of(self.rows(records, matches), self._size))
        rows = rows_of(records, self._fields)
        # What the columns cannot say: headers, and addresses that other fields may speak for.
        odd = rows.absent_addresses()
        if self._has_odd_headers:
            odd += [at for at, headers in enumerate(rows.headers()) if headers]
        self._lowered.take(rows)
        odd = sorted({*odd, *self._lowered.odd()})
        if len(odd) > len(records) // 2:
            return Identities(*columns_of(self.rows(records, matches), self._size))
        columns: list[array[int]] = []
        refused = zero_column(len(records))
        for position, one in enumerate(self._columns):
            column, lacking = one.hashes(rows, self._lowered)
            columns.append(column)
            if lacking:
                refuse(refused, position, lacking)
        columns.append(zero_column(len(records)))
        columns.append(rows.declared(self._scanner, self._listed_at))
        for at in odd:
            put_row(columns, refused, at, self._facts.identities(records[at], matches[at]))
        return Identities(columns, refused)

    def rows(self, records: Sequence[Any], matches: Sequence[Matched]) -> list[list[int]]:
        """Return a row for each record."""
        return list(map(self._facts.identities, records, matches))


class Lowered:
    """The headers of a batch with their names in lower case.

    Args:
        fields: what records have.
        wanted: the headers that identities come from.
    """

    def __init__(self, fields: Fields, wanted: Collection[str]) -> None:
        self._wanted = tuple(wanted)
        self._has_user_agent = fields.user_agent
        self._rows: Rows
        self._lowered: list[dict[str, Any] | None] = []
        self._values: dict[str, list[str | None]] = {}

    def take(self, rows: Rows) -> None:
        """Look at other records from now on."""
        self._rows = rows
        self._lowered = list(map(_lowered, rows.headers())) if self._wanted else []
        self._values.clear()

    def odd(self) -> list[int]:
        """Return the records with a header that has to be looked at by itself: it may be malformed."""
        found: list[int] = []
        for name in filter(self.says, self._wanted):
            values = self.values(name)
            strange = set(filter(_is_odd, set(values)))  # a batch has few programs, and many of each
            if strange:
                found += [at for at, value in enumerate(values) if value in strange]
        found += [
            at
            for at, headers in enumerate(self._lowered)
            if headers and any(type(headers.get(name)) is list for name in self._wanted)
        ]
        return found

    def says(self, name: str) -> bool:
        """Return whether one of the records may have a header."""
        return bool(self._lowered) or (self._is_user_agent(name) and self._rows.says(_USER_AGENT))

    def values(self, name: str) -> list[str | None]:
        """Return one header's value for each record."""
        if name not in self._values:
            self._values[name] = self._read(name)
        return self._values[name]

    def _is_user_agent(self, name: str) -> bool:
        return self._has_user_agent and name == USER_AGENT

    def _read(self, name: str) -> list[str | None]:
        rows = self._rows
        found: list[str | None] = (
            rows.values(_USER_AGENT) if self._is_user_agent(name) else [None] * len(rows)
        )
        for at, headers in enumerate(self._lowered):
            if headers is not None and found[at] is None:
                found[at] = _single(headers.get(name))
        return found


def _lowered(headers: dict[str, Any] | None) -> dict[str, Any] | None:
    if not headers:
        return None
    lowered: dict[str, Any] = {}
    for name, value in headers.items():
        lower = name.lower()
        # Two spellings of a name are two lines.
        lowered[lower] = [lowered[lower], value] if lower in lowered else value
    return lowered


def _is_odd(value: str | None) -> bool:
    return (
        value is not None
        and value != ""
        and not (value.isascii() and grammar.text(written := value.encode("ascii")) == written)
    )


def _single(value: Any) -> str | None:
    if isinstance(value, list):
        value = next((item for item in value if item is not None), None)
    return None if value is None else str(value)


Column = tuple["array[int]", list[int]]
_ALL_ONES = 2**64 - 1
"""Where a row says ABSENT, a column has all ones."""


class _Column:
    """One identity: the field of its name, else what its sources say in turn, else the address."""

    def __init__(self, spec: IdentitySpec, bound: BoundPolicy, fields: Fields) -> None:
        self._position = spec.index
        self._extractor = bound.extractor
        self._name = spec.name
        self._hasher = hasher = bound.store.hasher
        kind = hasher.kind_of(spec.name)
        attributes = [fields.attribute[name] for name in members_of(spec)]
        self._header_names = _lines_of(spec)
        if spec.is_address:
            self._hash = partial(self._networks, kind, spec.v4_prefix, spec.v6_prefix)
            self._hash_own = self._own_networks
            if "ip" in attributes:
                attributes = []
        else:
            self._hash = partial(self._values, kind)
            self._hash_own = partial(self._own_values, kind)
        self._attributes = list(dict.fromkeys(attributes))

    def hashes(self, rows: Rows, lowered: Lowered) -> Column:
        """Return one hash for each record, and the places of those that lack what the policy insists on."""
        found: array[int] | None = None
        own = (self._hash_own(rows, attribute) for attribute in self._attributes if rows.says(attribute))
        sent = (self._hash(lowered.values(name)) for name in self._header_names if lowered.says(name))
        for said, unsaid in chain(own, sent):
            if unsaid == len(said):
                continue
            if found is None:
                found = said
            else:
                unsaid = fill_absent(found, said)
            if not unsaid:
                return found, []
        otherwise, lacking = rows.blanks(self._extractor.scanner, self._position)
        if found is None:
            return otherwise, lacking
        lacking = [at for at in lacking if found[at] == _ALL_ONES]
        fill_absent(found, otherwise)
        return found, lacking

    def _networks(self, kind: int, v4: int, v6: int, values: list[Any]) -> tuple[array[int], int]:
        return address_column(self._hasher, kind, v4, v6, values, self._other)

    def _values(self, kind: int, values: list[Any]) -> tuple[array[int], int]:
        return hash_column(self._hasher, kind, values, LONGEST_VALUE, self._other)

    def _own_networks(self, rows: Rows, attribute: str) -> tuple[array[int], int]:
        return self._hash(rows.values(attribute))

    def _own_values(self, kind: int, rows: Rows, attribute: str) -> tuple[array[int], int]:
        return rows.hashes(attribute, self._hasher, kind, LONGEST_VALUE, self._other)

    def _other(self, value: Any) -> int:
        return self._extractor.value_hash(self._name, str(value))


class _LaterColumn:
    """The facts of each record, found when its turn has come: its cluster."""

    def hashes(self, rows: Rows, lowered: Lowered) -> Column:
        """Return what stands there before."""
        return absent_column(len(rows)), []


class _NumberColumn:
    """A number that each record says, by a member of its own or by a header."""

    def __init__(self, number: Number, spec: IdentitySpec, bound: BoundPolicy, fields: Fields) -> None:
        self._form = number.form
        self._read = partial(bound.extractor.number, spec.index)
        self._header = next(iter(_lines_of(spec)), None)
        self._attribute = None if number.member is None else fields.attribute[number.member]

    def hashes(self, rows: Rows, lowered: Lowered) -> Column:
        """Return the number for each record."""
        column = absent_column(len(rows))
        if self._attribute is not None and rows.says(self._attribute):
            column = rows.numbers(self._attribute, self._form, self._read)
        if self._header is not None and lowered.says(self._header):
            fill_absent(column, number_column(list(lowered.values(self._header)), self._form, self._read))
        return column, []


class _OriginColumn:
    """The declared network that each record comes from."""

    def __init__(self, spec: IdentitySpec, bound: BoundPolicy) -> None:
        self._scanner = bound.extractor.scanner
        self._position = spec.index

    def hashes(self, rows: Rows, lowered: Lowered) -> Column:
        """Return one number for each record: see `identity.origins`."""
        return rows.declared(self._scanner, self._position), []


_AnyColumn = _Column | _LaterColumn | _NumberColumn | _OriginColumn


def _column(spec: IdentitySpec, bound: BoundPolicy, fields: Fields) -> _AnyColumn:
    source = spec.sources[0].record
    if source is ORIGIN:
        return _OriginColumn(spec, bound)
    if source.reading == "nothing":
        return _LaterColumn()
    number = bound.compiled.numbers.get(spec.index)
    return _Column(spec, bound, fields) if number is None else _NumberColumn(number, spec, bound, fields)


_BY_COLUMN: frozenset[Reading] = frozenset(("address", "line", "cookie", "state", "answer", "nothing"))
"""The ways to a value that a record has in a field: its address, its headers, or a member of its own."""


def _lines_of(spec: IdentitySpec) -> list[str]:
    return [source.name for source in spec.sources if source.record.reading == "line"]


def _is_plain(bound: BoundPolicy) -> bool:
    # A path's parameters are another route's elsewhere. An address behind other sources would have to be
    # looked at in its turn.
    return all(
        source.record.reading in _BY_COLUMN and not (source.record.is_address and len(spec.sources) > 1)
        for spec in bound.compiled.identities
        for source in spec.sources
    )


def _header_names(bound: BoundPolicy) -> list[str]:
    return list(dict.fromkeys(name for spec in bound.compiled.identities for name in _lines_of(spec)))


def _reads_headers_plainly(bound: BoundPolicy) -> bool:
    compiled = bound.compiled
    trust = compiled.trust
    # A value that a list names counts wherever it stands, also where a field says another one.
    is_listed = compiled.allow.values or compiled.deny.values
    return not (trust.networks or trust.unix or is_listed) and not any(
        source.record.field(source.name) is not None
        and (source.record.reading != "line" or source.read_as != "text")
        for spec in bound.compiled.identities
        for source in spec.sources
    )
