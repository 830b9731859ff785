"""The identities that the correlator reads, named in `[correlation]`, by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ratelimit.environment.spelling import did_you_mean
from ratelimit.facts.numbers import CREATED, FACTS
from ratelimit.policy.compile.compiled import CorrelationSpec, IdentitySpec, KnownSpec, Network, SourceSpec
from ratelimit.policy.compile.identities import INTERNAL, ORIGIN, number_source
from ratelimit.policy.schema.model import Correlation
from ratelimit.policy.schema.problem import Path, Report
from ratelimit.policy.schema.tuning import Tuning

MAX_PARTS = 4
_NETWORKS = (0, 1, 7)
"""Where the kinds that the core counts have the address, the network and the block."""
_PAYMENT, _CLIENT, _EXTRA = 2, 3, 4
_KINDS = 8


def compile_correlation(
    table: Correlation,
    identities: Sequence[IdentitySpec],
    known: KnownSpec | None,
    public: tuple[tuple[Network, ...], ...],
    tuning: Tuning,
    report: Report,
) -> CorrelationSpec | None:
    """Return what is to be correlated, None for nothing.

    Args:
        table: as written.
        identities: by position.
        known: the operator's own knowledge.
        public: the ranges of each public list.
        tuning: its numbers.
        report: told what is wrong.
    """
    positions = {spec.name: spec.index for spec in identities}
    if table.principal is None:
        evidence = [fact.key for fact in FACTS if fact.is_evidence]
        for key in ("network", "payment", "client", "extra", *evidence, "public"):
            if getattr(table, key):
                report.add("correlation-principal", ("correlation", key), f"`{key}` without `principal`")
        if known is not None:
            report.add("correlation-principal", ("correlation", "known"), "`known` without `principal`")
        return None
    path: Path = ("correlation", "principal")
    if not table.principal:
        report.add("correlation-principal", path, "it names no identity", 'Write `principal = "…"`.')
    principal = _all(table.principal, positions, path, MAX_PARTS, report)
    kinds = [-1] * _KINDS
    networks = _all(table.network, positions, ("correlation", "network"), len(_NETWORKS), report)
    for kind, position in zip(_NETWORKS, networks, strict=False):
        kinds[kind] = position
    if len(networks) == 1:
        kinds[_NETWORKS[1]] = networks[0]
    for kind, key in ((_PAYMENT, "payment"), (_CLIENT, "client")):
        name = getattr(table, key)
        if name is not None:
            kinds[kind] = _own(name, identities, positions, ("correlation", key), report)
    for number, name in enumerate(table.extra[: _KINDS - 1 - _EXTRA]):
        kinds[_EXTRA + number] = _own(name, identities, positions, ("correlation", "extra", number), report)
    costly = tuple(number for number, name in enumerate(table.extra) if name in table.costly)
    if not networks:
        report.add("correlation-families", ("correlation",), "without `network` no actor is ever found")
    elif kinds[_PAYMENT] < 0 and not costly:
        report.add(
            "correlation-families",
            ("correlation",),
            "without `payment`, or one of `extra` with `:costly`, no actor is ever certain",
        )
    if table.snapshot and not table.snapshot.strip():
        hint = 'Name a file. Without one, evidence is not kept: `snapshot = ""`.'
        report.add("policy-value", ("correlation", "snapshot"), "the path is blank", hint)
    if known is not None and table.payment is None and any(each.payments for each in known.organisations):
        report.add(
            "known-organisation",
            ("correlation", "known", "organisations"),
            "payment methods are named, and no identity is `payment`",
            'Write `payment = "…"` into `[correlation]`.',
        )
    origin = positions.get(ORIGIN, -1)
    return CorrelationSpec(
        principal,
        tuple(kinds),
        tuning.correlator,
        table.snapshot,
        known,
        origin,
        tuning.correlator_runs_in == "workers",
        costly,
        positions.get(CREATED.place, -1),
        public,
    )


def fact_sources(table: Correlation, report: Report) -> dict[str, SourceSpec]:
    """Return the sources of facts that are numbers, by their places in rows."""
    found = {}
    for fact in FACTS:
        written = table.source_of(fact)
        if written is None or (fact.is_evidence and table.principal is None):
            continue
        path: Path = ("correlation", fact.key)
        source = number_source(written, path, "correlation-created", fact.forged, report)
        if source is not None:
            found[fact.place] = source
    return found


def _all(
    names: str | list[str], positions: Mapping[str, int], path: Path, most: int, report: Report
) -> tuple[int, ...]:
    listed = [names] if isinstance(names, str) else names
    if len(listed) > most:
        report.add("policy-too-many", path, f"{len(listed)} identities; {most} are the most")
    found = [
        _position(name, positions, path if isinstance(names, str) else (*path, number), report)
        for number, name in enumerate(listed[:most])
    ]
    return tuple(position for position in found if position >= 0)


def _own(
    name: str, identities: Sequence[IdentitySpec], positions: Mapping[str, int], path: Path, report: Report
) -> int:
    position = _position(name, positions, path, report)
    if position >= 0 and identities[position].missing in ("client", "shared"):
        # All accounts behind one address would seem to share one payment method.
        report.add(
            "correlation-missing",
            path,
            f"where `{name}` is missing, a stand-in would count as evidence",
            f'Write `missing = "skip"` for `{name}`.',
        )
    return position


def _position(name: str, positions: Mapping[str, int], path: Path, report: Report) -> int:
    position = positions.get(name, -1)
    if position < 0 or name in INTERNAL:
        report.add("identity-unknown", path, f"`{name[:64]}` is not declared", did_you_mean(name, positions))
        return -1
    return position
