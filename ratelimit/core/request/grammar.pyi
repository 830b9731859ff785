"""The one form of a value that a client writes: canonical, or malformed.

A framework may take several spellings for one caller. If each of them were hashed as it was
written, each would have a budget of its own. So a value has one form, by its grammar. What has
no such form is *malformed*, and falls under the rule of its identity (see docs/identities.md).

Functions return None for a value that is not there (or empty), MALFORMED_VALUE for one without
a canonical form, and else the form. They look at each byte once or twice, and at none of a
value that is too long. `unescape` is no form, but what every server does with a path. tests/identity/test_grammar.py holds them equal to a specification.
"""

from collections.abc import Sequence

from ratelimit.facts.sources import Reading

MALFORMED_VALUE: bytes
"""In place of a form (empty)."""
FORMS: tuple[str, ...]
"""What `as` may say in a policy."""

# A signed value (a JWT, a session of itsdangerous, a PASETO) has to be encoded in the one way that encoders write.
# Its form leaves out what has two valid values in its signature: of a pair (r, s) the s.

def text(line: bytes, /) -> bytes | None:
    """Return a header's value: visible ASCII, without the blanks around it (RFC 9110, 5.5)."""

def credential(line: bytes, /) -> bytes | None:
    """Return the token of an `Authorization` line, whatever its scheme.

    A scheme, spaces and one token (RFC 9110, 11.4; RFC 6750, 2.1): a word alone is malformed. Behind
    `Basic` stands the base64 of a user and a password, spelled as RFC 7617 has it. Parameters,
    as of Digest, differ from request to request: they are malformed.
    """

def cookie(lines: Sequence[bytes], name: bytes, /) -> bytes | None:
    """Return a cookie's value out of all `Cookie` lines; two cookies of one name are malformed."""

def cookie_value(written: bytes, /) -> bytes | None:
    """Return a cookie's value (RFC 6265, 4.1.1) without quotes, percent signs decoded once."""

def unescape(value: bytes, /) -> bytes:
    """Return bytes of any length with their percent escapes decoded once; what is no escape stays as it is."""

def segment(value: bytes, /) -> bytes:
    """Return a path's segment as the server decoded it; with a percent escape left in it, it is malformed."""

def formed(value: bytes, form: str, /) -> bytes:
    """Return the form of a value that was found: a number's digits, a UUID in lower case, a text."""

def canonical(reading: Reading, form: str, value: bytes, /) -> bytes:
    """Return the form of a value that stands in a list, written as a client would send it."""
