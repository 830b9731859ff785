"""The actor that a request's principal belongs to, for an explanation of one request.

A policy alone does not say. The answer is in a trace replayed to its end, in a running correlator's
snapshot, or in the assignments that running workers look into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ratelimit.deciding.bound_policy import Matched
from ratelimit.inspection.access.attachment import watch_of
from ratelimit.inspection.actors.evidence import Source
from ratelimit.lab.records import Fields, RecordFacts
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.stores.embedded.store import EmbeddedStore

Fill = Callable[[list[int], Any, Matched], None]


@dataclass(frozen=True, slots=True)
class Membership:
    """The place where a request's actor is looked up."""

    name: str
    """As people are told."""
    fill: Fill
    """Puts the actor of a record into its row."""


class RecordRecognition:
    """The decider's view of where one record's actor is looked up: see `deciding.stage.Recognition`.

    Args:
        membership: where it is looked up.
        record, matched: what is explained.
    """

    def __init__(self, membership: Membership, record: Any, matched: Matched) -> None:
        self._membership = membership
        self._record = record
        self._matched = matched

    def fill(self, row: list[int], /) -> None:
        """Put the record's actor into its row."""
        self._membership.fill(row, self._record, self._matched)

    def observe(self, row: Sequence[int], refused: bool, now_ns: int, counted_at: int = -1, /) -> bool:
        """Take nothing: an explanation is no evidence."""
        return False


def in_evidence(source: Source, fields: Fields) -> Membership:
    """Look into a correlator: a trace's, or one that was saved."""
    facts, at = RecordFacts(source.bound, fields), source.bound.compiled.cluster

    def fill(row: list[int], record: Any, matched: Matched) -> None:
        # Its hashes are of its own key.
        theirs = facts.identities(record, matched)
        source.correlator.core.fill(theirs, at)
        row[at - 2 : at + 1] = theirs[at - 2 : at + 1]

    return Membership(source.name, fill)


@contextmanager
def on_this_host(compiled: CompiledPolicy, store: EmbeddedStore) -> Iterator[Membership | None]:
    """Look at what this host's workers look at; None where none of them correlates."""
    with watch_of(compiled, store) as watch:
        fill = None if watch is None else watch.fill
        yield fill and Membership("this host's workers", lambda row, record, matched: fill(row))
