"""Lines to rows: a JSON object, a log line's named parts, a table's columns.

Each kind of line has a reader with one method, `row`: a line in, a mapping out. A line that says
nothing by itself (a table's head) gives None, a line that is not of the format `ValueError`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from typing import Any, Protocol

from ratelimit.parsing.json import JsonReader

Row = Mapping[str, Any]
_MOST_COLUMNS = 1000


class RowReader(Protocol):
    """Reads rows of one format, in the order of the trace."""

    def row(self, line: bytes) -> Row | None:
        """Return a line's row; None for a line that says nothing by itself.

        Raises:
            ValueError: it is no line of this format.
        """
        ...


class JsonRows:
    """One JSON object a line."""

    def __init__(self) -> None:
        self._read = JsonReader[dict[str, Any]](dict[str, Any]).read

    def row(self, line: bytes) -> Row | None:
        """Return the object."""
        try:
            return self._read(line)
        except UnicodeDecodeError:
            # nginx writes a client's bytes as they came, in JSON too: none may hide its request.
            return self._read(line.decode("utf-8", "replace"))


class PatternRows:
    """Lines that a pattern takes apart into named groups.

    Args:
        pattern: has to be linear in the line, whatever stands there: a client writes most of it.
        reason: what is said of a line that does not match.
        lists: groups that hold several values, and what separates them.
    """

    def __init__(self, pattern: re.Pattern[str], reason: str, lists: Mapping[str, str] | None = None) -> None:
        self._match = pattern.match
        self._reason = reason
        self._lists = dict(lists or {})

    def row(self, line: bytes) -> Row | None:
        """Return the named groups that took part."""
        # Clients write the bytes of a log; those that are no UTF-8 must survive as themselves.
        match = self._match(line.decode("utf-8", "surrogateescape"))
        if match is None:
            raise ValueError(self._reason)
        row: dict[str, Any] = match.groupdict()
        for name, separator in self._lists.items():
            if row[name] is not None:
                row[name] = row[name].split(separator)
        return row


class TableRows:
    """Comma-, semicolon- or tab-separated columns, named by the first line."""

    def __init__(self) -> None:
        self._names: list[str] | None = None
        self._delimiter = ","

    def row(self, line: bytes) -> Row | None:
        """Return the columns by their names; None for the head."""
        text = line.decode("utf-8", "surrogateescape").rstrip("\r")
        if self._names is None:
            self._delimiter = max(",;\t", key=text.count)
            self._names = self._cells(text)
            return None
        cells = self._cells(text)
        if len(cells) != len(self._names):
            raise ValueError(f"{len(cells)} columns, where the first line names {len(self._names)}")
        return dict(zip(self._names, cells, strict=True))

    def _cells(self, text: str) -> list[str]:
        try:
            cells = next(csv.reader([text], delimiter=self._delimiter, strict=True), [])
        except csv.Error as error:
            raise ValueError(f"not a line of a table: {error}") from None
        if len(cells) > _MOST_COLUMNS:
            raise ValueError(f"more than {_MOST_COLUMNS} columns")
        return cells
