"""A rule's numbers, as tests write them; every core under test builds its own rule from them."""

from __future__ import annotations

from dataclasses import dataclass

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EPOCH = 1_700_000_000_000_000_123
"""When the tests' tables are made: no multiple of anything, so that alignment shows."""


@dataclass(frozen=True)
class RuleSpec:
    """The numbers of one limit."""

    algorithm: str
    quota: int
    period_ns: int = SECOND
    burst: int | None = None
    name: str = "limit"
    salt: int = 0x5EED
    shadow: bool = False
    enforced_ppm: int = 1_000_000
    calendar: tuple[int, ...] | None = None
    lease_ns: int = MINUTE
    debt: int | None = None
    """Most units beyond the burst or quota that corrections charge; None: as much again."""

    @property
    def most(self) -> int:
        """The most units that fit at one instant."""
        return self.quota if self.burst is None else self.burst

    @property
    def most_counted(self) -> int:
        """The most units that corrections count: the burst or quota, and the debt."""
        return self.most + (self.most if self.debt is None else self.debt)

    @property
    def counts_units(self) -> bool:
        """Whether costs other than one mean something to this algorithm."""
        return self.algorithm not in ("distinct", "concurrency")
