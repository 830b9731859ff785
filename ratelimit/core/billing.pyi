"""What limits count a principal by, and what its cluster owes."""

from collections.abc import Sequence

from ratelimit.core.seeds import Seeds

class Billing(Seeds):
    """Clusters as limits know them.

    A member brings what it was given while it was in none: 255 requests at most, and of those
    what has not faded, half of it a day. Those of who keeps its own pace are not its cluster's.
    """

    def name(self, label: int, identity: int, parts: int) -> None: ...
    def cluster(self, row: Sequence[int], /) -> int:
        """Return what limits count this row's cluster by, -1 without one."""
    def cluster_identity(self, key: int) -> int | None:
        """Return what limits count a principal's cluster by, None without one."""
    @property
    def owing(self) -> bool:
        """Whether clusters owe what members were given before they were recognised."""
    def debts(self) -> list[tuple[int, int]]:
        """Return what limits count clusters by, and requests to be charged to each; they are forgotten."""
    def refuse(self, row: Sequence[int], /) -> None:
        """Count a refusal of a row's principal, observed before it was decided."""
