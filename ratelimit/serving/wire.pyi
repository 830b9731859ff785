"""Envoy's calls read from their bytes, and answers written to theirs.

Theory of operation. The wire format of protobuf is fields with numbers. The calls that a proxy sends have few of
them, all plain text. Those are read in place, without an object for each message. A call with anything else in it
is turned away: the protobuf library reads that, and says what is malformed. So a call that is read here means
what it means there. A test holds both equal on bytes of any kind (tests/serving/test_wire.py).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import final

from ratelimit.policy.routing.target import Target

MOST_DESCRIPTORS: int
"""Of one call."""
MOST_ENTRIES: int
"""Of all descriptors of one call."""
MOST_BYTES: int
"""Of their keys and values."""

@final
class CallReader:
    """Reads calls by one policy.

    Args:
        identities: the policy's, which a key of that name gives.
        alone: by header field, the identities that it alone says.
        looked_at: the header fields that anything looks at; others say nothing. None: any may be.
    """

    def __init__(
        self,
        identities: Collection[str],
        alone: Mapping[str, Sequence[str]],
        looked_at: Collection[str] | None = None,
        /,
    ) -> None: ...
    def read(self, message: bytes, /) -> tuple[str, str | Target, str | None, dict[str, str], int] | None:
        """Return method, target, client, identities and the number of descriptors of a `RateLimitRequest`.

        None for what is to be read elsewhere. That is a call with costs or a limit of its own, and one with
        headers that limits read in another way. Text that is not ASCII is, too, and a contradiction, and a
        field unknown here. So is more than the bounds allow, and whatever is malformed.
        """

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
