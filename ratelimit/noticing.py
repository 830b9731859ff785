"""What a limiter tells its operator: counted in the shared table, passed on to the observer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit.diagnoses import DIAGNOSES
from ratelimit.errors import StoreError

if TYPE_CHECKING:
    from ratelimit.limiter import Limiter


class Noticing:
    """Passes on what deserves a word.

    Args:
        limiter: whose counters count it, and whose observer is told.
    """

    __slots__ = ("_limiter", "_said")

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._said: set[str] = set()

    def store_failed(self, error: StoreError) -> None:
        """Count a decision that the store could not make, and tell the observer."""
        self._limiter.counters.store_fault()
        self._limiter.observer.store_failed(error)

    def notice(self, code: str, *, about: str = "") -> None:
        """Note that something deserves a word to the operator; each code is passed on once.

        `about` says where, in words of the policy and the application: never a client's.
        """
        if code not in self._said:
            self._said.add(code)
            self._tell(code, f" {about}" if about else "")

    def say_damage(self, *damages: str | None) -> None:
        """Pass on what was wrong with shared memory that was left for fresh memory, each time."""
        for damage in damages:
            if damage is not None:
                self._tell("memory-damaged", f" ({damage})")

    def _tell(self, code: str, detail: str) -> None:
        self._limiter.counters.diagnosed(code)
        self._limiter.observer.diagnosed(code, DIAGNOSES.get(code, code) + detail)
