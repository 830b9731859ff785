"""What limits count a principal by, and what its cluster owes."""

from collections.abc import Sequence

from typing_extensions import disjoint_base

from ratelimit.core.admission import Admission

@disjoint_base
class Billing(Admission):
    """Clusters as limits know them.

    A certain member brings what it was given while it was in none, or likely: 255 requests at most, of which half is
    forgotten each day; of who is older than its cluster by a day, none.
    """

    def name(self, label: int, identity: int, parts: int) -> None: ...
    def cluster(self, row: Sequence[int], /) -> int:
        """Return what limits count this row's cluster by, -1 without one; of likely members as well."""
    def fill(self, row: list[int], at: int, /) -> None:
        """Put a row's actor into its three places, the last of which is `at`: see `Watch.fill`."""
    def verdict_of(self, key: int) -> int:
        """Return what counts of a principal: 0 for nothing, 1 for likely, 2 for certain.

        That is what is inferred, or what the operator says instead; 0 for an account that keeps its own pace.
        """
    def cluster_identity(self, key: int) -> int | None:
        """Return what limits count a principal's cluster by, None without one."""
    @property
    def owing(self) -> bool:
        """Whether clusters owe what members were given before they were recognised."""
    def debts(self) -> list[tuple[int, int]]:
        """Return what limits count clusters by, and requests to be charged to each; they are forgotten."""
    def admit(self, row: Sequence[int], /) -> None:
        """Count a request of a row's principal that limits per cluster had no cluster for."""
    def collect(self, start: int, stop: int) -> None: ...
    def inherit(self, other: Billing) -> None: ...
    def refuse(self, row: Sequence[int], /) -> None:
        """Count a refusal of a row's principal, observed before it was decided."""
