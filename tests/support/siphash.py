"""SipHash in plain Python, written from the paper, as a second opinion on the core's hashing."""

from __future__ import annotations

import struct
from collections.abc import Sequence

WORD = 2**64 - 1


def rotated(value: int, bits: int) -> int:
    """Return a 64-bit value rotated to the left."""
    return (value << bits | value >> 64 - bits) & WORD


def siphash(key: bytes, message: bytes, compression: int = 1, finalization: int = 3) -> int:
    """Return SipHash-c-d of a message."""
    k0, k1 = struct.unpack("<QQ", key)
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rounds(count: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0 = (v0 + v1) & WORD
            v2 = (v2 + v3) & WORD
            v1 = rotated(v1, 13) ^ v0
            v3 = rotated(v3, 16) ^ v2
            v0 = rotated(v0, 32)
            v2 = (v2 + v1) & WORD
            v0 = (v0 + v3) & WORD
            v1 = rotated(v1, 17) ^ v2
            v3 = rotated(v3, 21) ^ v0
            v2 = rotated(v2, 32)

    whole = len(message) // 8 * 8
    last = message[whole:].ljust(7, b"\0") + bytes([len(message) % 256])
    word: int
    for (word,) in struct.iter_unpack("<Q", message[:whole] + last):
        v3 ^= word
        rounds(compression)
        v0 ^= word
    v2 ^= 0xFF
    rounds(finalization)
    digest: int = v0 ^ v1 ^ v2 ^ v3
    return digest


def framed(head: int, parts: Sequence[bytes]) -> bytes:
    """Return what the core hashes: a head word, then each part after its length, padded to words."""
    pieces = [struct.pack("<Q", head)]
    for part in parts:
        pieces += [struct.pack("<Q", len(part)), part, bytes(-len(part) % 8)]
    return b"".join(pieces)


def framed_identity(kind: int, value: bytes) -> bytes:
    """Return what the core hashes for an identity: kind and length in one word, then the value."""
    return struct.pack("<Q", kind << 32 | len(value)) + value + bytes(-len(value) % 8)
