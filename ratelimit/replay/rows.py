"""Records of a batch as columns, one for each attribute: decoded, or found in place in plain lines."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Protocol

from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.replay.columns import (
    amount_column,
    blank_column,
    declared_column,
    hash_column,
    number_column,
)
from ratelimit.core.request.scanner import Scanner
from ratelimit.facts.numbers import NumberForm
from ratelimit.traces import Fields
from ratelimit.traces.plain import PlainLines

Other = Callable[[Any], int]
"""Hashes a value that is no plain text."""

ADDRESS = "ip"
_HEADERS = "headers"
_headers = attrgetter(_HEADERS)


class Rows(Protocol):
    """The records of a batch."""

    def __len__(self) -> int: ...

    def values(self, attribute: str) -> list[Any]:
        """Return one attribute of each."""
        ...

    def says(self, attribute: str) -> bool:
        """Return whether one of them may have an attribute."""
        ...

    def headers(self) -> list[dict[str, Any] | None]:
        """Return the headers of each; empty if none has any."""
        ...

    def absent_addresses(self) -> list[int]:
        """Return which of them have no address."""
        ...

    def hashes(
        self, attribute: str, hasher: Hasher, kind: int, longest: int, other: Other
    ) -> tuple[array[int], int]:
        """Return an attribute's column of hashes, and how many are absent: see `hash_column`."""
        ...

    def blanks(self, scanner: Scanner, position: int) -> tuple[array[int], list[int]]:
        """Return what stands at a position for each address, and which are refused: see `blank_column`."""
        ...

    def declared(self, scanner: Scanner, position: int) -> array[int]:
        """Return what is declared of each address: see `declared_column`."""
        ...

    def numbers(self, attribute: str, form: NumberForm, other: Other) -> array[int]:
        """Return the column of an attribute that is a number: see `number_column`."""
        ...

    def amounts(self, attribute: str) -> array[int]:
        """Return the column of what each took of a unit: see `amount_column`."""
        ...


class RecordRows:
    """Decoded records."""

    def __init__(self, records: Sequence[Any], fields: Fields) -> None:
        self._records = records
        self._has_headers = fields.headers
        self._read: list[Any] | None = None

    @property
    def _addresses(self) -> list[Any]:
        if self._read is None:
            self._read = self.values(ADDRESS)
        return self._read

    def __len__(self) -> int:
        return len(self._records)

    def values(self, attribute: str) -> list[Any]:
        """Return one attribute of each."""
        return list(map(attrgetter(attribute), self._records))

    def says(self, attribute: str) -> bool:
        """Return whether one of them may have an attribute."""
        return True

    def headers(self) -> list[dict[str, Any] | None]:
        """Return the headers of each; empty if none has any."""
        found = list(map(_headers, self._records)) if self._has_headers else []
        return found if any(found) else []

    def absent_addresses(self) -> list[int]:
        """Return which of them have no address."""
        if None not in self._addresses:
            return []
        return [at for at, address in enumerate(self._addresses) if address is None]

    def hashes(
        self, attribute: str, hasher: Hasher, kind: int, longest: int, other: Other
    ) -> tuple[array[int], int]:
        """Return an attribute's column of hashes, and how many are absent."""
        return hash_column(hasher, kind, self.values(attribute), longest, other)

    def blanks(self, scanner: Scanner, position: int) -> tuple[array[int], list[int]]:
        """Return what stands at a position for each address, and which are refused."""
        return blank_column(scanner, position, self._addresses)

    def declared(self, scanner: Scanner, position: int) -> array[int]:
        """Return what is declared of each address."""
        return declared_column(scanner, position, self._addresses)

    def numbers(self, attribute: str, form: NumberForm, other: Other) -> array[int]:
        """Return the column of an attribute that is a number."""
        return number_column(self.values(attribute), form, other)

    def amounts(self, attribute: str) -> array[int]:
        """Return the column of what each took of a unit."""
        return amount_column(self.values(attribute))


class PlainRows:
    """Plain lines."""

    def __init__(self, records: PlainLines, fields: Fields) -> None:
        self._spans = records.spans
        self._member = fields.member

    def __len__(self) -> int:
        return self._spans.size

    def values(self, attribute: str) -> list[Any]:
        """Return one attribute of each."""
        return self._spans.values(self._member[attribute])

    def says(self, attribute: str) -> bool:
        """Return whether one of them has an attribute."""
        return not self._spans.is_absent(self._member[attribute])

    def headers(self) -> list[dict[str, Any] | None]:
        """Return nothing: plain lines have no headers."""
        return []

    def absent_addresses(self) -> list[int]:
        """Return which of them have no address."""
        return self._spans.absent(self._member[ADDRESS])

    def hashes(
        self, attribute: str, hasher: Hasher, kind: int, longest: int, other: Other
    ) -> tuple[array[int], int]:
        """Return an attribute's column of hashes, and how many are absent."""
        return self._spans.hashes(self._member[attribute], hasher, kind, longest, other)

    def blanks(self, scanner: Scanner, position: int) -> tuple[array[int], list[int]]:
        """Return what stands at a position for each address, and which are refused."""
        return self._spans.blanks(self._member[ADDRESS], scanner, position)

    def declared(self, scanner: Scanner, position: int) -> array[int]:
        """Return what is declared of each address."""
        return self._spans.declared(self._member[ADDRESS], scanner, position)

    def numbers(self, attribute: str, form: NumberForm, other: Other) -> array[int]:
        """Return the column of an attribute that is a number."""
        return self._spans.numbers(self._member[attribute], form, other)

    def amounts(self, attribute: str) -> array[int]:
        """Return the column of what each took of a unit."""
        return self._spans.amounts(self._member[attribute])


def rows_of(records: Sequence[Any], fields: Fields) -> Rows:
    """Return the rows of a batch."""
    return PlainRows(records, fields) if isinstance(records, PlainLines) else RecordRows(records, fields)
