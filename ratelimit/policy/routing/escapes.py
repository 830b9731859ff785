"""Percent escapes (RFC 3986, section 2.1), decoded as servers do."""

from __future__ import annotations

from urllib.parse import unquote

from ratelimit.core.request.grammar import unescape


def decoded(text: str) -> str:
    """Return a text with its escapes decoded once; bytes that are not UTF-8 become U+FFFD.

    As `urllib.parse.unquote`, in a small part of its time.
    """
    if "%" not in text:
        return text
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return unquote(text)  # half of a surrogate pair, which no server makes
    return unescape(encoded).decode("utf-8", "replace")


def has_slash(text: str) -> bool:
    """Return whether a text has an escaped slash in it."""
    return "%2F" in text or "%2f" in text
