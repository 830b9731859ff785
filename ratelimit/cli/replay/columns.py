"""Identities of a whole batch, column by column.

Theory of operation. A trace names the same addresses, accounts and clients again and
again, and most policies look at nothing else: then each identity is a column of hashes
found in a memo, and the rows are the columns side by side. Where that is not so
(a policy that reads paths or lists values, a record that brings headers), the record
goes through the extractor like a live request. A test holds both ways equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from ratelimit.cli.facts import USER_AGENT, RecordFacts
from ratelimit.generation import Generation, Matched
from ratelimit.identity.fact import ABSENT
from ratelimit.policy.compiled import IdentitySpec
from ratelimit.traces import Fields

MOST_REMEMBERED = 200_000


class Memo(dict[Any, Any]):
    """Results by argument; emptied when full, so that a trace cannot fill memory."""

    def __init__(self, function: Callable[[Any], Any], most: int = MOST_REMEMBERED) -> None:
        super().__init__()
        self._function = function
        self._most = most

    def __missing__(self, key: Any) -> Any:
        value = self._function(key)
        if len(self) >= self._most:
            self.clear()
        self[key] = value
        return value


class IdentityColumns:
    """Turns records into rows of identity hashes."""

    def __init__(self, generation: Generation, fields: Fields) -> None:
        self._facts = RecordFacts(generation, fields)
        self._extractor = extractor = generation.extractor
        self._has_headers = fields.headers
        self._is_plain = _is_plain(generation)
        self._templates = Memo(lambda ip: extractor.extract((), ip))
        self._columns: list[_Unsaid] = [
            _Column(spec, self._templates, extractor.value_hash, fields)
            for spec in generation.compiled.identities
        ]
        if generation.has_lists:  # rows then end as the extractor's do: origin, and what the lists say
            self._columns += [
                _Unsaid(at, self._templates) for at in (extractor.origin_at, extractor.listed_at)
            ]

    def rows(self, records: Sequence[Any], matches: Sequence[Matched]) -> list[Sequence[int]]:
        """Return a row for each record."""
        one = self._facts.identities
        if not self._is_plain:
            return list(map(one, records, matches))
        addresses = list(map(_ip, records))
        rows: list[Sequence[int]]
        rows = list(zip(*[column.hashes(records, addresses) for column in self._columns], strict=True))
        # What the columns cannot say: headers, and addresses that other fields may speak for.
        if self._has_headers:
            for at, headers in enumerate(map(_headers, records)):
                if headers:
                    rows[at] = one(records[at], matches[at])
        if None in addresses:
            for at, ip in enumerate(addresses):
                if ip is None:
                    rows[at] = one(records[at], matches[at])
        return rows


class _Unsaid:
    """What the address alone says of one position."""

    def __init__(self, position: int, templates: Memo) -> None:
        self._of_address = Memo(lambda ip: templates[ip][position])

    def hashes(self, records: Sequence[Any], addresses: Sequence[str | None]) -> list[int]:
        """Return one hash for each record."""
        return list(map(self._of_address.__getitem__, addresses))


class _Column(_Unsaid):
    """One identity: the field of its name, else the user agent if it is that, else the address."""

    def __init__(
        self, spec: IdentitySpec, templates: Memo, value_hash: Callable[[str, str], int], fields: Fields
    ) -> None:
        super().__init__(spec.index, templates)
        self._of_value = Memo(lambda value: ABSENT if value is None else value_hash(spec.name, str(value)))
        attributes = [fields.attribute[spec.name]]
        if [(source.kind, source.name) for source in spec.sources] == [USER_AGENT]:
            attributes.append(fields.attribute["user_agent"])
        if spec.sources[0].kind == "client" and "ip" in attributes:
            attributes = []
        self._getters = [attrgetter(attribute) for attribute in dict.fromkeys(attributes)]

    def hashes(self, records: Sequence[Any], addresses: Sequence[str | None]) -> list[int]:
        """Return one hash for each record."""
        found: list[int] | None = None
        for get in self._getters:
            said = list(map(self._of_value.__getitem__, map(get, records)))
            unsaid = said.count(ABSENT)
            if unsaid == len(said):
                continue
            found = said if found is None else _first(found, said)
            if not unsaid:
                return found
        otherwise = super().hashes(records, addresses)
        return otherwise if found is None else _first(found, otherwise)


def _first(hashes: list[int], otherwise: list[int]) -> list[int]:
    return [known if known != ABSENT else other for known, other in zip(hashes, otherwise, strict=True)]


def _is_plain(generation: Generation) -> bool:
    compiled = generation.compiled
    if compiled.allow.values or compiled.deny.values:
        return False
    for spec in compiled.identities:
        sources = [(source.kind, source.name) for source in spec.sources]
        if any(kind == "path" for kind, _ in sources) or (len(sources) > 1 and USER_AGENT in sources):
            return False
    return True


_ip = attrgetter("ip")
_headers = attrgetter("headers")
