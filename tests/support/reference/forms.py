"""Forms of values, written down once more: expressions from the RFCs, no cleverness.

The specification that `core.request.grammar` is held to. It knows nothing of frameworks.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
import uuid
from urllib.parse import unquote_to_bytes

LONGEST = 4096
LONGEST_DECODED = 512
MALFORMED = b""

TEXT = re.compile(rb"[\x20-\x7e]*")
CREDENTIAL = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) +([A-Za-z0-9._~+/-]+=*)")
COOKIE_OCTETS = re.compile(rb"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
BASE64URL = re.compile(rb"[A-Za-z0-9_-]*")
JSON = re.compile(rb"ey[JA]|ew[o0k]|\.eJ")
"""How the base64 of `{` and a quote, blank or line's end begins; and a session that is compressed."""
PASETO = re.compile(rb"v(?P<version>[1-4])\.(?P<purpose>public|local)\.")
UNIQUE = {86: 42, 128: 64, 152: 76, 176: 88}
"""Letters of r in a signature (r, s), by the letters of both."""
STRIPPED = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0"


def text(line: bytes) -> bytes | None:
    """Return a header's value."""
    if len(line) > LONGEST:
        return MALFORMED
    value = line.strip(b" \t")
    if not TEXT.fullmatch(value):
        return MALFORMED
    before, blank, word = value.rpartition(b" ")
    form = signed(word)
    return MALFORMED if word and not form else (before + blank + form) or None


def credential(line: bytes) -> bytes | None:
    """Return an `Authorization` line's token."""
    if len(line) > LONGEST:
        return MALFORMED
    value = line.strip(b" \t")
    if not value:
        return None
    found = CREDENTIAL.fullmatch(value)
    if found is None:
        return MALFORMED
    scheme, token = found.groups()
    if scheme.lower() == b"basic":
        return token if is_user_pass(token) else MALFORMED
    return signed(token)


def is_user_pass(token: bytes) -> bool:
    """Return whether a token is what RFC 7617 puts behind `Basic`."""
    try:
        decoded = base64.b64decode(token, validate=True)
    except binascii.Error:
        return False
    if base64.b64encode(decoded) != token or b":" not in decoded:
        return False
    if any(byte < 32 or byte == 127 for byte in decoded):
        return False
    if decoded.isascii():
        return True
    try:
        written = decoded.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return len(decoded) <= LONGEST_DECODED and unicodedata.normalize("NFKC", written) == written


def is_base64url(part: bytes) -> bool:
    """Return whether an encoder of base64url would write this."""
    if not BASE64URL.fullmatch(part) or len(part) % 4 == 1:
        return False
    decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    return base64.urlsafe_b64encode(decoded).rstrip(b"=") == part


def signed(value: bytes) -> bytes:
    """Return a signed value as encoders write it, without what has two values in its signature."""
    paseto = PASETO.match(value)
    if paseto is not None:
        return of_paseto(value[: paseto.end()], value[paseto.end() :], paseto["version"], paseto["purpose"])
    if len(value) < 4 or not JSON.match(value):
        return value
    first, *parts = value[1:].split(b".")
    if not all(map(is_base64url, parts)):
        return MALFORMED
    kept = UNIQUE.get(len(parts[1])) if len(parts) == 2 else None
    if kept is None:
        return value
    return b".".join([value[:1] + first, parts[0], parts[1][:kept]])


def of_paseto(header: bytes, rest: bytes, version: bytes, purpose: bytes) -> bytes:
    payload, has_footer, footer = rest.partition(b".")
    if not payload or not is_base64url(payload):
        return MALFORMED
    if has_footer and (not footer or not is_base64url(footer)):
        return MALFORMED
    if purpose == b"local" or version == b"1":
        return header + rest
    half = 48 if version == b"3" else 32
    decoded = len(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    if decoded < 2 * half:
        return MALFORMED
    return header + payload[: (decoded - half) * 8 // 6]


def cookie(lines: list[bytes], name: bytes) -> bytes | None:
    """Return a cookie's value."""
    values = []
    for line in lines:
        for pair in line.split(b";"):
            written, equals, value = pair.partition(b"=")
            if equals and name in (written.strip(STRIPPED), unquote_to_bytes(written.strip(STRIPPED))):
                is_plain = written.strip(b" \t") == name
                values.append(value.strip(b" \t") if is_plain else None)
    if not values:
        return None
    if len(values) > 1 or values[0] is None:
        return MALFORMED
    return cookie_value(values[0])


def cookie_value(value: bytes) -> bytes | None:
    """Return what a cookie's value stands for."""
    if len(value) > LONGEST:
        return MALFORMED
    if len(value) > 1 and value[:1] == value[-1:] == b'"':
        value = value[1:-1]
    if not value:
        return None
    if not COOKIE_OCTETS.fullmatch(value):
        return MALFORMED
    decoded = signed(unquote_to_bytes(value))
    if decoded != value and decoded == MALFORMED:
        return MALFORMED
    if decoded != value and decoded[:1] == decoded[-1:] == b'"':
        return MALFORMED
    try:
        decoded.decode("utf-8")
    except UnicodeDecodeError:
        return MALFORMED
    return decoded


def segment(value: bytes) -> bytes:
    """Return a path's segment."""
    return MALFORMED if len(value) > LONGEST or unquote_to_bytes(value) != value else value


def formed(value: bytes, form: str) -> bytes:
    """Return a value in the form that `as` names."""
    if form in ("text", "credential"):
        return value if len(value) <= LONGEST else MALFORMED
    if len(value) > LONGEST_DECODED:
        return MALFORMED
    if form == "int":
        return str(int(value)).encode() if re.fullmatch(rb"-?[0-9]+", value) else MALFORMED
    if form == "float":
        if not re.fullmatch(rb"-?[0-9]+(\.[0-9]+)?", value) or float(value) in (float("inf"), float("-inf")):
            return MALFORMED
        return repr(abs(float(value)) if float(value) == 0 else float(value)).encode()
    if form == "uuid":
        hyphens = rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
        if not re.fullmatch(hyphens + rb"|[0-9a-fA-F]{32}", value):
            return MALFORMED
        return str(uuid.UUID(value.decode())).encode()
    try:
        written = value.decode("utf-8")
    except UnicodeDecodeError:
        return MALFORMED
    if written.strip() != written or not written:
        return MALFORMED
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", written).casefold()).encode()
