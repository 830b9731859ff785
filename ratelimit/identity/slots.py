"""Positions and namespaces: which hash goes where, for values, addresses and gaps.

Three namespaces for each identity, all derived from its name: its values, what
stands in for it per client, and the one value shared by all who lack it. They are
apart by construction, so nobody lands in another's budget by leaving a header out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from ratelimit.core.hashing import Hasher
from ratelimit.core.scan import Scanner
from ratelimit.identity.address import Address, Name
from ratelimit.identity.fact import ABSENT, LONGEST_VALUE, REFUSED, Fact, credential_bytes

# "\0" cannot occur in a name, so no identity is called like another's gap.
_GAP_PER_CLIENT = "\0missing, per client: "
_GAP_SHARED = "\0missing, shared: "
_ORIGIN = "\0origin"


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

    def __init__(self, facts: Sequence[Fact], hasher: Hasher, needed: Collection[int]) -> None:
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
            if len(fact.sources) == 1 and source == "header":
                name = argument.encode("latin-1")
                change = credential_bytes if name in self.CREDENTIALS else None
                wanted.setdefault(name, []).append((position, self._kinds[position], change))
            elif source != "client":
                late.append(position)
        wanted.setdefault(b"origin", []).append((len(facts), hasher.kind_of(_ORIGIN), None))
        self.scanner = Scanner(hasher, wanted, LONGEST_VALUE)
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

    def template(self, address: Address | Name | None) -> list[int]:
        """Return what stands at each position for a client whose headers say nothing."""
        return [
            self._unsaid(position, fact, address) if position in self._needed else ABSENT
            for position, fact in enumerate(self._facts)
        ]

    def of_address(self, position: int, address: Address | Name) -> int:
        """Return the hash of an address at this position's prefix."""
        fact = self._facts[position]
        return self._hasher.identity(self._kinds[position], address.prefix(fact.v4, fact.v6))

    def of_value(self, position: int, value: bytes | None, otherwise: int) -> int:
        """Return the hash of a value, or `otherwise` when it counts as missing."""
        if value is None or not 0 < len(value) <= LONGEST_VALUE:
            return otherwise
        return self._hasher.identity(self._kinds[position], value)

    def _unsaid(self, position: int, fact: Fact, address: Address | Name | None) -> int:
        if address is not None and any(source == "client" for source, _ in fact.sources):
            return self.of_address(position, address)
        if fact.missing == "refuse":
            return REFUSED
        if fact.missing == "shared":
            return self._hasher.identity(self._hasher.kind_of(_GAP_SHARED + fact.name), b"")
        if fact.missing == "client" and address is not None:
            return self._hasher.identity(self._client_gaps[position], address.prefix(fact.v4, fact.v6))
        return ABSENT
