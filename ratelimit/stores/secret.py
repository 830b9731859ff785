"""The hash key: from the environment, a file, the policy, or fresh."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from ratelimit.core.hashing import KEY_BYTES
from ratelimit.errors import StoreError


def fresh_key() -> bytes:
    """Return a new random key."""
    return secrets.token_bytes(KEY_BYTES)


def find_key(kind: str, value: str) -> bytes:
    """Return the key found in a variable (`kind` "env"), in a file ("file"), or in `value` itself ("hex").

    32 hexadecimal digits are taken as they are; anything else, being a passphrase,
    is hashed down to a key.

    Raises:
        StoreError: code `hash-key`; the variable is unset, the file unreadable or empty.
    """
    if kind == "env":
        text = os.environ.get(value, "").strip()
        if not text:
            raise StoreError(
                f"the policy takes its hash key from ${value}, which is not set; "
                "set it to 32 hexadecimal digits",
                code="hash-key",
            )
    elif kind == "file":
        try:
            text = Path(value).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"the hash key file {value} cannot be read: {error}", code="hash-key") from error
        if not text:
            raise StoreError(f"the hash key file {value} is empty", code="hash-key")
    else:
        text = value
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) == KEY_BYTES:
        return key
    return hashlib.blake2b(text.encode("utf-8"), digest_size=KEY_BYTES, person=b"kinlimit key").digest()
