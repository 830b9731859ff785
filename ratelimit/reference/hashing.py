"""Hash of a counter's key: SipHash-1-3 (Aumasson, Bernstein), and the finaliser of MurmurHash3."""

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


def mix(value: int) -> int:
    """Return a scramble of 64 bits that maps no two values to one."""
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & WORD
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & WORD
    return value ^ value >> 33


def key_hash(hash_key: bytes, salt: int, identities: Sequence[int]) -> int:
    """Return the 64 bits that name a counter: those of a rule's salt and of the identities in its key.

    All ones mean that an identity is absent, so the identity of that hash is taken as the one below.
    """
    hashes = [min(one & WORD, WORD - 1) for one in identities]
    if len(hashes) == 1:
        return mix(hashes[0] ^ salt)
    return siphash(hash_key, struct.pack(f"<{1 + len(hashes)}Q", salt, *hashes))
