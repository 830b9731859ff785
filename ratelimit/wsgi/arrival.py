"""A request as read from its WSGI environment (PEP 3333): path, peer, identities."""

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
from ratelimit.waiting.model.fair_bound import Path

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


class Arrival:
    """The identities of a request, from its environment, which `state:NAME` is read from as well."""

    __slots__ = ("_environ", "_generation", "_headers", "_host", "_matched")

    def __init__(self, environ: Environ, generation: BoundPolicy, matched: Matched) -> None:
        self._environ = environ
        self._generation = generation
        self._matched = matched
        self._headers = headers_of(environ)
        self._host: str | None = environ.get("REMOTE_ADDR") or None

    def known(self) -> list[int]:
        """Return the identities that are known without an answer of a resolver."""
        return self._generation.early.without_late(self._extract({}))

    def identities(self, limiter: Limiter) -> list[int]:
        """Return the identities. Resolvers are given the environment, and answer at once."""
        asked = self._matched.resolvers if self._generation.extractor.needs_context else ()
        return self._extract(
            {name: _answer(name, self._environ, limiter, self._generation) for name in asked}
        )

    def holder(self) -> Path:
        """Return the network and the address of the client."""
        return self._generation.holder(self._headers, self._host)

    def _extract(self, answers: Mapping[str, Answer]) -> list[int]:
        extractor = self._generation.extractor
        if not extractor.needs_context:
            return extractor.extract(self._headers, self._host)
        context = Context(self._matched.params, self._environ, answers)
        return extractor.extract(self._headers, self._host, context)


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
