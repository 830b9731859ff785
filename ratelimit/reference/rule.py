"""Rule numbers as the specification reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ratelimit.algorithms import OF_UNITS, WITH_BURST


@dataclass(frozen=True)
class RuleSpec:
    """The numbers of one limit."""

    algorithm: str
    quota: int
    period_ns: int = 1_000_000_000
    burst: int | None = None
    name: str = "limit"
    salt: int = 0x5EED
    shadow: bool = False
    enforced_ppm: int = 1_000_000
    calendar: tuple[int, ...] | None = None
    lease_ns: int = 60_000_000_000
    debt: int | None = None
    """Most units beyond the burst or quota that corrections charge; None: as much again."""

    @classmethod
    def of(cls, rule: Any) -> RuleSpec:
        """Return the numbers of a rule that a store is given."""
        own = {name: getattr(rule, name) for name in _OF_RULE}
        burst = rule.burst if rule.algorithm in WITH_BURST else None
        return cls(**own, burst=burst, lease_ns=rule.period_ns)

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
        """True if costs other than one mean something to this algorithm."""
        return self.algorithm in OF_UNITS


_OF_RULE = (
    *("algorithm", "quota", "period_ns", "name", "salt", "shadow", "enforced_ppm", "calendar", "debt"),
)
"""What a rule that a store is given (`ratelimit.core.algorithms.rule`) calls as the specification does."""
