"""Who belongs to which cluster, for every worker to look up."""

from collections.abc import Sequence
from typing import final

from ratelimit.core.board import Board
from ratelimit.core.judge import Judge
from ratelimit.core.sighting import Columns

@final
class Assignments:
    """A table from principals to cluster identities in shared memory: one writer, any readers.

    - Readers never wait and never see a half-written entry, nor entries of two rebuilds
      mixed in one answer.
    - A rebuild's result appears as a whole, with `commit`; between rebuilds single entries
      are added. A writer killed at any instruction leaves the table that was in force.
    - Who is not the board's writer any more cannot write: every method that does says False.

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
    @property
    def term(self) -> int:
        """The term this object writes in; 0 if it never was a writer."""
    @property
    def is_writer(self) -> bool:
        """Whether that term still is the board's."""
    def write(self, term: int, /) -> None:
        """Write in this term, which `Board.claim` returned."""
    def begin(self) -> bool:
        """Empty the half that is not in force, to fill it."""
    def fill(self, judge: Judge, start: int, stop: int, /) -> bool:
        """Enter the judge's principals in a range of positions. What finds no room is counted."""
    def stage(self, key: int, identity: int, /) -> bool:
        """Enter one principal into the half that is being filled; False if there is no room."""
    def commit(self) -> bool:
        """Put the filled half in force."""
    def assign(self, key: int, identity: int, /) -> bool:
        """Enter one principal at once; -1 for no cluster."""
