"""A policy as one number, so that hosts can be seen to have the same one."""

from __future__ import annotations

import json
from hashlib import sha256

import msgspec

from ratelimit.policy.schema.model import PolicyFile

DIGEST_BYTES = 6
"""48 bits: what a 64-bit float, as Prometheus has, holds exactly."""
_LEFT_OUT = ("store", "hashing", "destinations")
"""What is only read when a process starts, is a host's own, or may be secret."""


def digest(file: PolicyFile) -> int:
    """Return the first bytes of SHA-256 over a policy's settings, defaults included, as a number.

    The same settings give the same number however they are written. `[store]`, `[hashing]` and
    `events` are left out: a digest of them could be tried against guesses of a password or key.
    """
    settings = {name: getattr(file, name) for name in file.__struct_fields__ if name not in _LEFT_OUT}
    text = json.dumps(msgspec.to_builtins(settings), sort_keys=True)
    return int.from_bytes(sha256(text.encode()).digest()[:DIGEST_BYTES], "big")
