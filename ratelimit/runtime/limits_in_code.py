"""Limits that an application's code declares, kept beside the table for the commands that look at it.

Workers that share memory keep them as they start. A limit without a name of its own counts each route by
itself, so a caller's counter follows from the caller and the route: such a route is kept as it first asks.
Both lie in the user's folder of shared memory under names that follow from the policy's path, and go with
the policy's table (`leftovers`). A worker that cannot keep them goes on without, and commands then know the
policy's own limits alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ratelimit.errors import StoreError
from ratelimit.parsing.json import JsonError, read_json
from ratelimit.stores.embedded.folder import memory_folder
from ratelimit.stores.leftovers import kept_limits, kept_routes, own_file, put_whole

MAX_BYTES = 1 << 18
"""The most that is read, and of routes written; 128 limits take a tenth."""
ROUTE = "asked_route"
"""The identity that gives each route a budget of its own."""
KEY = "asked_key"
"""The identity that the application's own function returns."""
_LONGEST_ROUTE = 256


def keep(policy_path: str, tables: Sequence[Mapping[str, Any]]) -> None:
    """Keep the limits that this worker's code declares, each as a table of the policy file."""
    text = json.dumps([dict(table) for table in tables], sort_keys=True).encode()
    with contextlib.suppress(OSError, StoreError):
        place = kept_limits(str(Path(policy_path).absolute()), memory_folder(make=True))
        if own_file(place, MAX_BYTES) == text:
            return
        put_whole(place, text)


def kept(policy_path: str) -> list[dict[str, Any]]:
    """Return the limits that the code of a policy's workers declared last; none where that is not known."""
    try:
        text = own_file(kept_limits(str(Path(policy_path).absolute()), memory_folder()), MAX_BYTES)
        found = [] if text is None else read_json(text)
    except (OSError, ValueError, StoreError, JsonError):
        return []
    return [table for table in found if isinstance(table, dict)] if isinstance(found, list) else []


def keep_route(policy_path: str, limit: str, digest: str, route: str) -> None:
    """Keep a route that asked for a limit, once. Lines of several workers do not mix.

    Args:
        policy_path: of the policy.
        limit: the limit's name.
        digest: the route's value of `ROUTE`.
        route: the text of that digest: the path as the framework writes it, if it has one, and the handler.
    """
    if digest in kept_routes_of(policy_path).get(limit, ()):
        return
    line = json.dumps([limit, digest, route[:_LONGEST_ROUTE]]).encode() + b"\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(OSError, StoreError):
        place = kept_routes(str(Path(policy_path).absolute()), memory_folder(make=True))
        fd = os.open(place, flags, 0o600)
        try:
            if os.fstat(fd).st_size + len(line) <= MAX_BYTES:
                os.write(fd, line)
        finally:
            os.close(fd)


def kept_routes_of(policy_path: str) -> dict[str, dict[str, str]]:
    """Return by limit the routes that asked for it, by their values of `ROUTE`."""
    text: bytes | None = None
    with contextlib.suppress(OSError, StoreError):
        text = own_file(kept_routes(str(Path(policy_path).absolute()), memory_folder()), MAX_BYTES)
    found: dict[str, dict[str, str]] = {}
    for line in (text or b"").splitlines():
        with contextlib.suppress(ValueError, JsonError):
            limit, digest, route = read_json(line)
            if isinstance(limit, str) and isinstance(digest, str) and isinstance(route, str):
                found.setdefault(limit, {})[digest] = route
    return found


def route_asked(policy_path: str, limits: Collection[str], path: str) -> str | None:
    """Return the value of `ROUTE` of a request to a path; None where several routes may be meant.

    Args:
        policy_path: of the policy.
        limits: those that its route asks for.
        path: the request's.
    """
    found: dict[str, str] = {}
    for limit, routes in kept_routes_of(policy_path).items():
        found |= routes if limit in limits else {}
    of_path = [digest for digest, route in found.items() if route.partition(" ")[0] == path]
    return next(iter(of_path or (found if len(found) == 1 else ())), None)
