"""Answers to Envoy's calls, written to their bytes."""

from collections.abc import Iterable

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
