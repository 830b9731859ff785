"""The operator's declarations, from values to keys that are hashed like live identities.

A policy has values; the correlator has only keyed hashes. They meet where a policy is
bound to a store, which has the key of the hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ratelimit.core.clusters.organisations import Organisations
from ratelimit.core.clusters.overrides import Overrides
from ratelimit.core.clusters.sighting import Columns
from ratelimit.core.sharing.observer import Watch
from ratelimit.correlation import Correlator
from ratelimit.identity.extract import Extractor
from ratelimit.identity.fact import ABSENT
from ratelimit.policy.compile.compiled import CorrelationSpec, IdentitySpec

PAYMENT_KIND = 2


@dataclass(frozen=True, slots=True)
class Declarations:
    """The declarations, as the core takes them; None for those absent."""

    overrides: Overrides | None
    organisations: Organisations | None
    origin: int
    """The place where rows say from which declared network a request comes; -1: nowhere."""

    def tell_columns(self, columns: Columns | Watch) -> None:
        """Let what looks at requests' identities go by it."""
        columns.declare(self.origin, self.organisations)

    def tell(self, correlator: Correlator) -> None:
        """Let a correlator, and the columns it looks at, go by it; after a snapshot was restored."""
        self.tell_columns(correlator.core.columns)
        correlator.know(self.overrides, self.organisations)


@dataclass(frozen=True, slots=True)
class Declared:
    """The operator's acts about accounts, by keys: see `policy.schema.knowledge.Known`."""

    exempt: tuple[int, ...] = ()
    together: tuple[tuple[int, ...], ...] = ()
    apart: tuple[tuple[int, ...], ...] = ()
    confirm: Mapping[int, int] = field(default_factory=dict)
    """With how late each was said: of one actor's words the latest counts."""
    clear: Mapping[int, int] = field(default_factory=dict)
    organisations: tuple[tuple[tuple[int, ...], ...], ...] = ()
    """Of each its accounts, its payment methods, and its networks: those of the policy are in `origin`."""

    @property
    def overrides_accounts(self) -> bool:
        """True if anything is said of accounts beside organisations."""
        return bool(self.exempt or self.together or self.apart or self.confirm or self.clear)


def hashed(
    spec: CorrelationSpec,
    identities: Sequence[IdentitySpec],
    extractor: Extractor,
    declared: Declared = Declared(),  # frozen
) -> Declarations:
    """Return what a policy and acts say that the operator knows; where they differ, the acts count."""
    known = spec.known
    if known is None and declared == Declared():
        return Declarations(None, None, spec.origin)

    def keys(principals: Iterable[Sequence[str]]) -> list[int]:
        found = (principal_key(spec, identities, extractor, values) for values in principals)
        return [key for key in found if key is not None]

    written = Declared()
    if known is not None:
        payment = spec.kinds[PAYMENT_KIND]
        written = Declared(
            tuple(keys(known.exempt)),
            tuple(tuple(keys(group)) for group in known.together),
            tuple(tuple(keys(group)) for group in known.apart),
            dict.fromkeys(keys(known.confirm), 0),  # acts are later
            dict.fromkeys(keys(known.clear), 0),
            tuple(
                (
                    tuple(keys(each.accounts)),
                    tuple(extractor.value_hash(identities[payment].name, value) for value in each.payments),
                    (),
                )
                for each in known.organisations
            ),
        )
    return Declarations(_overrides(written, declared), _organisations(written, declared), spec.origin)


def _overrides(written: Declared, acts: Declared) -> Overrides | None:
    if not written.overrides_accounts and not acts.overrides_accounts:
        return None
    said = {*acts.exempt, *acts.confirm, *acts.clear}
    return Overrides(
        [*written.exempt, *acts.exempt],
        [*_without(written.together, acts.apart), *acts.together],
        [*_without(written.apart, acts.together), *acts.apart],
        {**{key: rank for key, rank in written.confirm.items() if key not in said}, **acts.confirm},
        {**{key: rank for key, rank in written.clear.items() if key not in said}, **acts.clear},
    )


def _without(groups: Iterable[tuple[int, ...]], others: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return groups that none of some others contradicts: two of its accounts are not in one of them."""
    against = [set(other) for other in others]
    return [group for group in groups if all(len(other.intersection(group)) < 2 for other in against)]


def _organisations(written: Declared, acts: Declared) -> Organisations | None:
    # The policy's first: rows name them by number.
    found = [*written.organisations, *acts.organisations]
    return Organisations(found) if found else None


def principal_key(
    spec: CorrelationSpec, identities: Sequence[IdentitySpec], extractor: Extractor, values: Sequence[str]
) -> int | None:
    """Return the key of a principal by its values, in the policy's order; None when one is unusable."""
    columns = spec.columns()
    row = [ABSENT] * (columns.highest + 1)
    for position, value in zip(spec.principal, values, strict=True):
        row[position] = extractor.value_hash(identities[position].name, value)
    return columns.key_of(row)
