"""Answers to Envoy's calls, written to their bytes."""

from collections.abc import Iterable, Mapping
from typing import Any

def write_answer(
    allowed: bool,
    descriptors: int,
    told: tuple[str, int, int, int, int] | None,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    /,
) -> bytes:
    """Return a `RateLimitResponse`: each descriptor has the status of the whole call.

    Args:
        allowed: whether the code is OK; else it is OVER_LIMIT.
        descriptors: how many there were.
        told: of the limit that a client should mind most, its name, quota, unit, what remains, and the
            nanoseconds until that is whole again. None where no limit may be told of.
        headers: pairs to add to the response.
        body: of a refusal.
    """

def write_statuses(
    allowed: bool,
    statuses: Iterable[tuple[int, tuple[int, int, str] | None, int, int]],
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    metadata: Mapping[str, Any] | None = None,
    /,
) -> bytes:
    """Return a `RateLimitResponse` in which each descriptor has a status of its own.

    Args:
        allowed: whether the code is OK; else it is OVER_LIMIT.
        statuses: of each descriptor its code, then requests, unit and name of its limit or None, what
            remains, and the seconds until the window ends.
        headers: pairs to add to the response.
        body: of a refusal.
        metadata: what the proxy's later filters may read: what JSON can say.
    """
