"""Keyed 64-bit hashing (SipHash-1-3) of length-prefixed tuples."""

from typing import final

KEY_BYTES: int

def is_stand_in(identity: int, /) -> bool:
    """Return whether an identity's hash stands in for a value that the request lacks, such as its address."""

@final
class Hasher:
    """A secret key, and the hashes made with it.

    Every value a client controls passes through here exactly once; only the
    64-bit result is kept. Each part is prefixed by its length, so no two tuples
    collide by construction: ("a", "bc") and ("ab", "c") are different inputs.

    Args:
        key: 16 secret bytes.

    Raises:
        ValueError: the key is not 16 bytes long.
    """

    def __init__(self, key: bytes) -> None: ...
    def identity(self, kind: int, value: bytes | str, /) -> int:
        """Return the hash of one identity value; `kind` (0..2**32-1) separates namespaces.

        `kind` is derived from the identity's *name* with `kind_of`, so that two
        policies, or two workers, agree. A str is hashed as its UTF-8 bytes
        (surrogate escapes included), hence equal to those bytes.
        """
    def kind_of(self, name: str, /, *, stands_in: bool = False) -> int:
        """Return the 32-bit namespace for an identity name (not secret, stable).

        Hashes in a namespace that `stands_in` say so: see `is_stand_in`.
        """
    def tuple(self, *parts: bytes | str) -> int:
        """Return the hash of an ordered tuple of parts."""
    def combine(self, first: int, second: int, /) -> int:
        """Return the hash of two 64-bit hashes, in this order."""
    @property
    def key(self) -> bytes: ...
