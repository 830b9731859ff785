"""One pass over a request's raw headers, from values to hashes."""

from collections.abc import Callable, Mapping, Sequence
from typing import final

from ratelimit.core.hashing import Hasher

@final
class Scanner:
    """Hashes the values of wanted headers into their places.

    Args:
        hasher: whose key is used.
        wanted: for each header name, triples of a position, an identity kind, and None or
            what changes the value before it is hashed.
        longest: longer values, and empty ones, count as missing.
    """

    def __init__(
        self,
        hasher: Hasher,
        wanted: Mapping[bytes, Sequence[tuple[int, int, Callable[[bytes], bytes] | None]]],
        longest: int,
    ) -> None: ...
    @property
    def templates(self) -> dict[object, list[int]]:
        """Templates by peer, for `fill_for`. Whoever fills it bounds it."""
    def fill(self, headers: Sequence[tuple[bytes, bytes]], template: list[int], /) -> list[int]:
        """Return a copy of `template` with a hash at each position that a header speaks for.

        Of several headers of one name the first counts, even if it is empty or too long:
        then the position keeps what the template has there.
        """
    def fill_for(self, headers: Sequence[tuple[bytes, bytes]], peer: object, /) -> list[int] | None:
        """Return `fill` with the template of a peer, None when there is none yet."""
