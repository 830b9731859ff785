"""The place of the secret for hashes, as the policy names it. The store reads the secret itself."""

from __future__ import annotations

import re

from ratelimit.environment.server import KeySpec
from ratelimit.policy.schema.model import Hashing
from ratelimit.policy.schema.problem import Path, Report

_HEX = re.compile(r"[0-9A-Fa-f]{32}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def reference(text: str) -> KeySpec | None:
    """Return where `env:VARIABLE` or `file:PATH` point, None for any other text."""
    kind, _, value = text.partition(":")
    if kind == "env" and _VARIABLE.fullmatch(value):
        return KeySpec("env", value)
    if kind == "file" and value.strip():
        return KeySpec("file", value)
    return None


def compile_key(hashing: Hashing, report: Report) -> KeySpec | None:
    """Return where the key is to be found, None if it is to be generated."""
    path: Path = ("hashing", "key")
    text = hashing.key
    if text is None:
        return None
    found = reference(text)
    if found is not None:
        return found
    if _HEX.fullmatch(text):
        report.add("hashing-key-inline", path, "a reader of this file can undo the hashes")
        return KeySpec("hex", text)
    # What was written may be a secret and is not repeated.
    report.add("hashing-key", path, "the key is not `env:VARIABLE`, `file:PATH` or 32 hexadecimal digits")
    return None
