"""One pass over a request's raw headers: out come hashed identities by position.

Theory of operation. A request starts from its client's *template*: the list with every
address identity filled in and, at every other position, what stands in when that identity
is missing. Then the positions its headers speak for are overwritten. Of several lines of
one header the first counts, which is the line that Starlette and Litestar hand to the
application.

The compiled scanner does both in one call for a peer that speaks for itself, and keeps
nothing: a client never seen before costs what any other does. Where Python is needed to
say who the client is (declared proxies, lists of networks), templates are kept in a cache of
fixed size that is emptied when full; a client that invents addresses makes others pay a
few microseconds once, and never memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from ratelimit.core.hashing import Hasher
from ratelimit.identity.access import AccessLists
from ratelimit.identity.address import Address, Name, parse_peer
from ratelimit.identity.cookies import find_cookie
from ratelimit.identity.fact import (
    ABSENT,
    LONGEST_VALUE,
    NO_CONTEXT,
    Context,
    Fact,
    credential_bytes,
    seconds_of,
    value_bytes,
)
from ratelimit.identity.origins import Origins
from ratelimit.identity.proxies import ProxyChain
from ratelimit.identity.slots import PROXY_HEADERS, Slots

MOST_TEMPLATES = 4096
LONGEST_CACHED_CHAIN = 256
LONGEST_CACHED_HOST = 64

Headers = Sequence[tuple[bytes, bytes]]


class Extractor:
    """Turns raw facts into a list of identities; compiled once per policy.

    The list has a hash (or ABSENT, or REFUSED) at each identity's position, and two
    more entries: at `origin_at` non-zero if the request carries an Origin header, at
    `listed_at` what the access lists say.

    Args:
        facts: the identities, in order of position.
        hasher: whose key all hashes are made with.
        chain: the declared proxies.
        lists: allow and deny lists.
        origins: the declared networks that an identity from `origin` tells of.
        created_at: the position of when the account was created, which is kept as a number; -1 for none.
        needed: positions that anything asks for, all when not given; the others stay ABSENT.
        notice: told a stable code when something about a request deserves a word to the
            operator; may be told the same thing often.
    """

    __slots__ = (
        "_chain",
        "_created_at",
        "_facts",
        "_fill",
        "_hasher",
        "_late",
        "_lists",
        "_lists_values",
        "_notice",
        "_origin_positions",
        "_origins",
        "_reads_peers",
        "_slots",
        "_templates",
        "is_direct",
        "listed_at",
        "needs_context",
        "nobody",
        "origin_at",
        "positions",
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
        needed: Collection[int] | None = None,
        created_at: int = -1,
        notice: Callable[[str], None] = lambda code: None,
    ) -> None:
        self._facts = tuple(facts)
        self._hasher = hasher
        self._chain = chain if chain else None
        self._lists = lists
        self._lists_values = lists.lists_values
        self._notice = notice
        everything = range(len(self._facts))
        self._slots = Slots(self._facts, hasher, everything if needed is None else needed, notice, created_at)
        self._created_at = created_at
        self.scanner = self._slots.scanner
        self._fill = self.scanner.fill
        self._templates: dict[object, list[int]] = {}
        self._late = self._slots.late
        self._origins = origins
        self._origin_positions = tuple(
            position for position, fact in enumerate(self._facts) if fact.sources[0][0] == "origin"
        )
        self._reads_peers = self._chain is None and not lists.lists_addresses and origins is None
        self.is_direct = self._reads_peers and not self._late and not self._lists_values and created_at < 0
        """Whether `scanner` alone says all that `extract` does."""
        self.positions = self._slots.positions
        self.origin_at = len(self._facts)
        self.listed_at = len(self._facts) + 1
        self.nobody = [ABSENT] * len(self._facts) + [0, 0]
        """In place of identities where no limit applies. Not to be changed."""
        self.needs_context = self._slots.needs_context
        self.resolvers = self._slots.resolvers

    def extract(self, headers: Headers, host: str | None, context: Context = NO_CONTEXT) -> list[int]:
        """Return the identities of one request.

        Args:
            headers: raw pairs, names in lower case.
            host: the peer's address as the server gives it, None without one.
            context: what else is known; only read when `needs_context`.
        """
        if self._reads_peers:
            identities = self.scanner.fill_for(headers, host)
        else:
            template = (
                self._template(host, headers)
                if self._chain is None
                else self._template_through(host, headers, self._chain)
            )
            identities = self._fill(headers, template)
        if self._late:
            self._fill_late(identities, headers, context)
        if self._created_at >= 0:
            identities[self._created_at] = self._created(headers, context)
        if self._lists_values:
            at = self.listed_at
            identities[at] = self._lists.of_identities(identities, identities[at])
        return identities

    def from_values(
        self,
        values: Mapping[str, str | bytes],
        host: str | None,
        headers: Headers = (),
        context: Context = NO_CONTEXT,
    ) -> list[int]:
        """Return identities given by name, the missing ones by their rule.

        Without a `host`, an address identity among the values speaks for the client.
        """
        positions = self.positions
        if host is None:
            for name, value in values.items():
                if self._facts[positions[name]].is_address:
                    host = value.decode("latin-1") if isinstance(value, bytes) else value
                    break
        identities = self.extract(headers, host, context)
        for name, value in values.items():
            position = positions[name]
            identities[position] = self._given(position, value, identities[position])
        if self._lists_values:
            at = self.listed_at
            identities[at] = self._lists.of_identities(identities, identities[at])
        return identities

    def client(self, host: str | None, headers: Headers) -> Address | Name | None:
        """Return the client's address: the peer's, or whom a declared proxy speaks for."""
        peer = parse_peer(host)
        chain = self._chain
        if chain is None:
            return peer
        return chain.client(peer, [value for name, value in headers if name == chain.header])

    def key_of(
        self, kind: str, name: str, headers: Headers, host: str | None, context: Context
    ) -> int | None:
        """Return a hash of one source's value to remember an answer by, None when it is missing."""
        if kind == "client":
            client = self.client(host, headers)
            value = None if client is None else client.prefix(32, 128)
        else:
            value = self._look_up(kind, name, headers, context)
        return self._hasher.identity(0, value) if value and len(value) <= LONGEST_VALUE else None

    def resolved(self, name: str, answer: object) -> Mapping[int, int]:
        """Return a resolver's answer as hashes by position, for the identities that come from it.

        The answer itself need not be kept.
        """
        found: dict[int, int] = {}
        asking = [at for at, fact in enumerate(self._facts) if ("resolver", name) in fact.sources]
        if self._created_at in asking:
            asking.remove(self._created_at)
            found[self._created_at] = self.created(answer)
        value = value_bytes(answer) if asking else None
        if asking and value is None and answer is not None:
            self._notice("identity-type")
        if value is not None and 0 < len(value) <= LONGEST_VALUE:
            found |= {position: self._slots.of_value(position, value, ABSENT) for position in asking}
        return found

    def created(self, value: object) -> int:
        """Return when an account was created, by what is given for it: seconds since 1970, or ABSENT."""
        seconds = seconds_of(value)
        if seconds is None:
            self._notice("created-type")
        return seconds or ABSENT

    def _created(self, headers: Headers, context: Context) -> int:
        if context.created is not None:
            return self.created(context.created)
        source, argument = self._facts[self._created_at].sources[0]
        if source == "resolver":
            return context.resolved.get(argument, {}).get(self._created_at, ABSENT)
        if source == "state":
            return self.created(context.state.get(argument))
        return self.created(self._look_up(source, argument, headers, context))

    def value_hash(self, name: str, value: str | bytes) -> int:
        """Return the hash of one identity's value, as `extract` would make it."""
        return self._given(self.positions[name], value, ABSENT)

    def remembered(self) -> int:
        """Return how many clients' templates are being kept."""
        return len(self._templates)

    def _given(self, position: int, value: str | bytes, otherwise: int) -> int:
        fact = self._facts[position]
        if fact.is_address:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            address = parse_peer(text)
            return otherwise if address is None else self._slots.of_address(position, address)
        return self._slots.of_value(position, value_bytes(value), otherwise)

    def _template(self, host: str | None, headers: Headers) -> list[int]:
        template = self._templates.get(host)
        if template is None:
            if any(name in PROXY_HEADERS for name, _ in headers):
                self._notice("undeclared-proxy")
            template = self._new_template(parse_peer(host))
            if host is None or len(host) <= LONGEST_CACHED_HOST:
                self._remember(host, template)
        return template

    def _template_through(self, host: str | None, headers: Headers, chain: ProxyChain) -> list[int]:
        lines = [value for name, value in headers if name == chain.header]
        if not lines:
            return self._template(host, headers)
        key = (host, b",".join(lines))
        template = self._templates.get(key)
        if template is None:
            peer = parse_peer(host)
            if not chain.declares(peer):
                self._notice("undeclared-proxy")
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
            self._notice("client-missing")
        template = self._slots.template(address)
        template[self.listed_at] = self._lists.of_address(address)
        if self._origins is not None:
            for position in self._origin_positions:
                template[position] = self._origins.of_address(address)
        return template

    def _fill_late(self, identities: list[int], headers: Headers, context: Context) -> None:
        for position in self._late:
            for source, argument in self._facts[position].sources:
                if source == "client":
                    # The template has it already; nothing further down the list is asked.
                    if identities[position] >= 0:
                        break
                    continue
                if source == "resolver":
                    resolved = context.resolved.get(argument, {}).get(position)
                    if resolved is not None:
                        identities[position] = resolved
                        break
                    continue
                value = self._look_up(source, argument, headers, context)
                if value is None or not 0 < len(value) <= LONGEST_VALUE:
                    continue
                identities[position] = self._slots.of_value(position, value, identities[position])
                break

    def _look_up(self, source: str, argument: str, headers: Headers, context: Context) -> bytes | None:
        if source == "header":
            name = argument.encode("latin-1")
            value = next((value for at, value in headers if at == name), None)
            return credential_bytes(value) if value and name in self._slots.CREDENTIALS else value
        if source == "cookie":
            lines = [value for name, value in headers if name == b"cookie"]
            return find_cookie(lines, argument.encode("utf-8")) if lines else None
        if source == "path":
            found: object = context.params.get(argument)
        elif source == "state":
            found = context.state.get(argument)
        else:
            return None
        value = value_bytes(found)
        if value is None and found is not None:
            self._notice("identity-type")
        return value
