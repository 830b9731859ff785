"""Who fits which cluster, and the passes of a rebuild, each over a range of entries."""

from collections.abc import Sequence
from typing import Any, final

from ratelimit.core.billing import Billing
from ratelimit.core.rulings import Rulings

@final
class Judge(Billing):
    """Labels on principals; see `Fitting` for how it is set up."""

    @property
    def suspects_met(self) -> int:
        """How many newcomers paid as several do, and joined no cluster."""
    def observe(self, row: Sequence[int], refused: bool, now_ns: int, /) -> None:
        """Take one request in that is to be decided now; its principal may join a cluster it now fits."""
    def answer(self, row: Sequence[int], length: int, before: int | None = None, /) -> None:
        """Note how long the answer to an observed request is, in place of what was said `before` of the same one."""
    def deem(self, key: int, verdict: int) -> bool:
        """Set what is inferred of a member: 0, 1 for likely, 2 for certain. False if it is not remembered.

        A member is certain until then, and again when it joins another cluster.
        """
    def created_s(self, key: int) -> int:
        """Return when a principal's account was created, in seconds since 1970; 0 for not known.

        It is the earliest that was ever given, and never later than when it was given.
        """
    def label_of(self, key: int) -> int:
        """Return a principal's cluster, 0 for none."""
    def members(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return (cluster, key) of the principals in a range that belong to one."""
    def rule(self, rulings: Rulings | None) -> None:
        """Go by what the operator says of principals, None for nothing."""
    def knows(self, key: int) -> bool:
        """Return whether a principal is remembered."""
    def place(self, key: int, label: int) -> bool:
        """Put a principal into a cluster, 0 for none; return whether that is news."""
    def pare(self, start: int, stop: int, label: int) -> None:
        """Take a cluster's label from all who were not ruled into it."""
    def live(self) -> list[int]:
        """Return the labels in use."""
    def explain(self, key: int) -> dict[str, Any] | None:
        """Return how well a principal fits its cluster, by family; None when it is in none."""
    def assign(self, start: int, stop: int, everybody: bool) -> int: ...
    def open(self) -> int: ...
    def close(self, label: int) -> None: ...
    def merge(self, start: int, stop: int, label: int, into: int) -> None: ...
    def need(self, label: int, networks: int, met: float, unmet: float) -> None: ...
