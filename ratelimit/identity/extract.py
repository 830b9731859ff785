"""One pass over a request's raw headers: out come hashed identities by position.

Theory of operation. A request starts from its client's *template*, which has every address identity
filled in. Every other position holds the stand-in for a missing identity. Then the
positions its headers speak for are overwritten. A value has one form. What has none, and two lines
of one header, are malformed. `core.request.grammar` says what a form is, `Positions.of_malformed` what
stands in.

The compiled scanner does both in one call for a peer that speaks for itself, and keeps nothing. So
a client never seen before costs what any other does. Declared proxies need Python to tell the client.
Then templates are kept in a cache of fixed size that is emptied when full. A client that invents
addresses makes others pay a few microseconds once, and never memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import takewhile
from types import MappingProxyType

from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.request.grammar import MALFORMED_VALUE, canonical
from ratelimit.core.request.identities import IdentityReader, NumberField, PathField, StateField
from ratelimit.core.request.scanner import Translations, names_peer
from ratelimit.facts.numbers import Number
from ratelimit.facts.sources import BY_KIND
from ratelimit.identity.address import UNDECLARED, Address, Name, parse_peer
from ratelimit.identity.fact import (
    ABSENT,
    LONGEST_VALUE,
    MALFORMED,
    NO_CONTEXT,
    UNREADABLE,
    Context,
    Fact,
    state_value,
    value_bytes,
)
from ratelimit.identity.origins import Origins
from ratelimit.identity.positions import PROXY_HEADERS, Positions
from ratelimit.identity.proxies import ProxyChain
from ratelimit.identity.source import Headers as Headers
from ratelimit.identity.source import StateReader, form_of, reader, reading_of
from ratelimit.lists.access import DENIED, AccessLists

MOST_TEMPLATES = 4096
LONGEST_CACHED_CHAIN = 256
LONGEST_CACHED_HOST = 64


class Extractor:
    """Turns raw facts into a list of identities; compiled once per policy.

    The list has a hash (or ABSENT, or REFUSED) at each identity's position, and two
    more entries. `origin_at` is non-zero if the request carries an Origin header,
    `listed_at` is what the access lists say.

    Args:
        facts: the identities, in order of position.
        hasher: holds the key of all hashes.
        chain: the declared proxies.
        lists: allow and deny lists.
        origins: the declared networks that an identity from `origin` tells of.
        translations: reads addresses, and knows which stand for IPv4 clients; the chain's own.
        evidence: positions that the correlation looks at.
        optional: positions whose values most requests may lack: nothing counts by them.
        numbers: the positions that have no hash but a number, and the number of each.
        needed: positions that anything asks for, all when not given; the others stay ABSENT.
        diagnose: told a stable code when something about a request deserves a word to the
            operator; may be told the same thing often.
    """

    __slots__ = (
        "_chain",
        "_diagnose",
        "_facts",
        "_fill",
        "_hasher",
        "_late",
        "_lists",
        "_lists_values",
        "_numbers",
        "_slots",
        "_templates",
        "_translations",
        "anonymous",
        "listed_at",
        "needs_context",
        "origin_at",
        "positions",
        "reader",
        "resolvers",
        "scanner",
    )

    def __init__(
        self,
        facts: Sequence[Fact],
        hasher: Hasher,
        *,
        chain: ProxyChain,
        lists: AccessLists,
        origins: Origins | None = None,
        translations: Translations = UNDECLARED,
        needed: Collection[int] | None = None,
        evidence: Collection[int] = (),
        optional: Collection[int] = (),
        numbers: Mapping[int, Number] = MappingProxyType({}),
        diagnose: Callable[..., None] = lambda code, about="": None,
    ) -> None:
        self._facts = tuple(facts)
        self._hasher = hasher
        self._chain = chain if chain else None
        self._lists = lists
        self._lists_values = lists.lists_values
        self._diagnose = diagnose
        everything = range(len(self._facts))
        self._slots = Positions(
            self._facts,
            hasher,
            everything if needed is None else needed,
            diagnose,
            translations,
            evidence,
            lists.guarded,
            numbers,
            lists.networks,
            None if origins is None else origins.networks,
        )
        self._numbers = numbers
        self._translations = translations
        self.scanner = self._slots.scanner
        self._fill = self.scanner.fill
        self._templates: dict[object, list[int]] = {}
        self._late = tuple(
            (
                position,
                tuple(
                    (reading_of(each), each[1], reader(each, diagnose, may_be_absent=position in optional))
                    for each in facts[position].sources
                ),
            )
            for position in self._slots.late
        )
        self.reader = self._new_reader()
        """Tells in one compiled call what `extract` does, of most requests."""
        self.positions = self._slots.positions
        self.origin_at = len(self._facts)
        self.listed_at = len(self._facts) + 1
        self.anonymous = [ABSENT] * len(self._facts) + [0, 0]
        """In place of identities where no limit applies. Not to be changed."""
        self.needs_context = self._slots.needs_context
        self.resolvers = self._slots.resolvers

    @property
    def denied(self) -> Mapping[int, frozenset[int]]:
        """The hashes on the deny list, by position."""
        found: dict[int, set[int]] = {}
        for position, value, listed in self._lists.values:
            if listed == DENIED:
                found.setdefault(position, set()).add(value)
        return {position: frozenset(values) for position, values in found.items()}

    def extract(self, headers: Headers, host: str | None, context: Context = NO_CONTEXT) -> list[int]:
        """Return the identities of one request.

        Args:
            headers: raw pairs, names in lower case.
            host: the peer's address as the server gives it, None without one.
            context: what else is known; only read when `needs_context`.
        """
        if self._chain is None:
            identities = self.scanner.fill_for(headers, host)
        else:
            template = self._template_for(host, headers)
            identities = self._fill(headers, template)
            if MALFORMED in identities:
                client = self.client(host, headers)
                for position in (at for at, identity in enumerate(identities) if identity == MALFORMED):
                    identities[position] = self._slots.of_malformed(position, template[position], client)
        if self._late:
            self._fill_late(identities, headers, host, context)
        for at in self._numbers:
            identities[at] = self._number(at, host, headers, context)
        if self._lists_values:
            at = self.listed_at
            identities[at] = self._lists.of_identities(identities, identities[at])
        return identities

    def from_values(
        self,
        values: Mapping[str, object],
        host: str | None,
        headers: Headers = (),
        context: Context = NO_CONTEXT,
    ) -> list[int]:
        """Return identities given by name, the missing and malformed ones by their rule.

        A value that is too long is malformed, and `UNREADABLE` stands for any other that is.
        Without a `host`, an address identity among the values speaks for the client.
        """
        positions = self.positions
        if host is None:
            for name, value in values.items():
                if self._facts[positions[name]].is_address and isinstance(value, (str, bytes)):
                    host = value.decode("latin-1") if isinstance(value, bytes) else value
                    break
        identities = self.extract(headers, host, context)
        for name, value in values.items():
            position = positions[name]
            found = self._given(position, value, identities[position])
            if found == MALFORMED:
                found = self._slots.of_malformed(position, identities[position], self.client(host, headers))
            identities[position] = found
        if self._lists_values:
            at = self.listed_at
            identities[at] = self._lists.of_identities(identities, identities[at])
        return identities

    def client(self, host: str | None, headers: Headers) -> Address | Name | None:
        """Return the client's address: the peer's, or the one that a declared proxy names."""
        peer = parse_peer(host, self._translations)
        chain = self._chain
        if chain is None:
            return peer
        return chain.client(peer, [value for name, value in headers if name == chain.header])

    def look_up(
        self, source: Sequence[str], headers: Headers, host: str | None, context: Context
    ) -> bytes | None:
        """Return one source's value in its form, None when it is missing, MALFORMED_VALUE without a form."""
        if BY_KIND[source[0]].is_address:
            client = self.client(host, headers)
            return None if client is None else client.prefix(32, 128)
        read = reader(source, self._diagnose)
        value = None if read is None else read(headers, context)
        return MALFORMED_VALUE if value and len(value) > LONGEST_VALUE else value

    def key_of(
        self, source: Sequence[str], headers: Headers, host: str | None, context: Context
    ) -> int | None:
        """Return a hash of one source to remember an answer by; None without a canonical value.

        It covers all that a resolver may read there: of a header its one line exactly as written.
        Requests that differ in that never share an answer.
        """
        value = self.look_up(source, headers, host, context)
        if not value:
            return None
        if reading_of(source) == "line":
            wanted = source[1].encode("latin-1")
            value = next(line for name, line in headers if name == wanted)
        return self._hasher.tuple(source[0].encode("ascii"), value)

    def resolved(self, name: str, answer: object) -> Mapping[int, int]:
        """Return a resolver's answer as hashes by position, for the identities that come from it.

        Empty for no answer, and for one that can be no identity. The answer itself need not be kept.
        """
        found: dict[int, int] = {}
        asking = [at for at, _ in self.told_by(name)]
        for at in [at for at in asking if at in self._numbers]:
            asking.remove(at)
            found[at] = self.number(at, answer)
        value = value_bytes(answer) if asking else None
        if asking and value is None and answer is not None:
            self._diagnose("identity-type")
        if value is not None and 0 < len(value) <= LONGEST_VALUE:
            found |= {position: self._slots.of_value(position, value) for position in asking}
        return found

    def told_by(self, resolver: str) -> tuple[tuple[int, str], ...]:
        """Return positions and names of the identities that come from a resolver.

        Hashes by position mean the same in two policies where this is the same in both.
        """
        return tuple(
            (position, fact.name)
            for position, fact in enumerate(self._facts)
            if any(reading_of(source) == "answer" and source[1] == resolver for source in fact.sources)
        )

    def number(self, at: int, value: object) -> int:
        """Return the number at a position; ABSENT if no value is given, or one that is not a number."""
        number = self._numbers[at].read(value)
        if number is None:
            self._diagnose(self._numbers[at].diagnosed_as)
            return ABSENT
        return number

    def _number(self, at: int, host: str | None, headers: Headers, context: Context) -> int:
        given = context.numbers.get(at)
        if given is not None:
            return self.number(at, given)
        source = self._facts[at].sources[0]
        reading = reading_of(source)
        if reading == "answer":
            return context.resolved.get(source[1], {}).get(at, ABSENT)
        if reading == "state":
            return self.number(at, state_value(context.state, source[1]))
        return self.number(at, self.look_up(source, headers, host, context))

    def value_hash(self, name: str, value: str | bytes) -> int:
        """Return the hash of one identity's value, as `extract` would make it."""
        return max(self._given(self.positions[name], value, ABSENT), ABSENT)

    def value_hashes(self, name: str, value: str) -> list[int]:
        """Return the hash of a value by each of the identity's sources: they may differ in its form."""
        position = self.positions[name]
        if self._facts[position].is_address:
            return [self.value_hash(name, value)]
        forms = self._forms(position, value_bytes(value) or MALFORMED_VALUE)
        return [self._slots.of_value(position, form) for form in forms]

    def remembered(self) -> int:
        """Return how many clients' templates are being kept."""
        return len(self._templates)

    def _given(self, position: int, value: object, otherwise: int) -> int:
        """Return the hash of a value given by name; MALFORMED for one that is unreadable, or too long."""
        if value is UNREADABLE:
            return MALFORMED
        fact = self._facts[position]
        if fact.is_address:
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            address = parse_peer(text, self._translations)
            return otherwise if address is None else self._slots.of_address(position, address)
        written = value_bytes(value)
        if not written:
            return otherwise
        # What the application gives by name it has judged itself: it need not have a form.
        form = next(iter(self._forms(position, written)), written)
        return self._slots.of_value(position, form)

    def _forms(self, position: int, value: bytes) -> list[bytes]:
        """Return the forms that a value written by the operator has by an identity's sources."""
        forms = [
            canonical(reading_of(source), form_of(source), value)
            for source in self._facts[position].sources
            if not BY_KIND[source[0]].is_address
        ]
        return list(dict.fromkeys(form for form in forms if form))

    def _new_reader(self) -> IdentityReader:
        fields, paths, is_partial = [], [], False
        for position, sources in self._late:
            (reading, name, _), *others = sources
            of_state = list(takewhile(lambda source: isinstance(source[2], StateReader), sources))
            if reading == "segment" and not others and form_of(self._facts[position].sources[0]) == "text":
                paths.append(PathField(position, self._hasher.kind_of(self._facts[position].name), name))
            elif of_state and all(each[0] == "address" for each in sources[len(of_state) :]):
                kind_of_value = self._hasher.kind_of(self._facts[position].name)
                for nth, (_, field, read) in enumerate(of_state):
                    assert isinstance(read, StateReader)
                    fields.append(StateField(position, kind_of_value, field, read, follows=nth > 0))
            else:
                is_partial = True
        numbers = []
        for at, number in self._numbers.items():
            of_number = partial(NumberField, at, partial(self.number, at), number.form)
            source = self._facts[at].sources[0]
            reading = reading_of(source)
            if reading == "state":
                numbers.append(of_number(name=source[1]))
            elif reading == "line" and form_of(source) == "text":
                numbers.append(of_number(header=source[1].encode("latin-1")))
            else:
                numbers.append(of_number())
                is_partial = True
        return IdentityReader(
            self.scanner,
            fields=fields,
            paths=paths,
            is_partial=is_partial,
            template_of=None if self._chain is None else self._template_for,
            numbers=numbers,
            lists=self._lists.values,
        )

    def _template(self, host: str | None, headers: Headers) -> list[int]:
        template = self._templates.get(host)
        if template is None:
            if any(name in PROXY_HEADERS for name, _ in headers) and not names_peer(headers, host):
                self._diagnose("undeclared-proxy")
            template = self._new_template(parse_peer(host, self._translations))
            if host is None or len(host) <= LONGEST_CACHED_HOST:
                self._remember(host, template)
        return template

    def _template_for(self, host: str | None, headers: Headers) -> list[int]:
        chain = self._chain
        assert chain is not None  # the scanner reads peers that speak for themselves
        lines = [value for name, value in headers if name == chain.header]
        if not lines:
            return self._template(host, headers)
        key = (host, b",".join(lines))
        template = self._templates.get(key)
        if template is None:
            peer = parse_peer(host, self._translations)
            if not chain.declares(peer) and not names_peer(headers, host):
                self._diagnose("undeclared-proxy")
            template = self._new_template(chain.client(peer, lines))
            if len(key[1]) <= LONGEST_CACHED_CHAIN and (host is None or len(host) <= LONGEST_CACHED_HOST):
                self._remember(key, template)
        return template

    def _remember(self, key: object, template: list[int]) -> None:
        if len(self._templates) >= MOST_TEMPLATES:
            self._templates.clear()
        self._templates[key] = template

    def _new_template(self, address: Address | Name | None) -> list[int]:
        if address is None and self._slots.needs_address:
            self._diagnose("client-missing")
        return self._slots.template(address)

    def _fill_late(self, identities: list[int], headers: Headers, host: str | None, context: Context) -> None:
        for position, sources in self._late:
            for reading, name, read in sources:
                if reading == "address":
                    # The template has it already; nothing further down the list is asked.
                    if identities[position] >= 0:
                        break
                    continue
                if read is None:
                    resolved = context.resolved.get(name, {}).get(position)
                    if resolved is not None:
                        identities[position] = resolved
                        break
                    continue
                value = read(headers, context)
                if value is None:
                    continue
                identity = self._slots.of_value(position, value)
                if identity == MALFORMED:
                    client = self.client(host, headers)
                    identity = self._slots.of_malformed(position, identities[position], client)
                identities[position] = identity
                break
