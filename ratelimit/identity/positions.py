"""Positions and namespaces: which hash goes where, for values, addresses and gaps.

Each identity has three namespaces, derived from its name: its values, what stands in per
client, and the one value that requests without it share. They are apart by construction, so no
caller lands in another's budget by leaving a header out.

What stands in for a missing value stands in for a malformed one, too. Where a missing one is
skipped, a malformed one counts as its client: the application may well read it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.request.networks import Networks
from ratelimit.core.request.scanner import (
    FORM_CREDENTIAL,
    FORM_RAW,
    FORM_TEXT,
    FORWARDED,
    Scanner,
    Translations,
)
from ratelimit.facts.sources import BY_KIND, ORIGIN
from ratelimit.identity.address import Address, Name
from ratelimit.identity.fact import ABSENT, LONGEST_VALUE, MALFORMED, REFUSED, Fact
from ratelimit.identity.source import form_of, reading_of

# "\0" cannot occur in a name, so no identity is called like another's gap.
_GAP_PER_CLIENT = "\0missing, per client: "
_GAP_SHARED = "\0missing, shared: "
_ORIGIN = "\0origin"

_SCANNED: Mapping[str, int] = {"text": FORM_TEXT, "credential": FORM_CREDENTIAL}

# The famous mistake is an undeclared proxy: its header arrives and is ignored.
PROXY_HEADERS = (b"x-forwarded-for", b"forwarded")


class Positions:
    """The compiled positions of one policy's identities."""

    __slots__ = (
        "_client_gaps",
        "_evidence",
        "_facts",
        "_guarded",
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

    def __init__(
        self,
        facts: Sequence[Fact],
        hasher: Hasher,
        needed: Collection[int],
        diagnose: Callable[..., None],
        translations: Translations,
        evidence: Collection[int] = (),
        guarded: Collection[int] = (),
        numbers: Collection[int] = (),
        listed: Networks | None = None,
        origins: Networks | None = None,
    ) -> None:
        self._facts = tuple(facts)
        # What stands in for a value would count as evidence: there a malformed one is refused.
        self._evidence = frozenset(evidence)
        self._guarded = frozenset(guarded)
        self._needed = frozenset(needed)
        self._hasher = hasher
        self._kinds = tuple(hasher.kind_of(fact.name) for fact in facts)
        self._client_gaps = tuple(
            hasher.kind_of(_GAP_PER_CLIENT + fact.name, stands_in=True) for fact in facts
        )
        self.positions = {fact.name: position for position, fact in enumerate(facts)}
        wanted: dict[bytes, list[tuple[int, int, int]]] = {}
        late = []
        for position in sorted(self._needed):
            fact = facts[position]
            reading, argument = reading_of(fact.sources[0]), fact.sources[0][1]
            if position in numbers:
                continue  # a number, and no value to hash: see `Extractor`
            form = _SCANNED.get(form_of(fact.sources[0]))
            if len(fact.sources) == 1 and reading == "line" and form is not None:
                name = argument.encode("latin-1")
                wanted.setdefault(name, []).append((position, self._kinds[position], form))
            elif reading not in ("address", "nothing"):
                late.append(position)
        wanted.setdefault(b"origin", []).append((len(facts), hasher.kind_of(_ORIGIN), FORM_RAW))
        self.late = tuple(late)
        used = [facts[position] for position in sorted(self._needed)]
        sources = [source for fact in used for source in fact.sources]
        self.resolvers = tuple(dict.fromkeys(source[1] for source in sources if BY_KIND[source[0]].is_asked))
        self.needs_context = not all(BY_KIND[source[0]].is_in_head for source in sources)
        self.needs_address = any(BY_KIND[source[0]].is_address for source in sources) or any(
            fact.missing == "client" for fact in used
        )
        for header in PROXY_HEADERS:
            wanted.setdefault(header, []).append((FORWARDED, 0, FORM_RAW))
        self.scanner = Scanner(
            hasher,
            wanted,
            LONGEST_VALUE,
            [self._blank(position, fact) for position, fact in enumerate(self._facts)],
            needs_peer=self.needs_address,
            diagnose=diagnose,
            translations=translations,
            malformed=[
                (at, self._client_gaps[at]) for at in self._needed - self._evidence if at < len(facts)
            ],
            guarded=guarded,
            listed=listed,
            origins=origins,
            origin_at=next((at for at, fact in enumerate(facts) if fact.sources[0][0] == ORIGIN.kind), -1),
        )

    def template(self, address: Address | Name | None) -> list[int]:
        """Return what stands at each position for a client without headers that say anything."""
        if address is None:
            return self.scanner.template(0, None)
        if isinstance(address, Name):
            return self.scanner.template(0, address.prefix(0, 0))
        return self.scanner.template(address.width, address.octets, address.carrier)

    def of_address(self, position: int, address: Address | Name) -> int:
        """Return the hash of an address at this position's prefix."""
        fact = self._facts[position]
        return self._hasher.identity(self._kinds[position], address.prefix(fact.v4, fact.v6))

    def of_value(self, position: int, value: bytes) -> int:
        """Return the hash of a value in its form, MALFORMED for one that is malformed or too long."""
        if not 0 < len(value) <= LONGEST_VALUE:
            return MALFORMED
        return self._hasher.identity(self._kinds[position], value)

    def of_malformed(self, position: int, blank: int, client: Address | Name | None) -> int:
        """Return what stands for a malformed value where `blank` stands for a missing one.

        The same, so that no spelling has a budget of its own. Where nothing stands in, the client; and
        where that cannot be, REFUSED. MALFORMED stays where the deny list names values.
        """
        if position in self._guarded:
            return MALFORMED
        if blank != ABSENT:
            return blank
        if client is None or position in self._evidence:
            return REFUSED
        fact = self._facts[position]
        return self._hasher.identity(self._client_gaps[position], client.prefix(fact.v4, fact.v6))

    def _blank(self, position: int, fact: Fact) -> tuple[int | None, int, int, int]:
        """Return what stands in for this identity, as the scanner takes it."""
        otherwise = ABSENT
        kind: int | None = None
        if position in self._needed:
            if fact.missing == "client":
                kind = self._client_gaps[position]
            elif fact.missing == "shared":
                shared = self._hasher.kind_of(_GAP_SHARED + fact.name, stands_in=True)
                otherwise = self._hasher.identity(shared, b"")
            elif fact.missing == "refuse":
                otherwise = REFUSED
            if any(BY_KIND[source[0]].is_address for source in fact.sources):
                kind = self._kinds[position]
        return kind, fact.v4, fact.v6, otherwise
