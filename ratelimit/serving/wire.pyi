"""Envoy's calls read from their bytes.

Theory of operation. The wire format of protobuf is fields with numbers. The calls that a proxy sends have few of
them, all plain text. `CallReader` reads those in place, without an object for each message, and turns any other
call away. `read_call` reads every call. Both read what the protobuf library reads, but for text that is not
UTF-8, which the library refuses. Tests hold them equal on bytes of any kind (tests/serving/test_wire.py).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import final

from ratelimit.policy.routing.target import Target

MOST_DESCRIPTORS: int
"""Of a call of the common kind."""
MOST_ENTRIES: int
"""Of all descriptors of one."""
MOST_BYTES: int
"""Of the whole message."""
HANDSHAKE: tuple[str, ...]
"""Keys of header fields that tell a WebSocket's handshake."""

def read_call(
    message: bytes, /
) -> tuple[bytes, int, list[tuple[list[tuple[bytes, bytes]], tuple[int, int] | None, int | None]]]:
    """Return a `RateLimitRequest`'s domain, its hits, and its descriptors.

    Of each descriptor the entries, the requests and the unit of a limit that it brings, and its own hits.

    Raises:
        ValueError: the bytes are no message.
    """

@final
class CallReader:
    """Reads calls by one policy.

    Args:
        identities: the policy's, which a key of that name gives.
        alone: by header field, the identities that it alone says.
        looked_at: the header fields that anything looks at; others say nothing. None: any may be.
        formed: those of the identities with values of a form that is not looked at here.
    """

    def __init__(
        self,
        identities: Collection[str],
        alone: Mapping[str, Sequence[str]],
        looked_at: Collection[str] | None = None,
        formed: Collection[str] = (),
        /,
    ) -> None: ...
    def read(
        self, message: bytes, /
    ) -> tuple[str, str | Target, str | None, dict[str, str], int, str | None] | None:
        """Return what a `RateLimitRequest` of the common kind says.

        That is the method, the target, the client, the identities, the number of descriptors and the name of
        the request. None for any other call. Uncommon are costs, a limit of its own, a handshake, and headers
        that limits read in another way. So are text beyond ASCII, a contradiction and an unknown field.
        The rest is beyond the bounds, or malformed.
        """
