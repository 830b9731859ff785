"""Why there is no answer, as the errors that those who wait are given."""

from __future__ import annotations

from ratelimit.errors import StoreError


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
    return away(f"the server cannot decide: {type(error).__name__}: {error}")


def anew(error: StoreError) -> StoreError:
    """Return the same error for somebody else: one that is raised again and again keeps all their frames."""
    return StoreError(str(error), code=error.code, transient=error.transient)
