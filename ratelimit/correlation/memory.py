"""A correlator's memory taken out and put back: for snapshots, and for new settings.

Two parts: the core's, as bytes in regions, and the correlator's own numbers and
findings, as what JSON can hold. Everything is done in pieces small enough for slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from ratelimit.core.clusters.image import REGIONS, Image, Tally
from ratelimit.correlation.classification import Classification, Verdict, unmeasured
from ratelimit.correlation.correlator import Correlator

PIECE_BYTES = 256 << 10
FINDINGS_AT_ONCE = 32
MENDED = 4096
"""Principals or identifiers that are made usable in one slice: each has its own place in an index."""

Piece = tuple[int, int, int, bytes]
"""A region, the position of its first item in it, bytes an item, and the items."""
Findings = list[list[Any]]
"""Label, identity, statistics, and classification by field, of several clusters."""


def shapes_of(correlator: Correlator) -> list[tuple[str, int, int]]:
    """Return name, bytes an item and items of each region."""
    image = Image(correlator.core)
    return [(name, *image.shape(number)) for number, name in enumerate(REGIONS)]


def can_take(correlator: Correlator, regions: Sequence[tuple[str, int, int]]) -> bool:
    """Return whether regions of this name and bytes an item can be put back."""
    image = Image(correlator.core)
    return tuple(name for name, _, _ in regions) == tuple(REGIONS) and all(
        image.fits(number, size) for number, (_, size, _) in enumerate(regions)
    )


def pieces_of(correlator: Correlator) -> Iterator[Piece]:
    """Yield the core's memory. Nothing may be observed or rebuilt meanwhile."""
    image = Image(correlator.core)
    for number in range(len(REGIONS)):
        size, count = image.shape(number)
        step = max(1, PIECE_BYTES // size)
        for start in range(0, count, step):
            yield number, start, size, image.read_items(number, start, min(start + step, count))


def state_of(correlator: Correlator) -> dict[str, Any]:
    """Return the numbers that the core and the correlator have besides."""
    own = {name: value for name, value in vars(correlator).items() if isinstance(value, int | float | str)}
    return {"numbers": Image(correlator.core).numbers(), "own": own}


def findings_of(correlator: Correlator) -> Iterator[Findings]:
    """Yield the findings about the clusters there are, a few at a time."""
    kept, identities = correlator.kept, correlator.identities
    labels = sorted(kept)
    for start in range(0, len(labels), FINDINGS_AT_ONCE):
        yield [
            [label, identities[label], kept[label][0], asdict(kept[label][1])]
            for label in labels[start : start + FINDINGS_AT_ONCE]
        ]


def put_piece(correlator: Correlator, piece: Piece) -> None:
    """Put a piece back into a correlator that has observed nothing."""
    Image(correlator.core).write_items(*piece)


def put_state(correlator: Correlator, state: Mapping[str, Any]) -> Iterator[None]:
    """Make a correlator go on where the one went that `state` and all pieces are from, slice by slice."""
    image, evidence = Image(correlator.core), correlator.evidence
    image.finish(state["numbers"])
    for start in range(0, evidence.identifier_count, MENDED):
        image.mend_identifiers(start, start + MENDED)
        yield
    for start in range(0, evidence.principal_count, MENDED):
        image.mend_principals(start, start + MENDED)
        yield
    for name, value in state["own"].items():
        # A number that a later release no longer has, or has of another kind, is left out.
        if type(vars(correlator).get(name)) is type(value):
            setattr(correlator, name, value)


def put_findings(correlator: Correlator, findings: Findings) -> None:
    """Put findings back, after `put_state`; those of clusters there is no room for are left out."""
    live = set(correlator.core.live())
    for label, identity, statistics, classification in findings:
        if label in live:
            correlator.identities[label] = identity
            # What an earlier release did not measure yet is measured by the next rebuild.
            measured = unmeasured(0) | statistics
            correlator.kept[label] = (
                measured,
                Classification(Verdict(classification["verdict"]), classification["why"]),
            )


def transplant(old: Correlator, new: Correlator) -> Iterator[None]:
    """Give one correlator's memory to another with other settings; yield between slices."""
    for piece in pieces_of(old):
        put_piece(new, piece)
        yield
    yield from put_state(new, state_of(old))
    for findings in findings_of(old):
        put_findings(new, findings)
        yield
    new.core.inherit(old.core)


def tally_of(correlator: Correlator) -> dict[Literal["likely", "certain"], tuple[int, int]]:
    """Return clusters and members by verdict; a cluster's is the highest of its members'."""
    tally = Tally(correlator.core)
    tally.count(0, correlator.evidence.principal_count)
    return tally.found()
