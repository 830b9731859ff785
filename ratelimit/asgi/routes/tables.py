"""Readers of frameworks' tables of routes: one function for each, and a table of them.

A route's path is written as the framework has it, each parameter as `{name}`, a parameter
that takes the rest as `{name:path}`. A path that is a regular expression of the
application's own is kept as its literal beginning, and said to be `is_partial`.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ratelimit.policy.schema.model import Event

if TYPE_CHECKING:
    from ratelimit.limiter import Limiter

UNASKED = "__ratelimit_unasked__"
"""The mark of a handler that a limit decorates: what asks is around it, and a route should have that."""
ASKED = "__ratelimit_asked__"
"""The mark of a handler that limits decorate: these limits, the outermost last."""

_ANGLED = re.compile(r"<(?:[^<>]*?:)?([A-Za-z_][A-Za-z0-9_]*)>")
_ANGLED_PATH = re.compile(r"<path(?:\([^<>]*\))?:([A-Za-z_][A-Za-z0-9_]*)>")
_LITERAL = re.compile(r"[A-Za-z0-9/_~%-]*")
_FLAGS = re.compile(r"^\(\?[aiLmsux]+\)")
_SPECIAL = re.compile(r"[*+?{|]")


class MountedApp(NamedTuple):
    """An application below another, the prefix it is mounted under, and whether code runs before it."""

    prefix: str
    app: object
    is_behind: bool = False


class Entered(NamedTuple):
    """A limit that routes ask for, as the policy has it."""

    names: tuple[str, ...]
    """The limits that are asked."""
    needs: tuple[tuple[str, str], ...]
    """Limit and field of the state, of each field that has to be set before."""
    identities: frozenset[str] = frozenset()
    """The identities that they count by."""


class RouteLimit(Protocol):
    """A limit that routes ask for, as the integrations make it."""

    def enter(self, limiter: Limiter, limits: Sequence[Any], /) -> list[Entered]:
        """Register limits of its kind with a limiter; return what each is there.

        Raises:
            UsageError: one does not fit the policy.
        """
        ...


class RequestedLimit(NamedTuple):
    """A limit that a route asks for."""

    limit: RouteLimit
    is_first: bool
    """True if no code of the application runs before it that could put something into the state."""


@dataclass(frozen=True, slots=True)
class Served:
    """One route: methods (None for any), the path as the framework writes it, and what it is for."""

    methods: frozenset[str] | None
    path: str
    on: Event | None = "request"
    """None for an application of its own, which may serve anything."""
    is_partial: bool = False
    """True if the path is the beginning of a regular expression only, or all below it is another's."""
    is_unasked: bool = False
    """True if its handler is one that a limit decorates, without the limit."""
    asked: tuple[RequestedLimit, ...] = ()
    """The limits that it asks for."""


@dataclass(slots=True)
class Table:
    """The words of one application: see `target.Placement` for the words."""

    prefix: str = ""
    routes: list[Served] = field(default_factory=list)
    below: list[MountedApp] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    keeps_empty: bool = False
    ignores_case: bool = False
    is_behind: bool = False
    """True if code of the application runs before its routes, which may put something into the state."""

    def mount(self, prefix: str, app: object, *, loose: bool = False) -> None:
        """Note an application below this one."""
        prefix = prefix.rstrip("/")
        if prefix:
            self.mounts.append(prefix)
            if loose and "{" not in prefix:
                self.loose.append(prefix)
        self.below.append(MountedApp(prefix, app, self.is_behind))


def read_starlette(app: Any, table: Table) -> None:
    """Read Starlette, FastAPI, or a router of theirs."""
    prefix = table.prefix
    table.is_behind |= any(map(_may_set, getattr(app, "user_middleware", ())))
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
            table.below.append(MountedApp(prefix, held, table.is_behind))
        elif isinstance(path, str):
            methods = getattr(route, "methods", None)
            on: Event = "connect" if name == "WebSocketRoute" else "request"
            endpoint = getattr(route, "endpoint", None)
            is_unasked = UNASKED in getattr(endpoint, "__dict__", ())
            asked = tuple(_asked_by(route, endpoint, is_behind=table.is_behind))
            table.routes.append(Served(_methods(methods), prefix + path, on, False, is_unasked, asked))


def _asked_by(route: Any, endpoint: Any, *, is_behind: bool) -> Iterator[RequestedLimit]:
    """Yield the limits of a route: among FastAPI's dependencies, and around its handler."""
    # A route with middleware of its own calls an object and not the function that Starlette makes.
    is_behind = is_behind or not inspect.isfunction(getattr(route, "app", lambda: None))
    for call in _dependencies(getattr(route, "dependant", None)):
        if hasattr(call, "enter"):
            yield RequestedLimit(call, not is_behind)
        elif (getattr(type(call), "__module__", None) or "").partition(".")[0] != "fastapi":
            is_behind = True
    for limit in _decorating(endpoint):
        yield RequestedLimit(limit, not is_behind)


def _dependencies(dependant: Any) -> Iterator[Any]:
    """Yield what FastAPI calls before a handler, in its order."""
    for each in getattr(dependant, "dependencies", ()):
        yield from _dependencies(each)
        yield each.call


def _decorating(handler: Any) -> Iterator[Any]:
    """Yield the limits that decorate a handler, or the methods of a class of handlers."""
    if inspect.isclass(handler):
        for name in ("get", "post", "put", "patch", "delete", "head", "options", "on_connect", "on_receive"):
            yield from _decorating(getattr(handler, name, None))
    else:
        yield from getattr(handler, "__dict__", {}).get(ASKED, ())


OURS = "ratelimit.RateLimitMiddleware"
_NEUTRAL = frozenset(
    (
        OURS,
        "starlette.CORSMiddleware",
        "starlette.GZipMiddleware",
        "starlette.HTTPSRedirectMiddleware",
        "starlette.TrustedHostMiddleware",
        "starlette.SessionMiddleware",
        "fastapi.CORSMiddleware",
    )
)
"""Middlewares that put nothing into the state."""


def is_outermost(app: object) -> bool:
    """Return whether limits are a middleware of an application, and none before may set the state."""
    listed = getattr(app, "user_middleware", None) or getattr(app, "middleware", None)
    for middleware in listed if isinstance(listed, list) else ():
        if _name_of(middleware) == OURS:
            return True
        if _may_set(middleware):
            return False
    return False


def _may_set(middleware: Any) -> bool:
    """Return whether a middleware may put something into the state."""
    return _name_of(middleware) not in _NEUTRAL


def _name_of(middleware: Any) -> str:
    """Return package and name of a middleware's class, as frameworks keep it."""
    made = getattr(middleware, "middleware", None) or getattr(middleware, "cls", None) or middleware
    return f"{getattr(made, '__module__', '').partition('.')[0]}.{getattr(made, '__name__', '')}"


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


def read_litestar(app: Any, table: Table) -> None:
    """Read Litestar, with types in its paths: `/users/{id:int}`."""
    table.is_behind |= any(map(_may_set, app.middleware)) or bool(app.before_request)
    for route in app.routes:
        path = table.prefix + str(route.path)
        handler = getattr(route, "route_handler", None)
        if getattr(handler, "is_mount", False):
            table.mount(path, getattr(handler, "fn", None), loose=True)
        elif type(route).__name__ == "ASGIRoute":
            table.routes.append(Served(None, path, None))
        elif type(route).__name__ == "WebSocketRoute":
            asked = tuple(_guarding(handler, is_behind=table.is_behind))
            table.routes.append(Served(None, path, "connect", asked=asked))
        else:
            for each in route.route_handlers:
                asked = tuple(_guarding(each, is_behind=table.is_behind))
                methods = _methods(each.http_methods)
                if asked or methods != frozenset(("OPTIONS",)):
                    table.routes.append(Served(methods, path, asked=asked))


def _guarding(handler: Any, *, is_behind: bool) -> Iterator[RequestedLimit]:
    """Yield the limits among the guards of a handler, those of its routers and application included."""
    is_behind = is_behind or any(map(_may_set, handler.resolve_middleware()))
    for guard in handler.resolve_guards():
        if hasattr(guard, "enter"):
            yield RequestedLimit(guard, not is_behind)
        else:
            is_behind = True


def read_quart(app: Any, table: Table) -> None:
    """Read Quart or Flask, by Werkzeug's map of rules: `/users/<int:id>`."""
    table.is_behind |= bool(app.before_request_funcs)
    for rule in app.url_map.iter_rules():
        on: Event = "connect" if getattr(rule, "websocket", False) else "request"
        view = app.view_functions.get(rule.endpoint)
        asked = tuple(RequestedLimit(limit, not table.is_behind) for limit in _decorating(view))
        is_unasked = UNASKED in getattr(view, "__dict__", ())
        path = table.prefix + _braced(rule.rule)
        table.routes.append(Served(_methods(rule.methods), path, on, False, is_unasked, asked))


def read_blacksheep(app: Any, table: Table) -> None:
    """Read BlackSheep: `/users/{id}`, `/users/:id`, `/files/*`; it ignores case."""
    prefix, table.ignores_case = table.prefix, True
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


def read_django(_app: Any, table: Table) -> None:
    """Read the project's URL configuration, which is there once Django is set up."""
    table.is_behind = True
    settings = sys.modules["django.conf"].settings
    if settings.FORCE_SCRIPT_NAME:
        table.roots.append(settings.FORCE_SCRIPT_NAME)
    patterns = sys.modules["django.urls"].get_resolver().url_patterns
    _read_django(table, patterns, f"{table.prefix}/", is_partial=False)


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
            table.routes.append(_django_route(each.callback, path, is_partial=partial))
        else:
            _read_django(table, below, path, is_partial=partial)


def _django_route(view: Any, path: str, *, is_partial: bool) -> Served:
    """Return a view's route. Methods are known of classes of views, and of views that name theirs."""
    kind = getattr(view, "view_class", None)
    names = getattr(kind, "http_method_names", ())
    methods = _methods(name for name in names if hasattr(kind, name))
    asked = tuple(RequestedLimit(limit, False) for limit in _decorating(view))
    return Served(methods, path, "request", is_partial, UNASKED in getattr(view, "__dict__", ()), asked)


def read_falcon(app: Any, table: Table) -> None:
    """Read Falcon, with a router that is a tree of segments."""
    table.keeps_empty = True

    def descend(nodes: Iterable[Any], path: str) -> None:
        for node in nodes:
            here = f"{path}/{node.raw_segment}"
            if node.resource is not None:
                table.routes.append(Served(_methods(node.method_map), here))
            descend(node.children, here)

    descend(app._router._roots, table.prefix)


def read_dispatcher(app: Any, table: Table) -> None:
    """Read Werkzeug's dispatcher, which has WSGI applications under prefixes, and one for all else."""
    table.below.append(MountedApp(table.prefix, app.app, table.is_behind))
    for prefix, mounted in app.mounts.items():
        table.mount(table.prefix + prefix, mounted)


def _methods(names: Any) -> frozenset[str] | None:
    known = frozenset(str(name).upper() for name in names or ())
    if not known:
        return None
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


READERS: dict[str, Callable[[Any, Table], None]] = {
    "starlette.Starlette": read_starlette,
    "starlette.Router": read_starlette,
    "litestar.Litestar": read_litestar,
    "quart.Quart": read_quart,
    "flask.Flask": read_quart,
    "blacksheep.Application": read_blacksheep,
    "django.ASGIHandler": read_django,
    "django.WSGIHandler": read_django,
    "werkzeug.DispatcherMiddleware": read_dispatcher,
    "falcon.App": read_falcon,
}
"""The readers, by package and class: each fills a table that has its prefix."""
