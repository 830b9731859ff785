"""The request line, as every door reads it: a method, and a target with all that decides how it is routed.

Theory of operation. A door has the target as the client sent it, or what a server made of it, or
both. The line is cut where the query or a fragment begins, and decoded once. A path that all
applications read alike comes out as a `str`. Any other comes out as a `Target`, from which the
router lists the readings (`target`).

A path in a `str` has no `%`, `?` or `#`. So it means the same at each door, and the doors
share what they remember by path.
"""

from __future__ import annotations

from urllib.parse import quote_from_bytes

from ratelimit.policy.routing.escapes import decoded, has_slash
from ratelimit.policy.routing.spellings import is_spelled
from ratelimit.policy.routing.target import MOST_UNUSUAL, NOWHERE, UNKNOWN_BACK_END, Placement, Target

_UNCERTAIN = "%?#\ufffd"
"""Characters of a decoded path of which what was sent says more."""
_ASCII = bytes(range(128))


def read_method(method: str | bytes) -> str:
    """Return a method as limits have it: back ends differ in whether `post` is `POST`."""
    if isinstance(method, bytes):
        method = method.decode("latin-1")
    return method.strip().upper()


def read_target(
    sent: str | bytes | None, path: str | None = None, root: str = "", placement: Placement = NOWHERE
) -> str | Target:
    """Return what a request asks for: its path, and what else decides how it is routed, if anything does.

    Args:
        sent: the target as it was sent, None where that is not known.
        path: what a server made of it. None: that is done here, as servers do.
        root: the root path that the server has added.
        placement: what is known of the application behind the door.
    """
    raw = None if sent is None else path_sent(sent)
    if path is None:
        raw = raw or "/"
        path = _path_in(raw)
    if placement.is_unknown:
        # Nothing is added by a root path here, and every reading begins with what was sent.
        return path if path == raw and not is_spelled(path) else Target(path, raw, root, placement)
    if root or not placement.is_plain or any(mark in path for mark in _UNCERTAIN):
        return Target(path, raw, root, placement)
    if raw is None:
        return Target(path) if ";" in path else path
    if raw == path:
        return path
    # Decoded, it mostly says the same: unless an encoded slash parts two segments now.
    is_told = not has_slash(raw) and decoded(raw) == path
    return path if is_told else Target(path, raw, root, placement)


def read_line(
    method: str | bytes, target: str | bytes, placement: Placement = UNKNOWN_BACK_END
) -> tuple[str, str | Target]:
    """Return method and target of a request line as it was sent.

    Without another placement, nothing is known of the application that will read it.
    """
    return read_method(method), read_target(target, placement=placement)


def read_name(path: str | Target) -> str | Target:
    """Return what an application asks for by a path of its own, which may be decoded or not."""
    return read_target(path, path) if isinstance(path, str) else path


def path_of(target: str | Target) -> str:
    """Return the path of a target in one text, to show it."""
    return target if isinstance(target, str) else target.path


def path_sent(sent: str | bytes) -> str:
    """Return a target as it was sent, without its query and fragment.

    Bytes beyond ASCII are escaped, so that no decoding of them is decided here, unless they are too
    many for any to be decoded.
    """
    if isinstance(sent, bytes):
        if not sent.isascii() and len(sent) <= MOST_UNUSUAL:
            sent = quote_from_bytes(sent, _ASCII).encode()
        sent = sent.decode("latin-1")
    return sent.partition("?")[0].partition("#")[0]


def _path_in(raw: str) -> str:
    """Return the path that servers find in a target, which may be a whole URL (RFC 9112, section 3.2.2)."""
    if raw[:1] != "/" and "://" in raw:
        raw = "/" + raw.partition("://")[2].partition("/")[2]
    return decoded(raw)
