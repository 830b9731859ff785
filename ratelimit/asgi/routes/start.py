"""The line of a start: policy, limits, routes, and where the counters are.

Two warnings of a policy wait for it: that it has no limit, and that no limit uses an identity. Limits in code
may be what is missing.
"""

from __future__ import annotations

from ratelimit.asgi.routes.coverage import Coverage
from ratelimit.limiter import Limiter
from ratelimit.policy.compile.invented import invented_words
from ratelimit.worker.diagnostics import UNTIL_ROUTES, log


def log_start(coverage: Coverage) -> None:
    """Log what a worker starts with, and the policy's warnings that hold with its routes, too."""
    log.info("%s", start_words(coverage))
    if coverage.limiter.is_enabled and (words := invented_words(coverage.limiter.policy.compiled)):
        log.warning("%s [limit-invented]", words)
    used = {name for _, _, entered in coverage.asked for name in entered.identities}
    for problem in coverage.limiter.policy.warnings:
        is_used = bool(coverage.asked) if problem.code == "policy-empty" else problem.key[11:] in used
        if problem.code in UNTIL_ROUTES and not is_used:
            log.warning("%s", problem)


def start_words(coverage: Coverage) -> str:
    """Return what a worker starts with, as one line."""
    limiter = coverage.limiter
    compiled = limiter.current.compiled
    if not limiter.is_enabled:
        return f"{compiled.name}: limits are off in this process"
    in_code = {rule.name for rule in limiter.rules}.difference(rule.name for rule in compiled.rules)
    limits = _count(len(compiled.limits), "limit")
    if in_code:
        limits += f" and {len(in_code)} in code"
    if coverage.survey.is_known:
        limited = {served for each in coverage.bindings for served in each.routes}
        limited.update(served for served, _, _ in coverage.asked)
        limits += f" on {len(limited)} of {_count(len(coverage.survey.routes), 'route')}"
    return f"{compiled.name}: {limits}; counters in {_place(limiter)}"


def _place(limiter: Limiter) -> str:
    store, remote = limiter.store, limiter.current.compiled.remote
    if remote is not None:
        return "a Redis or Valkey, with memory of this host while it is away"
    capacity = limiter.runtime.table.stats(limiter.now_ns())["capacity"]
    if store.place is None:
        return f"private memory of this process, for {capacity:,} keys"
    return f"memory that workers of this host share, for {capacity:,} keys ({store.place})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
