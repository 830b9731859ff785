"""The observer: the part that correlation has in a request's way."""

from collections.abc import Sequence
from typing import final

from ratelimit.core.clusters.organisations import Organisations
from ratelimit.core.clusters.sighting import Columns
from ratelimit.core.sharing.assignments import Assignments
from ratelimit.core.sharing.board import Board
from ratelimit.core.sharing.ring import Ring

@final
class Watch:
    """Looks up a request's actor before it is decided, and passes it on afterwards.

    A row has its actor in three places, side by side: of every member, of a likely one, of a certain one.
    So a limit binds the members it is meant for by what it counts by.

    Args:
        board: the shared memory.
        columns: where rows of identities have what is looked at.
        at: the last of these places.
    """

    def __new__(cls, board: Board, columns: Columns, at: int) -> Watch: ...
    @property
    def ring(self) -> Ring: ...
    @property
    def assignments(self) -> Assignments: ...
    @property
    def at(self) -> int: ...
    @property
    def highest(self) -> int:
        """The highest position it reads or writes."""
    def declare(self, origin_at: int, organisations: Organisations | None = None) -> None:
        """Say what is declared of where requests come from: see `Columns.declare`."""
    def fill(self, row: list[int], /) -> None:
        """Put the actor's identity into a row, -1 wherever it has none."""
    @property
    def tells_age(self) -> bool:
        """True if a limit asks for new accounts: then rows are marked before they are decided."""
    def mark(self, row: list[int], now_ns: int, /) -> bool:
        """Mark a row of a new account; return whether it is one: see `Columns.mark`."""
    def observe(self, row: Sequence[int], refused: bool, now_ns: int, counted_at: int = -1, /) -> bool:
        """Pass a decided request on to the correlator; False if it was not taken.

        Args:
            row: as it was decided.
            refused: whether it was.
            now_ns: when.
            counted_at: what a limit per cluster that applies to it counts by; -1 without any.
        """
