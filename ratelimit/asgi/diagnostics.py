"""Saying what went wrong, once: mistakes in configuration, failed reloads, faults.

Words go to the logger `ratelimit`; counting and passing on is the limiter's. Nothing a
client sent is ever in them.
"""

from __future__ import annotations

import logging
import multiprocessing
import os

from ratelimit.errors import RateLimitError
from ratelimit.limiter import Limiter
from ratelimit.observer import NullObserver, Observer, ReloadResult
from ratelimit.policy import Policy

log = logging.getLogger("ratelimit")


class LoggingObserver:
    """Writes what an operator should know to the log, and passes everything on."""

    def __init__(self, observer: Observer | None = None) -> None:
        self._next: Observer = observer if observer is not None else NullObserver()
        self._failed: set[str] = set()

    def reloaded(self, result: ReloadResult, error: RateLimitError | None) -> None:
        """Log a reload."""
        if result == "applied":
            log.info("the policy was reloaded")
        elif result == "rejected":
            log.error("the policy file was not put in force, the old policy stays: %s", error)
        self._next.reloaded(result, error)

    def diagnosed(self, code: str, message: str) -> None:
        """Log a likely mistake."""
        log.warning("%s [%s]", message, code)
        self._next.diagnosed(code, message)

    def resolver_failed(self, name: str, error: BaseException) -> None:
        """Log a resolver's first failure; clients could fill a log with the others."""
        self._once("resolver " + name, "resolver %r failed: %s", name, type(error).__name__)
        self._next.resolver_failed(name, error)

    def store_failed(self, error: RateLimitError) -> None:
        """Log the store's first failure of each kind."""
        self._once("store " + error.code, "the store failed (%s): %s", error.code, error)
        self._next.store_failed(error)

    def _once(self, key: str, message: str, *words: object) -> None:
        if key not in self._failed:
            self._failed.add(key)
            log.error(message, *words)


def start_logging(limiter: Limiter) -> None:
    """Write to the log what happens to a limiter from now on, and its policy's warnings; once."""
    if not isinstance(limiter.observer, LoggingObserver):
        limiter.observer = LoggingObserver(limiter.observer)
        log_warnings(limiter.policy)


def log_warnings(policy: Policy) -> None:
    """Write a policy's warnings to the log."""
    for problem in policy.warnings:
        log.warning("%s", problem)


def several_workers() -> bool:
    """Return whether this process looks like one of several workers.

    Servers start workers as children of a `multiprocessing` parent (uvicorn, hypercorn,
    granian), or say how many they start in WEB_CONCURRENCY.
    """
    if multiprocessing.parent_process() is not None:
        return True
    said = os.environ.get("WEB_CONCURRENCY", "")
    return said.isdecimal() and int(said) > 1
