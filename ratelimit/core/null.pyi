"""What chance alone would group, on scratch copies: the passes of a permutation test."""

from typing import Self, final

from ratelimit.core.evidence import Evidence

@final
class Null:
    """One permutation of who pays with what, and of who roams, among principals outside clusters.

    Passes take a range of principals, but for `deal`. In order: `gather`; `deal`; then one
    search (`suspect`, `unite`), then perhaps the other (`roamers`, `prune` and `remark` in turn,
    `unite`), each with `tally` and `total` after it. The evidence is never written to.

    Args:
        evidence: counted by a rebuild just before.
        seed: the same evidence and seed give the same permutation.

    Raises:
        MemoryError: there is no room for the copies.
    """

    def __new__(cls, evidence: Evidence, seed: int) -> Self: ...
    @property
    def outside(self) -> int:
        """Principals outside clusters, after `gather`."""
    @property
    def dealt_places(self) -> int:
        """The range that `deal` has to go over, from 0."""
    def gather(self, start: int, stop: int) -> None:
        """Copy what will be dealt out."""
    def deal(self, start: int, stop: int) -> None:
        """Swap each of a range with one that has not had its turn."""
    def suspect(self, start: int, stop: int, least: int) -> int:
        """Mark who was dealt a payment method of `least` or more; return how many."""
    def roamers(self, start: int, stop: int) -> None:
        """Mark who was dealt roaming."""
    def remark(self, start: int, stop: int) -> None:
        """Count those still marked anew."""
    def prune(self, start: int, stop: int, share: float, least: int) -> int:
        """Unmark who meets others of the marked in fewer than `least` networks; return how many stay."""
    def unite(self, start: int, stop: int, share: float, networks: bool) -> None:
        """Join the marked that meet where at least `share` of the principals are marked."""
    def tally(self, start: int, stop: int) -> None:
        """Count principals and payment methods of each group."""
    def total(self, start: int, stop: int, members: int, methods: int) -> int:
        """Return how many principals are in groups of so many members and payment methods."""
