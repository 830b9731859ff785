"""The correlator's memory: principals, identifiers, and which was seen with what."""

from collections.abc import Sequence
from typing import final

MOST_IDENTIFIERS: int
PRINCIPAL_BYTES: int
"""Without the edges of extra families."""
EDGE_BYTES: int
IDENTIFIER_BYTES: int
SHARES: tuple[float, ...]
"""The part of the identifiers that each kind may fill."""

@final
class Evidence:
    """Two arrays of fixed size and an index over each; nothing a client sends makes it grow.

    Full of principals, the longest silent of a few goes, members of clusters last. Full of
    identifiers, or of one kind, the longest unseen of a few goes, those of one principal first.
    A principal that was silent for long is dormant until it is seen again (see `ClusterIndex.mark_dormant`). It
    keeps what is remembered of it, and is counted nowhere.

    Of each family a principal has a few edges to what it was lately seen with. It has 9 addresses, 2
    payment methods, 2 clients, one of each further family. The one unseen longest goes first; what was seen
    in twice as many hours is kept half a day longer. An edge knows in how many hours it was seen, 127
    at most. It knows how many hours passed from the first to the last, 255 at most.

    Args:
        principals, identifiers: how many are kept.
        now_s: when it begins, seconds since the Unix epoch. Time that steps back stands still.
        kept_s: by kind, after how many seconds an edge is forgotten, unless it is seen again; to ten minutes.
        extras: how many further families principals have an edge of; those beyond are not remembered.

    Raises:
        ValueError: sizes out of range.
        MemoryError: there is no room.
    """

    def __init__(
        self,
        *,
        principals: int,
        identifiers: int,
        now_s: int,
        kept_s: Sequence[int],
        extras: int = 3,
    ) -> None: ...
    @property
    def most_principals(self) -> int: ...
    @property
    def most_identifiers(self) -> int: ...
    @property
    def edges(self) -> int:
        """The number of edges of one principal, at most."""
    @property
    def principal_bytes(self) -> int: ...
    @property
    def principal_count(self) -> int: ...
    @property
    def awake_count(self) -> int:
        """The number of them that are not dormant. They come first; rebuilds look at no others."""
    @property
    def identifier_count(self) -> int: ...
    @property
    def now_s(self) -> int:
        """The latest time seen, in seconds since a day before the beginning."""
    @property
    def latest_s(self) -> int:
        """The same, in seconds since the Unix epoch."""
    @property
    def new_edges(self) -> int:
        """The number of times that a principal was seen with something for the first time."""
    @property
    def informative_edges(self) -> int:
        """The number of times that this happened to a principal that was not certain then."""
    @property
    def returns(self) -> int:
        """The number of times that a principal was seen in another hour with something that it was seen with before."""
    @property
    def principal_evictions(self) -> int: ...
    @property
    def identifier_evictions(self) -> int: ...
    @property
    def nbytes(self) -> int:
        """Memory taken, whole from the start."""
    @property
    def testimony_lines(self) -> int:
        """For how many times four exits it is remembered which witnesses were there that are forgotten."""
    def testified(self, value: int, kind: int, /) -> int:
        """Return about how many witnesses of an identifier were forgotten of late; after a day it is half as many.

        Each counts once, however often it comes back and is forgotten again. At most 310 are told apart.
        """
