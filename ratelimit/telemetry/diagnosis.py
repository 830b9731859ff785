"""Diagnoses of a limiter for its operator: counted in the shared table, passed on to the observer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ratelimit.environment.diagnoses import sentence
from ratelimit.errors import StoreError
from ratelimit.events import Observer
from ratelimit.telemetry.counters import Counters

AGAIN_NS = 600 * 10**9
"""After this long a trouble that goes on is said again."""


class Reporting(Protocol):
    """The owner of counters, an observer and a clock: a limiter."""

    counters: Counters
    observer: Observer

    @property
    def now_ns(self) -> Callable[[], int]: ...


class Diagnosing:
    """Passes on what deserves a word.

    Args:
        limiter: its counters count it, and its observer is told.
    """

    __slots__ = ("_limiter", "_said", "_said_ns", "noticed")

    def __init__(self, limiter: Reporting) -> None:
        self._limiter = limiter
        self._said: set[str] = set()
        self._said_ns: dict[str, int] = {}
        self.noticed: dict[str, str] = {}
        """What was passed on, by code."""

    def store_failed(self, error: StoreError) -> None:
        """Count a decision that the store could not make, and tell the observer."""
        self._limiter.counters.store_fault()
        self._limiter.observer.store_failed(error)

    def diagnose(self, code: str, *, about: str = "") -> None:
        """Note that something deserves a word to the operator; each code is passed on once.

        `about` says where, in words of the policy and the application: never a client's.
        """
        if code not in self._said:
            self._said.add(code)
            self._tell(code, about)

    def end(self, code: str) -> None:
        """Note that what was passed on is over: when it happens again, it deserves a word again."""
        self._said.discard(code)
        self.noticed.pop(code, None)

    def note(self, code: str, *, about: str = "") -> None:
        """Count a trouble each time it happens, and pass it on: at once, and again while it goes on."""
        now_ns = self._limiter.now_ns()
        said_ns = self._said_ns.get(code)
        if said_ns is not None and 0 <= now_ns - said_ns < AGAIN_NS:
            self._limiter.counters.diagnosed(code)
            return
        self._said_ns[code] = now_ns
        self._tell(code, about)

    def say_damage(self, *damages: str | None) -> None:
        """Pass on what was wrong with shared memory that was left for fresh memory, each time."""
        for damage in damages:
            if damage is not None:
                self._tell("memory-damaged", f"({damage})")

    def renew(self, looks: Sequence[Callable[[], str | None]]) -> bool:
        """Look at memory and leave what is damaged; return whether anything was, and say what.

        Args:
            looks: one for each file. All are looked at, whatever becomes of the others.
        """
        damages: list[str | None] = []
        for look in looks:
            try:
                damages.append(look())
            except StoreError:
                self.diagnose("memory-unusable")
        self.say_damage(*damages)
        return any(damage is not None for damage in damages)

    def _tell(self, code: str, about: str) -> None:
        self._limiter.counters.diagnosed(code)
        words = sentence(code, about)
        self.noticed[code] = words
        self._limiter.observer.diagnosed(code, words)
