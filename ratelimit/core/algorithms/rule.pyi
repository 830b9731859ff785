"""One limit's numbers, checked and compiled."""

from collections.abc import Sequence
from typing import final

KNOWN: frozenset[str]
"""Algorithms that are compiled, of those that `ratelimit.algorithms` has records of."""

@final
class Rule:
    """One limit's numbers, compiled. Immutable.

    Args:
        name: the limit's name; also names its counter.
        algorithm: one of those `KNOWN`.
        quota: units a period (token-bucket: the refill) or in all (lifetime), slots (concurrency), members (distinct).
        period_ns: the period; 0 for concurrency and a lifetime.
        burst: most units at one instant; token-bucket only, else must equal quota.
        salt: the rule's own 64-bit secret: a hash of what makes its counters distinct.
        shadow: counts and never refuses.
        enforced_ppm: share of keys (by hash) enforced, in millionths; the others are as in shadow.
        calendar: ascending window starts in ns since the epoch, for fixed windows that are not
            multiples of `period_ns`; `None` for plain windows.
        debt: most units that corrections may charge beyond the burst, or the quota; as much again by default.
        lease_ns: concurrency: silence after which a worker's slots lapse.
        mark: of 32 bits; refusals are noted with it, apart from those of other rules with the same counter.

    Raises:
        UsageError: a number is outside what the algorithm's word can hold (code `rule-range`).
    """

    @property
    def name(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def quota(self) -> int: ...
    @property
    def period_ns(self) -> int:
        """The period; of slots, the silence after which a worker's lapse."""
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
    @property
    def mark(self) -> int: ...
    def __init__(
        self,
        name: str,
        algorithm: str,
        *,
        quota: int,
        period_ns: int,
        burst: int | None = None,
        salt: int,
        shadow: bool = False,
        enforced_ppm: int = 1_000_000,
        calendar: Sequence[int] | None = None,
        lease_ns: int = 60_000_000_000,
        debt: int | None = None,
        mark: int = 0,
    ) -> None: ...
    def scaled(self, millionths: int, salt: int, /) -> Rule:
        """Return a share of this limit: a limit of its own, with counters of its own.

        Quota and burst are cut to the share and rounded up to whole units; the debt is cut, too.
        The rate at which a bucket refills is not rounded up.

        Args:
            millionths: the share, 1 to 1,000,000.
            salt: what tells its counters from those of other shares.

        Raises:
            UsageError: the share is outside of its range (code `rule-range`).
        """
