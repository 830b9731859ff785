"""Sightings on their way from every worker to the one that correlates."""

from collections.abc import Sequence
from typing import final

from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.clusters.sighting import Columns
from ratelimit.core.sharing.assignments import Assignments
from ratelimit.core.sharing.board import Board

RING_PATIENCE_NS: int
"""The time for which the consumer waits for a producer that took its turn and does not come."""

@final
class Ring:
    """A bounded ring of sightings in shared memory: many producers, one consumer, no lock.

    - A full ring drops what is put and counts it; no producer waits.
    - A producer killed at any instruction holds the consumer up for `RING_PATIENCE_NS` at
      most, however many were killed with it. Their sightings are counted as abandoned.
    - A record that two producers wrote to (one of which slept through the patience) is
      counted as torn and never read.
    - A consumer killed at any instruction loses one sighting at most.

    Args:
        board: the shared memory.
        columns: where rows of identities have what is kept of them.
    """

    def __init__(self, board: Board, columns: Columns) -> None: ...
    @property
    def board(self) -> Board: ...
    @property
    def columns(self) -> Columns: ...
    def put(self, row: Sequence[int], now_ns: int, free: bool = False, /) -> bool:
        """Pass one decided request on; False if it has no principal, or there is no room.

        Never raises on account of what was seen, nor when the board is closed.

        Args:
            row: the identities of the request.
            now_ns: when.
            free: whether it was admitted, and limits per cluster did not count it for want of one.
        """
    def drain(
        self, cluster_index: ClusterIndex, most: int, now_ns: int, assignments: Assignments | None = None, /
    ) -> int:
        """Let a cluster index note up to `most` sightings, without the GIL; return how many it did.

        A principal that joins a cluster thereby is entered into `assignments`, if they are given
        and this process is their writer.
        """
    def reserve(self) -> int:
        """Take a producer's turn and never finish it: what a kill leaves. For tests."""
