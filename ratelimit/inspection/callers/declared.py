"""The declarations of a policy file about callers: what `[correlation.known]` says of a hash."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from ratelimit.clustering.declarations import PAYMENT_KIND, principal_key
from ratelimit.core.clusters.organisations import member_payment
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.person import Person
from ratelimit.inspection.identities import short_hash
from ratelimit.policy.compile.compiled import IdentitySpec, OrganisationSpec
from ratelimit.policy.compile.identities import INTERNAL
from ratelimit.stores.acts.act import Act

MOST_PARTS = 256
"""Addresses or networks of a declared range, at most; a wider range is skipped."""
MOST_RANGES = 512
"""Ranges of organisations that are looked at, so that a page is made in time."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation as it is declared, by hashes."""

    name: str
    by: str
    """The act, in words; of the policy file empty."""
    accounts: Collection[int]
    payments: Collection[int]
    networks: Collection[int]

    def words_of(self, known: Knowledge, account: int, seen: Collection[int]) -> str:
        """Return how an account is of it; empty if it is not, as far as is known.

        Args:
            known: what is known here.
            account: the account's key.
            seen: the payment methods, addresses and networks that it was seen with.
        """
        if self.accounts:
            return f"organisation {self.name}{self.by}" if account in self.accounts else ""
        spec = known.compiled.correlation
        assert spec is not None
        # A member is seen with a method of its own in place of the organisation's.
        paying = [one for one in self.payments if one in seen or member_payment(account, one) in seen]
        if self.payments:
            by = known.compiled.identities[spec.kinds[PAYMENT_KIND]].name
            return self._words(by, paying[0]) if paying else ""
        at = [one for one in seen if one in self.networks or one ^ 1 in self.networks]
        return self._words("address or network", at[0]) if at else ""

    def _words(self, by: str, hashed: int) -> str:
        return f"of organisation {self.name} by its {by} {short_hash(hashed)}{self.by}"


def organisations_of_acts(acts: Collection[Act]) -> list[Organisation]:
    """Return the organisations that operators declared."""
    return [
        Organisation(act.name, f", act {act.label}", set(act.accounts), [*act.payments], set(act.networks))
        for act in acts
        if act.of.effect == "organisations"
    ]


class Declared:
    """What the policy file declares, by hashes.

    Args:
        known: what is known here: it has the policy, and the key that hashes are made with.
    """

    def __init__(self, known: Knowledge) -> None:
        self._of: dict[int, list[str]] = defaultdict(list)
        self.organisations: list[Organisation] = []
        """Those of the policy file."""
        spec = known.compiled.correlation
        if spec is None or spec.known is None:
            return
        told = spec.known
        for words, principals in (
            ("exempt from limits per actor", told.exempt),
            ("its actor is confirmed", told.confirm),
            ("its actor is cleared", told.clear),
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
            payments, networks = [], []
            for value in organisation.payments if spec.kinds[PAYMENT_KIND] >= 0 else ():
                name = known.compiled.identities[spec.kinds[PAYMENT_KIND]].name
                payments.append(known.bound.extractor.value_hash(name, value))
            ranges += len(organisation.networks)
            if ranges <= MOST_RANGES:
                networks = [*_places(known, organisation)]
            for hashed in (*payments, *networks):
                self._add(hashed, words)
            keys = [
                principal_key(spec, known.compiled.identities, known.bound.extractor, values)
                for values in organisation.accounts
            ]
            accounts = {key for key in keys if key is not None}
            self.organisations.append(Organisation(organisation.name, "", accounts, payments, set(networks)))

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

    def of_person(self, known: Knowledge, person: Person) -> list[str]:
        """Return what is declared of a caller, and the organisations that it is of by what it uses."""
        found = [f"{words}, in the policy file" for words, _ in self.of(_hashes_of(person))]
        for each in person.callers:
            if each.what != "account":
                continue
            seen = [] if person.explanation is None else [one.hash for one in person.explanation.shared]
            seen += [hashed for _, hashed in person.identities]
            for organisation in (*self.organisations, *organisations_of_acts(known.acts)):
                words = organisation.words_of(known, each.hash, seen)
                if words and (organisation.by or not organisation.accounts):
                    found.append(words if organisation.by else f"{words}, in the policy file")
        return list(dict.fromkeys(found))


def _hashes_of(person: Person) -> list[int]:
    return [hashed for each in person.callers for hashed in each.hashes]


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
