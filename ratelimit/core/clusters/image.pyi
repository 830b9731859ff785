"""A correlator's memory as bytes, piece by piece, and back."""

from collections.abc import Mapping, Sequence
from typing import Literal, final

from ratelimit.core.clusters.cluster_index import ClusterIndex

IMAGE_SHAPES: int
"""Identifies the structures in an image; what was saved by a build of others cannot be read."""
REGIONS: Sequence[str]

@final
class Image:
    """The memory of a cluster index and its evidence, as a few regions of fixed-size items.

    To save: `numbers`, then `read` every region whole. To restore, into a cluster_index that has
    observed nothing: `write` every region, `finish` with the numbers, then mend all identifiers,
    and all principals, each once. Room may differ: what does not fit is forgotten. The bytes must
    be trusted; see that they are what was read.

    Args:
        cluster_index: its memory. Nothing else uses it meanwhile.
    """

    def __new__(cls, cluster_index: ClusterIndex) -> Image: ...
    @property
    def cluster_index(self) -> ClusterIndex: ...
    def shape(self, number: int, /) -> tuple[int, int]:
        """Return the bytes of one item and the number of items of a region."""
    def read_items(self, number: int, start: int, stop: int, /) -> bytes:
        """Return items `start` to `stop` of a region."""
    def fits(self, number: int, size: int, /) -> bool:
        """Return whether items of so many bytes can be put back: of principals, also those with other edges."""
    def write_items(self, number: int, start: int, size: int, items: bytes, /) -> None:
        """Put items of `size` bytes each back from `start` on. Edges there are none of here are forgotten."""
    def numbers(self) -> dict[str, int]:
        """Return what `finish` needs besides."""
    def finish(self, numbers: Mapping[str, int], /) -> None:
        """Say how much was written.

        Raises:
            ValueError: something was observed before.
        """
    def mend_identifiers(self, start: int, stop: int, /) -> None:
        """Make identifiers `start` to `stop` usable, as far as there are any: they are found by their values again."""
    def mend_principals(self, start: int, stop: int, /) -> None:
        """Do the same of principals; after `finish`."""

@final
class Tally:
    """Clusters and members by verdict, counted piece by piece. No rebuild runs meanwhile."""

    def __new__(cls, cluster_index: ClusterIndex) -> Tally: ...
    @property
    def cluster_index(self) -> ClusterIndex: ...
    def count(self, start: int, stop: int, /) -> None:
        """Count principals `start` to `stop`, as far as there are any."""
    def found(self) -> dict[Literal["likely", "certain"], tuple[int, int]]:
        """Return clusters and members by verdict; a cluster's is the highest of its members'."""
