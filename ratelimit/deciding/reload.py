"""What became of a reload."""

from __future__ import annotations

from dataclasses import dataclass

from ratelimit.errors import RateLimitError
from ratelimit.events import ReloadResult
from ratelimit.policy.change import Change


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of a reload; `error` says why it was rejected."""

    result: ReloadResult
    at_ns: int
    error: RateLimitError | None = None
    changes: tuple[Change, ...] = ()
    """What is different now, and what became of the counters."""
