"""What the operator knows, hashed like live identities: from values to keys.

A policy has values; the correlator has only keyed hashes. They meet where a policy is
bound to a store, which has the key of the hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ratelimit.core.clusters.organisations import Organisations
from ratelimit.core.clusters.rulings import Rulings
from ratelimit.core.clusters.sighting import Columns
from ratelimit.core.sharing.observer import Watch
from ratelimit.correlation import Correlator
from ratelimit.identity.extract import Extractor
from ratelimit.identity.fact import ABSENT
from ratelimit.policy.compile.compiled import CorrelationSpec, IdentitySpec

PAYMENT_KIND = 2


@dataclass(frozen=True, slots=True)
class Declarations:
    """What is declared, as the core takes it; None for what is not."""

    rulings: Rulings | None
    organisations: Organisations | None
    origin: int
    """Where rows say from which declared network a request comes; -1: nowhere."""

    def tell_columns(self, columns: Columns | Watch) -> None:
        """Let what looks at requests' identities go by it."""
        columns.declare(self.origin, self.organisations)

    def tell(self, correlator: Correlator) -> None:
        """Let a correlator, and the columns it looks at, go by it; after a snapshot was restored."""
        self.tell_columns(correlator.core.columns)
        correlator.know(self.rulings, self.organisations)


def hashed(spec: CorrelationSpec, identities: Sequence[IdentitySpec], extractor: Extractor) -> Declarations:
    """Return what a policy says the operator knows."""
    known = spec.known
    if known is None:
        return Declarations(None, None, -1)

    def keys(principals: Iterable[Sequence[str]]) -> list[int]:
        found = (principal_key(spec, identities, extractor, values) for values in principals)
        return [key for key in found if key is not None]

    rulings = None
    if known.rules_principals:
        rulings = Rulings(
            keys(known.exempt),
            [keys(group) for group in known.together],
            [keys(group) for group in known.apart],
            keys(known.confirm),
            keys(known.clear),
        )
    organisations = None
    if known.organisations:
        payment = spec.kinds[PAYMENT_KIND]
        organisations = Organisations(
            (
                keys(each.accounts),
                [extractor.value_hash(identities[payment].name, value) for value in each.payments],
            )
            for each in known.organisations
        )
    return Declarations(rulings, organisations, spec.origin)


def ages(spec: CorrelationSpec, knowledge: Declarations) -> Columns | None:
    """Return what marks rows of new accounts, correlated or not; None where no limit asks."""
    if spec.new < 0:
        return None
    columns = Columns(spec.principal, spec.kinds, spec.created, spec.costly)
    knowledge.tell_columns(columns)
    columns.tell_new(spec.new, spec.settings.new_s)
    return columns


def principal_key(
    spec: CorrelationSpec, identities: Sequence[IdentitySpec], extractor: Extractor, values: Sequence[str]
) -> int | None:
    """Return the key of a principal by its values, in the policy's order; None when one is unusable."""
    columns = Columns(spec.principal, spec.kinds, spec.created, spec.costly)
    row = [ABSENT] * (columns.highest + 1)
    for position, value in zip(spec.principal, values, strict=True):
        row[position] = extractor.value_hash(identities[position].name, value)
    return columns.key_of(row)
