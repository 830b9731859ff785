"""Readers of frameworks' tables of routes: one function for each, and a table of them.

A route's path is written as the framework has it, each parameter as `{name}`, a parameter
that takes the rest as `{name:path}`. A path that is a regular expression of the
application's own is kept as its literal beginning, and said to be `is_partial`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ratelimit.policy.schema.model import Event

UNASKED = "__ratelimit_unasked__"
"""The mark of a handler that a limit decorates: what asks is around it, and a route should have that."""

_ANGLED = re.compile(r"<(?:[^<>]*?:)?([A-Za-z_][A-Za-z0-9_]*)>")
_ANGLED_PATH = re.compile(r"<path(?:\([^<>]*\))?:([A-Za-z_][A-Za-z0-9_]*)>")
_LITERAL = re.compile(r"[A-Za-z0-9/_~%-]*")
_FLAGS = re.compile(r"^\(\?[aiLmsux]+\)")
_SPECIAL = re.compile(r"[*+?{|]")


class Found(NamedTuple):
    """An application below another, and the prefix it is mounted under."""

    prefix: str
    app: object


@dataclass(frozen=True, slots=True)
class Served:
    """One route: methods (None for any), the path as the framework writes it, and what it is for."""

    methods: frozenset[str] | None
    path: str
    on: Event = "request"
    is_partial: bool = False
    """True if the path is the beginning of a regular expression only."""
    is_unasked: bool = False
    """True if its handler is one that a limit decorates, without the limit."""


@dataclass(slots=True)
class Table:
    """The words of one application: see `target.Placement` for the words."""

    prefix: str = ""
    routes: list[Served] = field(default_factory=list)
    below: list[Found] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    keeps_empty: bool = False
    ignores_case: bool = False

    def mount(self, prefix: str, app: object, *, loose: bool = False) -> None:
        """Note an application below this one."""
        prefix = prefix.rstrip("/")
        if prefix:
            self.mounts.append(prefix)
            if loose and "{" not in prefix:
                self.loose.append(prefix)
        self.below.append(Found(prefix, app))


def read_starlette(app: Any, prefix: str) -> Table:
    """Read Starlette, FastAPI, or a router of theirs."""
    table = Table(prefix)
    root = getattr(app, "root_path", "")
    if isinstance(root, str) and root:
        table.roots.append(root)
    router = getattr(app, "router", app)
    for route in effective_routes(router.routes):
        path = getattr(route, "path", None)
        held = getattr(route, "app", None)
        kind = type(getattr(route, "starlette_route", None) or getattr(route, "original_route", route))
        name = next((each.__name__ for each in kind.__mro__ if each.__module__ == "starlette.routing"), "")
        route = getattr(route, "starlette_route", None) or route
        if name == "Mount":
            table.mount(prefix + str(route.path), route.app)
        elif name == "Host":
            table.below.append(Found(prefix, held))
        elif isinstance(path, str):
            methods = getattr(route, "methods", None)
            on: Event = "connect" if name == "WebSocketRoute" else "request"
            is_unasked = UNASKED in getattr(getattr(route, "endpoint", None), "__dict__", ())
            table.routes.append(Served(_methods(methods), prefix + path, on, is_unasked=is_unasked))
    return table


def effective_routes(routes: Iterable[Any]) -> Iterator[Any]:
    """Yield the routes that requests meet, those of FastAPI's included routers with their prefix."""
    # FastAPI keeps an included router as one route, which knows the prefix it was included under.
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from effective_routes(
                [*route.effective_candidates(), *route.effective_low_priority_routes()]
            )
        else:
            yield route


def read_litestar(app: Any, prefix: str) -> Table:
    """Read Litestar, with types in its paths: `/users/{id:int}`."""
    table = Table(prefix)
    for route in app.routes:
        path = prefix + str(route.path)
        handler = getattr(route, "route_handler", None)
        if getattr(handler, "is_mount", False):
            table.mount(path, getattr(handler, "fn", None), loose=True)
        elif type(route).__name__ == "ASGIRoute":
            table.routes.append(Served(None, path))
        else:
            is_websocket = type(route).__name__ == "WebSocketRoute"
            methods = None if is_websocket else _methods(getattr(route, "methods", None))
            table.routes.append(Served(methods, path, "connect" if is_websocket else "request"))
    return table


def read_quart(app: Any, prefix: str) -> Table:
    """Read Quart, by Werkzeug's map of rules: `/users/<int:id>`."""
    table = Table(prefix)
    for rule in app.url_map.iter_rules():
        on: Event = "connect" if getattr(rule, "websocket", False) else "request"
        table.routes.append(Served(_methods(rule.methods), prefix + _braced(rule.rule), on))
    return table


def read_blacksheep(app: Any, prefix: str) -> Table:
    """Read BlackSheep: `/users/{id}`, `/users/:id`, `/files/*`; it ignores case."""
    table = Table(prefix, ignores_case=True)
    for method, routes in app.router.routes.items():
        name = _text(method)
        for route in routes:
            path = re.sub(r"/:([^/]+)", r"/{\1}", _braced(_text(route.pattern)))
            # The type comes before the name here: `{path:rest}`.
            path = re.sub(r"\{(\w+):(\w+)\}", lambda found: f"{{{found[2]}:{found[1]}}}", path)
            if path.endswith("*"):
                # A path that goes on without a slash is one of this route's as well.
                if path.rstrip("/*"):
                    table.loose.append(prefix + path.rstrip("/*"))
                path = path.rstrip("/*") + "/{rest:path}"
            on: Event = "connect" if name == "GET_WS" else "request"
            table.routes.append(Served(None if on == "connect" else frozenset((name,)), prefix + path, on))
    for route in app.mount_registry.mounted_apps:
        table.mount(prefix + _text(route.pattern).rstrip("/*"), route.handler, loose=True)
    return table


def read_django(app: Any, prefix: str) -> Table:
    """Read the project's URL configuration, which is there once Django is set up."""
    table = Table(prefix)
    settings = sys.modules["django.conf"].settings
    if settings.FORCE_SCRIPT_NAME:
        table.roots.append(settings.FORCE_SCRIPT_NAME)
    patterns = sys.modules["django.urls"].get_resolver().url_patterns
    _read_django(table, patterns, f"{prefix}/", is_partial=False)
    return table


def _read_django(table: Table, patterns: Iterable[Any], prefix: str, *, is_partial: bool) -> None:
    for each in patterns:
        path, partial = prefix, is_partial
        if not partial:
            route = getattr(each.pattern, "_route", None)
            partial = not isinstance(route, str)
            if isinstance(route, str):
                path += _braced(route)
            elif hasattr(each.pattern, "_regex"):
                path += _beginning(str(each.pattern._regex))
            else:
                path, partial = path + "{language}/", False
        below = getattr(each, "url_patterns", None)
        if below is None:
            table.routes.append(Served(None, path, is_partial=partial))
        else:
            _read_django(table, below, path, is_partial=partial)


def read_falcon(app: Any, prefix: str) -> Table:
    """Read Falcon, with a router that is a tree of segments."""
    table = Table(prefix, keeps_empty=True)

    def descend(nodes: Iterable[Any], path: str) -> None:
        for node in nodes:
            here = f"{path}/{node.raw_segment}"
            if node.resource is not None:
                table.routes.append(Served(_methods(node.method_map), here))
            descend(node.children, here)

    descend(app._router._roots, prefix)
    return table


def _methods(names: Any) -> frozenset[str] | None:
    if not names:
        return None
    known = frozenset(str(name).upper() for name in names)
    # HEAD and OPTIONS are mostly the framework's own answer; a route of them alone is kept.
    return known - {"HEAD", "OPTIONS"} or known


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _braced(path: str) -> str:
    """Return a path with `<int:id>` as `{id}`, and `<path:rest>` as `{rest:path}`."""
    return _ANGLED.sub(r"{\1}", _ANGLED_PATH.sub(r"{\1:path}", path))


def _beginning(regex: str) -> str:
    """Return what every path that a regular expression matches begins with."""
    regex = _FLAGS.sub("", regex).removeprefix("^").replace("\\/", "/").replace("\\-", "-")
    text = _LITERAL.match(regex)
    literal = text[0] if text is not None else ""
    # A repetition is of the last character before it.
    return literal[:-1] if _SPECIAL.match(regex[len(literal) :]) else literal


READERS: dict[str, Callable[[Any, str], Table]] = {
    "starlette.Starlette": read_starlette,
    "starlette.Router": read_starlette,
    "litestar.Litestar": read_litestar,
    "quart.Quart": read_quart,
    "blacksheep.Application": read_blacksheep,
    "django.ASGIHandler": read_django,
    "falcon.App": read_falcon,
}
"""The readers, by package and class."""
