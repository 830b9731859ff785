"""Positions and namespaces: which hash goes where, for values, addresses and gaps.

Three namespaces for each identity, all derived from its name: its values, what
stands in for it per client, and the one value shared by all who lack it. They are
apart by construction, so nobody lands in another's budget by leaving a header out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from ratelimit.core.hashing import Hasher
from ratelimit.core.scan import FORWARDED, Scanner
from ratelimit.identity.address import Address, Name
from ratelimit.identity.fact import ABSENT, LONGEST_VALUE, REFUSED, Fact, credential_bytes

# "\0" cannot occur in a name, so no identity is called like another's gap.
_GAP_PER_CLIENT = "\0missing, per client: "
_GAP_SHARED = "\0missing, shared: "
_ORIGIN = "\0origin"

# The famous mistake is a proxy nobody declared: its header arrives and is ignored.
PROXY_HEADERS = (b"x-forwarded-for", b"forwarded")


class Slots:
    """The compiled positions of one policy's identities."""

    __slots__ = (
        "_client_gaps",
        "_facts",
        "_hasher",
        "_kinds",
        "_needed",
        "late",
        "needs_address",
        "needs_context",
        "positions",
        "resolvers",
        "scanner",
    )

    CREDENTIALS = frozenset((b"authorization", b"proxy-authorization"))

    def __init__(
        self,
        facts: Sequence[Fact],
        hasher: Hasher,
        needed: Collection[int],
        notice: Callable[[str], None],
        created_at: int = -1,
    ) -> None:
        self._facts = tuple(facts)
        self._needed = frozenset(needed)
        self._hasher = hasher
        self._kinds = tuple(hasher.kind_of(fact.name) for fact in facts)
        self._client_gaps = tuple(hasher.kind_of(_GAP_PER_CLIENT + fact.name) for fact in facts)
        self.positions = {fact.name: position for position, fact in enumerate(facts)}
        wanted: dict[bytes, list[tuple[int, int, Callable[[bytes], bytes] | None]]] = {}
        late = []
        for position in sorted(self._needed):
            fact = facts[position]
            source, argument = fact.sources[0]
            if position == created_at:
                continue  # a number, and no value to hash: see `Extractor`
            if len(fact.sources) == 1 and source == "header":
                name = argument.encode("latin-1")
                change = credential_bytes if name in self.CREDENTIALS else None
                wanted.setdefault(name, []).append((position, self._kinds[position], change))
            elif source not in ("client", "cluster", "origin", "age"):
                late.append(position)
        wanted.setdefault(b"origin", []).append((len(facts), hasher.kind_of(_ORIGIN), None))
        self.late = tuple(late)
        used = [facts[position] for position in sorted(self._needed)]
        sources = [source for fact in used for source in fact.sources]
        self.resolvers = tuple(
            dict.fromkeys(argument for source, argument in sources if source == "resolver")
        )
        self.needs_context = any(source in ("path", "state", "resolver") for source, _ in sources)
        self.needs_address = any(source == "client" for source, _ in sources) or any(
            fact.missing == "client" for fact in used
        )
        for header in PROXY_HEADERS:
            wanted.setdefault(header, []).append((FORWARDED, 0, None))
        self.scanner = Scanner(
            hasher,
            wanted,
            LONGEST_VALUE,
            [self._blank(position, fact) for position, fact in enumerate(self._facts)],
            needs_peer=self.needs_address,
            notice=notice,
        )

    def template(self, address: Address | Name | None) -> list[int]:
        """Return what stands at each position for a client whose headers say nothing."""
        if address is None:
            return self.scanner.template(0, None)
        if isinstance(address, Name):
            return self.scanner.template(0, address.prefix(0, 0))
        return self.scanner.template(address.width, address.bits.to_bytes(address.width // 8, "big"))

    def of_address(self, position: int, address: Address | Name) -> int:
        """Return the hash of an address at this position's prefix."""
        fact = self._facts[position]
        return self._hasher.identity(self._kinds[position], address.prefix(fact.v4, fact.v6))

    def of_value(self, position: int, value: bytes | None, otherwise: int) -> int:
        """Return the hash of a value, or `otherwise` when it counts as missing."""
        if value is None or not 0 < len(value) <= LONGEST_VALUE:
            return otherwise
        return self._hasher.identity(self._kinds[position], value)

    def _blank(self, position: int, fact: Fact) -> tuple[int | None, int, int, int]:
        """Return what stands in for this identity, as the scanner takes it."""
        otherwise = ABSENT
        kind: int | None = None
        if position in self._needed:
            if fact.missing == "client":
                kind = self._client_gaps[position]
            elif fact.missing == "shared":
                otherwise = self._hasher.identity(self._hasher.kind_of(_GAP_SHARED + fact.name), b"")
            elif fact.missing == "refuse":
                otherwise = REFUSED
            if any(source == "client" for source, _ in fact.sources):
                kind = self._kinds[position]
        return kind, fact.v4, fact.v6, otherwise
