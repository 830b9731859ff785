"""Rule numbers as the specification reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ratelimit.algorithms import OF_UNITS, WITH_BURST


class Rule(Protocol):
    """The part of a rule that is read (`ratelimit.core.algorithms.rule`)."""

    @property
    def name(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def quota(self) -> int: ...
    @property
    def period_ns(self) -> int: ...
    @property
    def burst(self) -> int: ...
    @property
    def debt(self) -> int: ...
    @property
    def salt(self) -> int: ...
    @property
    def shadow(self) -> bool: ...
    @property
    def enforced_ppm(self) -> int: ...
    @property
    def calendar(self) -> tuple[int, ...] | None: ...


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
    def of(cls, rule: Rule) -> RuleSpec:
        """Return the numbers of a rule that a store is given."""
        return cls(
            rule.algorithm,
            rule.quota,
            rule.period_ns,
            rule.burst if rule.algorithm in WITH_BURST else None,
            rule.name,
            rule.salt,
            rule.shadow,
            rule.enforced_ppm,
            rule.calendar,
            rule.period_ns,
            rule.debt,
        )

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
