"""Numbers about the transport to the server; a collector of metrics replaces the default."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class MetricsSink(Protocol):
    """Counts. Calls come from event loops and must neither block nor raise."""

    def answered(self, decisions: int, elapsed_ns: int) -> None:
        """A round trip brought so many decisions, and took so long."""
        return

    def tripped(self) -> None:
        """The breaker opened."""
        return

    def away(self, elapsed_ns: int) -> None:
        """For so long the server was not asked, until now."""
        return

    def lost(self, corrections: int) -> None:
        """Count corrections that could not be made, or of which that is not known."""
        return

    def charged_back(self, amount: int, unit: str) -> None:
        """Count what was used elsewhere and is charged now, in a limit's unit; dollars in millionths."""
        return

    def stood_in(self, *, allowed: bool) -> None:
        """A request was decided here in the server's place."""
        return

    def refused_by_share(self, refused: Iterable[tuple[int, str]], now_ns: int) -> None:
        """A request was refused here that the whole limits had room for, as far as this host knows.

        Args:
            refused: the caller as each limit that refused counts it, and the limit's own counter.
            now_ns: when.
        """
        return

    def forgot(self, counters: int) -> None:
        """Count counters of which the use elsewhere could not be charged, or of which that is not known."""
        return


class Uncounted(MetricsSink):
    """Counts nothing."""
