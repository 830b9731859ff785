"""Which actor a request's principal belongs to, for an explanation of one request.

A policy alone does not say. The answer is in a trace replayed to its end, in what a running
correlator has saved, or in the assignments that running workers look into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ratelimit.cli.facts import RecordFacts
from ratelimit.cli.principal import Source
from ratelimit.core.sighting import Columns
from ratelimit.core.watch import Watch
from ratelimit.generation import Matched
from ratelimit.policy.compiled import CompiledPolicy
from ratelimit.storage import SIGHTINGS
from ratelimit.stores.boards import SharedBoard
from ratelimit.stores.embedded import EmbeddedStore
from ratelimit.traces import Fields

Fill = Callable[[list[int], Any, Matched], None]


@dataclass(frozen=True, slots=True)
class Membership:
    """Where a request's actor is looked up."""

    name: str
    """As people are told."""
    fill: Fill
    """Puts the actor of a record into its row."""


def in_evidence(source: Source, fields: Fields) -> Membership:
    """Look into a correlator: a trace's, or one that was saved."""
    facts, at = RecordFacts(source.generation, fields), source.generation.compiled.cluster

    def fill(row: list[int], record: Any, matched: Matched) -> None:
        # Its hashes are of its own key.
        theirs = facts.identities(record, matched)
        source.correlator.core.fill(theirs, at)
        row[at - 2 : at + 1] = theirs[at - 2 : at + 1]

    return Membership(source.name, fill)


@contextmanager
def on_this_host(compiled: CompiledPolicy, store: EmbeddedStore) -> Iterator[Membership | None]:
    """Look at what this host's workers look at; None where none of them correlates."""
    spec = compiled.correlation
    shared = None
    if spec is not None:
        principals = int(spec.settings["principals"])
        shared = SharedBoard.existing(store, principals=principals, sightings=SIGHTINGS)
    if spec is None or shared is None:
        yield None
        return
    try:
        watch = Watch(
            shared.board, Columns(spec.principal, spec.kinds, spec.created, spec.costly), compiled.cluster
        )
        yield Membership("this host's workers", lambda row, record, matched: watch.fill(row))
    finally:
        shared.close()
