"""Diagnostics, logged once or now and then: mistakes in configuration, failed reloads, faults.

Words go to the logger `ratelimit`; counting and passing on is the limiter's. Nothing a
client sent is ever in them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection
from typing import NoReturn, TextIO

from ratelimit.clock import Clock, SystemClock
from ratelimit.errors import RateLimitError
from ratelimit.events import MistakesLog, NullObserver, Observer, ReloadResult
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy

log = logging.getLogger("ratelimit")

AGAIN_NS = 600 * 10**9
MOST_WORDS = 32
"""Failures of a store that are told apart; those not seen for longest are forgotten."""


class LoggingObserver:
    """Writes what an operator should know to the log, and passes everything on."""

    def __init__(self, observer: Observer | None = None, clock: Clock | None = None) -> None:
        self._next: Observer = observer if observer is not None else NullObserver()
        self._now_ns = (SystemClock() if clock is None else clock).now_ns
        self._failed: set[str] = set()
        self._is_rejected = False
        self._store_failed: dict[str, int] = {}
        _show_lines()

    def reloaded(self, result: ReloadResult, error: RateLimitError | None) -> None:
        """Log a reload."""
        if result == "applied":
            log.info("the policy was reloaded")
        elif result == "rejected":
            log.error("the policy file was not put in force, the old policy stays: %s", error)
        elif self._is_rejected:  # nothing was applied: it is what it was before the mistake
            log.info("the policy file can be used again; it shows the policy in force")
        self._is_rejected = result == "rejected"
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
        """Log the store's failures: one with other words at once, the same again after a while."""
        # By its words: the first of an outage is often that a connection took too long, the next says why.
        words, now_ns, known = str(error), self._now_ns(), self._store_failed
        said_ns = known.pop(words, None)
        if said_ns is None or not 0 <= now_ns - said_ns < AGAIN_NS:
            said = "limits go by this host's share, or on_store_error"
            log.error("the store failed (%s): %s; %s", error.code, words, said)
            said_ns = now_ns
        if len(known) >= MOST_WORDS:
            del known[next(iter(known))]
        known[words] = said_ns
        self._next.store_failed(error)

    def _once(self, key: str, message: str, *words: object) -> None:
        if key not in self._failed:
            self._failed.add(key)
            log.error(message, *words)


class _PlainHandler(logging.StreamHandler[TextIO]):
    """Writes to standard error what no other handler would, with time and level.

    Under plain uvicorn no handler is there for an application's loggers. Then Python writes warnings
    alone, without a time. As soon as the application configures logging, this handler is silent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless another handler does."""
        others = [*logging.getLogger().handlers, *(one for one in log.handlers if one is not self)]
        if not others:
            self.stream = sys.stderr  # as it is now
            super().emit(record)


_PLAIN = _PlainHandler()


def _show_lines() -> None:
    """Let lines be seen where the application has configured no logging."""
    if _PLAIN not in log.handlers:
        log.addHandler(_PLAIN)
    if log.level == logging.NOTSET and not logging.getLogger().handlers:
        log.setLevel(logging.INFO)


def end_start(error: RateLimitError) -> NoReturn:
    """End a server's worker that cannot start, with a line in the log and no traceback.

    Raises:
        SystemExit: 3, by which gunicorn knows that a worker cannot start and ends as well.
    """
    _show_lines()
    log.critical("the application cannot start: %s", error.brief)
    raise SystemExit(3) from None


UNTIL_ROUTES = frozenset(("policy-empty", "identity-unused"))
"""Warnings of a policy that do not hold where limits in code are what is missing: see `asgi.routes.start`."""


def start_logging(limiter: Limiter, later: Collection[str] = ()) -> None:
    """Log what happens to a limiter from now on, and its policy's warnings but for these; once."""
    observer = limiter.runtime.observer
    if not isinstance(observer, LoggingObserver):
        others = None if isinstance(observer, MistakesLog) else observer  # which would say it again
        limiter.runtime.observer = LoggingObserver(others, limiter.clock)
        log_warnings(limiter.policy, later)


def log_warnings(policy: Policy, later: Collection[str] = ()) -> None:
    """Write a policy's warnings to the log, but for some; from then on its lines are seen."""
    _show_lines()
    for problem in policy.warnings:
        if problem.code not in later:
            log.warning("%s", problem)
