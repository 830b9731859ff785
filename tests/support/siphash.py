"""SipHash in plain Python, written from the paper, as a second opinion on the core's hashing."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ratelimit.reference.hashing import rotated as rotated
from ratelimit.reference.hashing import siphash as siphash


def framed(head: int, parts: Sequence[bytes]) -> bytes:
    """Return what the core hashes: a head word, then each part after its length, padded to words."""
    pieces = [struct.pack("<Q", head)]
    for part in parts:
        pieces += [struct.pack("<Q", len(part)), part, bytes(-len(part) % 8)]
    return b"".join(pieces)


def framed_identity(kind: int, value: bytes) -> bytes:
    """Return what the core hashes for an identity: kind and length in one word, then the value."""
    return struct.pack("<Q", kind << 32 | len(value)) + value + bytes(-len(value) % 8)
