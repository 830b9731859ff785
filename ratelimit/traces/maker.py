"""Rows of any format to records: what stands where, checked and brought into one form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ratelimit.traces.instant import Instants
from ratelimit.traces.record import FIXED, MAX_COST, Fields
from ratelimit.traces.shape import HEADER, NOTHING, Place, Shape, at

_METHOD = re.compile(r"[!#$%&'*+.^_`|~\w-]+\Z", re.ASCII)
_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\[\]]*))(?::\d+)?\Z", re.ASCII)


class RecordMaker:
    """Makes a record, and the instant of it, from each row of one shape."""

    def __init__(self, fields: Fields, shape: Shape) -> None:
        self._fields = fields
        self._type = fields.type
        self._instants = Instants()
        self._prefix = shape.header_prefix if fields.headers else ""
        self._redacted = shape.redacted
        places = shape.places
        self._time = places.get("time", ())
        self._request = places.get("request", ())
        self._method = places.get("method", ())
        self._path = places.get("path", ())
        self._ip = places.get("ip", ())
        self._forwarded = places.get("forwarded", ())
        self._user_agent = places.get("user_agent", ()) if fields.user_agent else ()
        self._headers = places.get("headers", ()) if fields.headers else ()
        self._header = [
            (target.removeprefix(HEADER), found)
            for target, found in places.items()
            if target.startswith(HEADER) and fields.headers
        ]
        self._own = [
            (attribute, name in fields.units, (*places.get(name, ()), *at(name)))
            for name, attribute in fields.attribute.items()
            if name not in (*FIXED, *fields.numbers)
        ]
        self._numbers = [
            (fields.attribute[name], (*places.get(name, ()), *at(name))) for name in fields.numbers
        ]

    def __call__(self, row: Mapping[str, Any]) -> tuple[Any, int]:
        """Return a row's record and its instant.

        Raises:
            ValueError: the row is no request; the message says why.
        """
        time = _first(row, self._time)
        if time is None:
            raise ValueError("no time")
        instant = self._instants(time)
        method, path = self._asked(row)
        record = self._type(0, method, path, self._address(row))
        if self._user_agent and (agent := _first(row, self._user_agent)) is not None:
            record.user_agent = str(agent)
        if self._headers or self._header or self._prefix:
            record.headers = self._all_headers(row)
        for attribute, is_unit, places in self._own:
            value = _first(row, places)
            if value is None:
                continue
            setattr(record, attribute, _amount(value) if is_unit else _identity(value))
        for attribute, places in self._numbers:
            # Whatever stands there: what is no such number counts as not known.
            setattr(record, attribute, _first(row, places))
        return record, instant

    def _asked(self, row: Mapping[str, Any]) -> tuple[str, str]:
        """Return method and target, from members of their own or from a request line."""
        line = _first(row, self._request)
        if line is not None:
            words = str(line).split(" ")
            if len(words) not in (2, 3):
                raise ValueError(f"the request is not METHOD TARGET PROTOCOL but {str(line)[:40]!r}")
            method, path = words[0], words[1]
        else:
            found = _first(row, self._method), _first(row, self._path)
            if found[0] is None or found[1] is None:
                raise ValueError("no method" if found[0] is None else "no path")
            method, path = str(found[0]), str(found[1])
        if not _METHOD.match(method):
            raise ValueError(f"no method is called {method[:40]!r}")
        return method, path

    def _address(self, row: Mapping[str, Any]) -> str | None:
        """Return the peer's address without its port."""
        written = _first(row, self._ip)
        if written is None:
            # The proxy adds its peer's address at the end; what stands before was sent by the client.
            forwarded = _first(row, self._forwarded)
            if forwarded is None:
                return None
            written = str(forwarded).rpartition(",")[2].strip()
        text = str(written)
        match = _PORT.match(text)
        return text if match is None else match[1] or match[2]

    def _all_headers(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        headers: dict[str, Any] = {}
        for place in self._headers:
            found = place.find(row)
            if isinstance(found, Mapping):
                headers.update(found)
        if self._prefix:
            for name, value in row.items():
                if name.startswith(self._prefix) and value not in NOTHING:
                    headers[name.removeprefix(self._prefix).replace("_", "-")] = value
        for name, places in self._header:
            value = _first(row, places)
            if value is not None:
                headers[name] = value
        if self._redacted:
            headers = {name: value for name, value in headers.items() if not self._is_redacted(value)}
        return headers or None

    def _is_redacted(self, value: Any) -> bool:
        return self._redacted in (value if isinstance(value, list) else (value,))


def _first(row: Mapping[str, Any], places: tuple[Place, ...]) -> Any:
    for place in places:
        value = place.find(row)
        if value not in NOTHING:
            return value
    return None


def _amount(value: Any) -> int:
    """Return a cost; text is read as a number, as tables have nothing else."""
    if isinstance(value, str) and value.isdecimal() and value.isascii():
        value = int(value[:20])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COST:
        raise ValueError(f"a cost is an integer from 0 to {MAX_COST}, not {str(value)[:40]!r}")
    return value


def _identity(value: Any) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"an identity is text or an integer, not {str(value)[:40]!r}")
    return value
