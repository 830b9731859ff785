"""What a WSGI environment (PEP 3333) says of a request: its path, its peer, its identities."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.identity.fact import Context
from ratelimit.identity.remembered import Answer
from ratelimit.limiter import Limiter
from ratelimit.policy.routing.request_line import read_target
from ratelimit.policy.routing.target import Target

Environ = dict[str, Any]

_UNPREFIXED = ("CONTENT_TYPE", "CONTENT_LENGTH")
"""Header fields that have no `HTTP_` before their names."""
_RAW = ("RAW_URI", "REQUEST_URI")
"""Where servers put the target as it was sent: gunicorn and werkzeug; uWSGI, mod_wsgi and werkzeug."""


def target_of(environ: Environ) -> str | Target:
    """Return what a request asks for: its path, and what else decides how it is routed."""
    root = _decoded(environ.get("SCRIPT_NAME", ""))
    path = root + _decoded(environ.get("PATH_INFO", ""))
    sent = next((environ[name] for name in _RAW if environ.get(name)), None)
    return read_target(None if sent is None else _bytes(sent), path, root)


def headers_of(environ: Environ) -> list[tuple[bytes, bytes]]:
    """Return the header fields, names in lower case.

    A field that is there several times is one with commas here, as the application sees it.
    """
    pairs = []
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            pairs.append((_field(name[5:]), value.encode("latin-1", "replace")))
        elif name in _UNPREFIXED and value:
            pairs.append((_field(name), value.encode("latin-1", "replace")))
    return pairs


def identify(
    environ: Environ,
    headers: list[tuple[bytes, bytes]],
    limiter: Limiter,
    generation: BoundPolicy,
    matched: Matched,
) -> list[int]:
    """Return a request's identities; `state:NAME` is read from the environment itself.

    Resolvers are given the environment, and answer at once.
    """
    extractor = generation.extractor
    host = environ.get("REMOTE_ADDR") or None
    if not extractor.needs_context:
        return extractor.extract(headers, host)
    resolved = {name: _answer(name, environ, limiter, generation) for name in matched.resolvers}
    return extractor.extract(headers, host, Context(matched.params, environ, resolved))


def _answer(name: str, environ: Environ, limiter: Limiter, generation: BoundPolicy) -> Answer:
    """Return a resolver's answer; a fault in there leaves the identity missing and fails no request."""
    try:
        found = generation.resolvers[name](environ)
        if inspect.iscoroutine(found):
            found.close()
            raise TypeError("a resolver below WSGI answers at once; this one is to be awaited")
    except Exception as error:
        limiter.runtime.observer.resolver_failed(name, error)
        return _NONE
    return generation.extractor.resolved(name, found)


_NONE: Mapping[int, int] = {}


def _decoded(text: str) -> str:
    return _bytes(text).decode("utf-8", "replace")


def _bytes(text: str) -> bytes:
    # The environment has bytes in the guise of Latin-1 (PEP 3333, "Unicode Issues").
    return text.encode("latin-1", "replace")


def _field(name: str) -> bytes:
    return name.replace("_", "-").lower().encode("latin-1", "replace")
