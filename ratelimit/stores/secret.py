"""Secrets: from the environment, a file, the policy; hash keys also fresh."""

from __future__ import annotations

import hashlib
import os
import secrets

from ratelimit.core.memory.hashing import KEY_BYTES
from ratelimit.environment.file import read_file
from ratelimit.errors import StoreError

MOST_BYTES = 65_536
"""More is no secret but a wrong file."""


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
    try:
        text = find_text(kind, value)
    except LookupError as error:
        hint = "; set it to 32 hexadecimal digits" if kind == "env" else ""
        raise StoreError(f"the hash key cannot be had: {error}{hint}", code="hash-key") from error
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) == KEY_BYTES:
        return key
    return hashlib.blake2b(
        text.encode("utf-8", "surrogateescape"), digest_size=KEY_BYTES, person=b"kinlimit key"
    ).digest()


def find_text(kind: str, value: str) -> str:
    """Return the secret in a variable, in a file, or in `value` itself, without white space around it.

    Raises:
        LookupError: the variable is unset, the file unreadable or empty.
    """
    if kind == "env":
        text = os.environ.get(value, "").strip()
        if not text:
            raise LookupError(f"${value} is not set")
        return text
    if kind == "file":
        try:
            text = read_file(value, MOST_BYTES).decode("utf-8").strip()
        except OSError as error:
            raise LookupError(f"{value} cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            # What the file holds may be the secret: the error would show some of it.
            raise LookupError(f"{value} is not UTF-8 text") from error
        if len(text) > MOST_BYTES:
            raise LookupError(f"{value} has more than {MOST_BYTES} bytes")
        if not text:
            raise LookupError(f"{value} is empty")
        return text
    return value
