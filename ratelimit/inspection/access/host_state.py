"""The state of one host, as it reports it: its workers, its policy, and whether it applies all acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratelimit.clock import SystemClock
from ratelimit.inspection import formatting

if TYPE_CHECKING:
    from ratelimit.stores.redis.acts import HostReport

HALF_A_DAY_S = 43_200
"""An hour of the day alone says when something was that is not longer ago."""


@dataclass(frozen=True, slots=True)
class HostState:
    """The answer of one host about the acts."""

    host: str
    workers: int
    has_applied: bool
    silent_s: int = 0
    """How long it has been cut off, or gone without a word; 0 for a host that reports."""
    policy: str = ""
    """The digest of the policy that it goes by, where that is known."""
    policy_since_s: int = 0
    """Since when it does, seconds since 1970."""
    late_s: int = 0
    """How long ago it reported last, if a report is due; 0 for a host that reports."""
    is_gone: bool = False
    """Whether its workers have all ended, or it has been silent for so long that it is taken for gone."""

    @property
    def unheard(self) -> str:
        """How long it has not been heard of, in words; empty for a host that reports."""
        if not self.workers:
            return _ended_words(self.late_s)
        return unheard_words(self.late_s, is_silent=bool(self.silent_s))

    @property
    def named(self) -> str:
        """Its name, with how long it has not been heard of."""
        return f"{self.host}, {self.unheard}" if self.unheard else self.host


def unheard_words(late_s: int, *, is_silent: bool) -> str:
    """Return how long a host has not been heard of; empty for one that reports."""
    if not late_s:
        return ""
    if not is_silent:
        return f"last heard {late_s} s ago"
    since = formatting.instant(SystemClock().now_ns() - late_s * 10**9)
    since = since if late_s >= HALF_A_DAY_S else since[11:16]
    return f"silent since {since} UTC ({formatting.wait(late_s * 10**9)})"


def _ended_words(ended_s: int) -> str:
    """Return since when a host has no workers."""
    since = formatting.instant(SystemClock().now_ns() - ended_s * 10**9)
    return f"ended at {since[11:16]} UTC ({formatting.wait(max(ended_s, 1) * 10**9)})"


def state_of(report: HostReport, digest: str = "") -> HostState:
    """Return the state of a host by its report, where all acts that are kept have a digest."""
    return HostState(
        report.host,
        report.workers,
        report.digest == digest and not report.is_late,
        report.silent_ms // 1000 if report.is_silent else 0,
        report.policy,
        report.policy_since_s,
        report.silent_ms // 1000 if report.is_late or not report.workers else 0,
        report.is_gone or not report.workers,
    )
