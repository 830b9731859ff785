"""Servers' readings of a request's target: the scope's path, raw path and root path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools

Paths = dict[str, Any]
Server = Callable[[str, str], Paths | None]
"""From a target and the configured root path to the scope's three keys; None: the server refuses it."""


def uvicorn_h11(target: str, root: str) -> Paths | None:
    raw = target.partition("?")[0]
    return {"path": root + unquote(raw), "raw_path": (root + raw).encode(), "root_path": root}


def uvicorn_httptools(target: str, root: str) -> Paths | None:
    try:
        raw = httptools.parse_url(target.encode()).path
    except httptools.HttpParserInvalidURLError:
        return None
    if raw is None:
        return None
    return {"path": root + unquote(raw.decode()), "raw_path": root.encode() + raw, "root_path": root}


def hypercorn(target: str, root: str) -> Paths | None:
    raw = target.partition("?")[0]
    return {"path": unquote(raw), "raw_path": raw.encode(), "root_path": root}


def without_raw(target: str, root: str) -> Paths | None:
    """A server that leaves out the raw path, as the specification lets it."""
    return {"path": unquote(target.partition("?")[0]), "root_path": root}


SERVERS: dict[str, Server] = {
    "uvicorn-h11": uvicorn_h11,
    "uvicorn-httptools": uvicorn_httptools,
    "hypercorn": hypercorn,
    "without-raw": without_raw,
}


def scope_of(paths: Paths, method: str, *, is_websocket: bool = False) -> dict[str, Any]:
    """Return a whole scope around the three keys."""
    scope: dict[str, Any] = {
        "type": "websocket" if is_websocket else "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws" if is_websocket else "http",
        "query_string": b"",
        "headers": [(b"host", b"test")],
        "client": ("192.0.2.1", 4711),
        "server": ("127.0.0.1", 80),
        "extensions": {},
        **paths,
    }
    if is_websocket:
        scope["subprotocols"] = []
    else:
        scope["method"] = method
    return scope
