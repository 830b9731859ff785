"""Assignments of accounts to clusters, for every worker to look up."""

from collections.abc import Sequence
from typing import final

from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.clusters.sighting import Columns
from ratelimit.core.sharing.board import Board

PAIR_BYTES: int
"""48 bits of a principal's key, its verdict and its cluster, packed."""

@final
class Assignments:
    """A table from principals to cluster identities and verdicts in shared memory: one writer, any readers.

    - Readers never wait and never see a half-written entry, nor entries of two rebuilds
      mixed in one answer.
    - A rebuild's result appears as a whole, with `commit`; between rebuilds single entries
      are added. A writer killed at any instruction leaves the table that was in force.
    - A process that is not the board's writer any more cannot write: every method that does says False. If
      it was replaced while one of them ran, at most one more entry is written.
    - Keys are told apart by 48 bits: of 2**48 strangers one is taken for a given member.

    Args:
        board: the shared memory.
        columns: where rows of identities have the principal.
    """

    def __init__(self, board: Board, columns: Columns) -> None: ...
    @property
    def board(self) -> Board: ...
    @property
    def columns(self) -> Columns: ...
    def cluster(self, row: Sequence[int], /) -> int:
        """Return what limits count this row's cluster by, -1 without one; -1 when the board is closed."""
    def of_key(self, key: int, /) -> int:
        """Return the cluster of a principal given by its key, -1 without one."""
    def verdict(self, key: int, /) -> int:
        """Return how sure it is that it belongs there: 0 without a cluster, 1 for likely, 2 for certain."""
    @property
    def term(self) -> int:
        """The term this object writes in; 0 if it never was a writer."""
    @property
    def is_writer(self) -> bool:
        """True if that term still is the board's."""
    def write(self, term: int, /) -> None:
        """Write in this term, which `Board.claim` returned."""
    def begin(self) -> bool:
        """Empty the half that is not in force, to fill it."""
    def fill(self, cluster_index: ClusterIndex, start: int, stop: int, /) -> bool:
        """Enter the index's principals in a range of positions. What finds no room is counted."""
    def fill_methods(self, cluster_index: ClusterIndex, start: int, stop: int, /) -> bool:
        """Enter payment methods, of identifiers in a range, that are an actor's own: see `methods`."""
    def stage(self, key: int, identity: int, verdict: int = 2, /) -> bool:
        """Enter one principal into the half that is being filled; False if there is no room."""
    def commit(self) -> bool:
        """Put the filled half in force."""
    def assign(self, key: int, identity: int, verdict: int = 2, /) -> bool:
        """Enter one principal at once; -1, or a verdict of 0, for no cluster."""
    def record(self, room: int, /) -> None:
        """Remember from now on what is entered, for `take_changes`; `commit` counts as what it changed."""
    @property
    def overrun(self) -> bool:
        """True if there were more changes since they were last taken than were remembered."""
    def take_changes(self) -> bytes:
        """Return what was entered since the last time, packed, oldest first, and forget it."""
    def export(self) -> bytes:
        """Return all entries in force, packed."""
    def enter(self, pairs: bytes, /) -> int:
        """Enter packed pairs at once, the last of a principal's wins; return how many were of no cluster.

        These take room until `compact`, which is done here as well if there is none left.
        """
    def stage_all(self, pairs: bytes, /) -> bool:
        """Enter packed pairs into the half that is being filled. What finds no room is counted."""
    def compact(self) -> bool:
        """Make room where entries are of no cluster any more."""
