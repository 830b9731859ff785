"""The declarations of a policy file about callers: what `[correlation.known]` says of a hash."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from ipaddress import IPv4Network, IPv6Network

from ratelimit.clustering.declarations import PAYMENT_KIND, principal_key
from ratelimit.inspection.knowledge import Knowledge
from ratelimit.policy.compile.compiled import IdentitySpec, OrganisationSpec
from ratelimit.policy.compile.identities import INTERNAL

MOST_PARTS = 256
"""Addresses or networks of a declared range, at most; a wider range is skipped."""
MOST_RANGES = 512
"""Ranges of organisations that are looked at, so that a page is made in time."""


class Declared:
    """What the policy file declares, by hashes.

    Args:
        known: what is known here: it has the policy, and the key that hashes are made with.
    """

    def __init__(self, known: Knowledge) -> None:
        self._of: dict[int, list[str]] = defaultdict(list)
        spec = known.compiled.correlation
        if spec is None or spec.known is None:
            return
        told = spec.known
        for words, principals in (
            ("exempt from limits per cluster", told.exempt),
            ("its cluster is confirmed", told.confirm),
            ("its cluster is cleared", told.clear),
            *(("one actor with others", group) for group in told.together),
            *(("not one actor with others", group) for group in told.apart),
            *((f"organisation {each.name}", each.accounts) for each in told.organisations),
        ):
            for values in principals:
                key = principal_key(spec, known.compiled.identities, known.bound.extractor, values)
                self._add(key, words)
        ranges = 0
        for organisation in told.organisations:
            words = f"organisation {organisation.name}"
            for value in organisation.payments if spec.kinds[PAYMENT_KIND] >= 0 else ():
                name = known.compiled.identities[spec.kinds[PAYMENT_KIND]].name
                self._add(known.bound.extractor.value_hash(name, value), words)
            ranges += len(organisation.networks)
            for hashed in _places(known, organisation) if ranges <= MOST_RANGES else ():
                self._add(hashed, words)

    def _add(self, hashed: int | None, words: str) -> None:
        if hashed is not None and hashed >= 0 and words not in self._of[hashed]:
            self._of[hashed].append(words)

    def of(self, hashes: Collection[int]) -> list[tuple[str, int]]:
        """Return what is declared of some hashes, and of how many of them."""
        found: dict[str, int] = {}
        for hashed in hashes:
            for words in dict.fromkeys([*self._of.get(hashed, ()), *self._of.get(hashed ^ 1, ())]):
                found[words] = found.get(words, 0) + 1
        return list(found.items())


def declared_words(found: Collection[tuple[str, int]]) -> list[str]:
    """Return the same of an actor, in phrases."""
    return [f"{words}: {count:,} of its accounts and identifiers" for words, count in found]


def _places(known: Knowledge, organisation: OrganisationSpec) -> Iterator[int]:
    """Yield the hashes of an organisation's addresses and networks, as far as they can be told apart."""
    for spec in known.compiled.identities:
        if spec.name in INTERNAL or not spec.is_address:
            continue
        for network in organisation.networks:
            for part in _parts(spec, network):
                yield from known.bound.extractor.value_hashes(spec.name, str(part.network_address))


def _parts(spec: IdentitySpec, network: IPv4Network | IPv6Network) -> Iterator[IPv4Network | IPv6Network]:
    """Yield the networks of an identity that lie in a declared one, or have it whole."""
    prefix = spec.v4_prefix if isinstance(network, IPv4Network) else spec.v6_prefix
    if prefix <= network.prefixlen:
        yield network
    elif 2 ** (prefix - network.prefixlen) <= MOST_PARTS:
        yield from network.subnets(new_prefix=prefix)
