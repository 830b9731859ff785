"""Reasons for a missing answer, as the errors that waiting tasks receive."""

from __future__ import annotations

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)

from ratelimit.errors import StoreError
from ratelimit.stores.redis.transport.symptom import explain, is_forbidden


class NothingCharged(StoreError):
    """No answer came, and nothing was charged: it was not sent, or the server refused to do it."""


_REFUSED = (
    AuthenticationError,
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)


def away(message: str) -> StoreError:
    """Return the error of a server that cannot be asked."""
    return StoreError(message, code="redis-away", transient=True)


def slow(timeout_s: float) -> StoreError:
    """Return the error of a server that did not answer in time."""
    return StoreError(
        f"the server did not answer within {timeout_s * 1e3:g} ms", code="redis-slow", transient=True
    )


def unanswered(error: BaseException) -> StoreError:
    """Return what an exception on the way means for a decision."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, ValueError):
        return StoreError(f"the server's answer makes no sense: {error}", code="redis-answer", transient=True)
    if isinstance(error, AuthenticationError) or (isinstance(error, RedisError) and is_forbidden(error)):
        says, advice = explain(error)
        fault = away(f"{says}. {advice} `ratelimit doctor POLICY` lists all that is missing.")
    else:
        fault = away(f"the server cannot decide: {type(error).__name__}: {error}")
    return uncharged(fault) if isinstance(error, _REFUSED) else fault


def uncharged(error: StoreError) -> NothingCharged:
    """Return the error of a task for which nothing can have been charged."""
    return NothingCharged(str(error), code=error.code, transient=error.transient)


def doubtful(error: StoreError) -> StoreError:
    """Return the error of a task for which something may have been charged."""
    return StoreError(str(error), code=error.code, transient=error.transient)


def anew(error: StoreError) -> StoreError:
    """Return the same error for another task: one that is raised again and again keeps all their frames."""
    return type(error)(str(error), code=error.code, transient=error.transient)
