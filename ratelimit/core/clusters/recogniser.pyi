"""Recognition: what the decider knows of a request's actor, and how it is told what was decided."""

from array import array
from collections.abc import Sequence
from typing import final

from typing_extensions import disjoint_base

from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.clusters.organisations import Organisations

@disjoint_base
class Recogniser:
    """A part of a decider: puts the actor into requests. It has kinds, and is never made by itself.

    A row has its actor in four places, side by side: a young cluster's budget, every member's, a likely
    one's, a certain one's. So a limit binds the members it is meant for by what it counts by.
    """

    @property
    def at(self) -> int: ...
    @property
    def highest(self) -> int:
        """The highest position it reads or writes."""
    def declare(self, origin_at: int, organisations: Organisations | None = None) -> None:
        """Say what is declared of where requests come from: see `Columns.declare`."""
    def fill(self, row: list[int], /) -> None:
        """Put the actor's identity into a row, -1 wherever it has none."""
    def observe(self, row: Sequence[int], refused: bool, now_ns: int, counted_at: int = -1, /) -> bool:
        """Pass a decided request on to the correlator; False if it was not taken.

        Args:
            row: as it was decided.
            refused: whether it was.
            now_ns: when.
            counted_at: what a limit per cluster that applies to it counts by; -1 without any.
        """

@final
class AtOnce(Recogniser):
    """The recognition in a replay: the correlator sees each request before its limits are asked.

    So a newcomer joins its cluster with its first request, and only requests that limits decide are evidence.
    """

    def __new__(cls, index: ClusterIndex, at: int) -> AtOnce: ...
    @property
    def index(self) -> ClusterIndex: ...
    is_entered: bool
    """Whether the correlator has seen the request that is under way. Set it to False for the next one."""
    def enter_row(self, row: list[int], now_ns: int, /) -> None:
        """Let the correlator see a row, unless it has, and put its actor in: for deciders in Python."""
    def take_columns(self, columns: list[array[int]], times_ns: list[int], start: int, stop: int, /) -> None:
        """Let the correlator see records whose identities stand in columns, and put their actors there.

        Raises:
            ValueError: columns are missing or of several lengths.
        """
