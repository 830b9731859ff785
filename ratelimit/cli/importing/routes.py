"""The requests that a decorated function answers: paths and methods, with the prefixes of routers.

A router's path is known where it is included by a plain statement at the top of a module. Of two routes that
match one path the framework takes one: FastAPI the first, Flask the one with the earlier literal segment.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from ratelimit.cli.importing.draft import PolicyDraft
from ratelimit.cli.importing.modules import Defined, Function, Module, Program, UnknownError

_VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
_FASTAPI_APPS = ("fastapi.FastAPI", "fastapi.applications.FastAPI")
_FASTAPI_ROUTERS = ("fastapi.APIRouter", "fastapi.routing.APIRouter")
_FLASK_APPS = ("flask.Flask", "flask.app.Flask")
_FLASK_ROUTERS = ("flask.Blueprint", "flask.blueprints.Blueprint")
_APPS = (*_FASTAPI_APPS, *_FLASK_APPS)
_MAKERS = (*_APPS, *_FASTAPI_ROUTERS, *_FLASK_ROUTERS)
_INCLUDES = ("include_router", "register_blueprint")
_OTHER_ROUTES = (
    "add_api_route",
    "add_route",
    "add_url_rule",
    "mount",
    "host",
    "add_websocket_route",
    "route_class",
)
_FASTAPI_SETTINGS = {
    "title", "description", "version", "summary", "debug", "lifespan", "tags", "docs_url", "redoc_url",
    "openapi_url", "responses", "default_response_class", "prefix", "contact", "license_info",
}  # fmt: skip
_FLASK_SETTINGS = {
    "name", "import_name", "url_prefix", "static_folder", "template_folder", "instance_relative_config",
}  # fmt: skip
_BEFORE_THE_HANDLER = "requests that a dependency refuses are not counted there, and here they are."
_STARLETTE_SEGMENT = re.compile(r"\{([A-Za-z_]\w*)(?::(\w+))?\}")
_FLASK_SEGMENT = re.compile(r"<(?:(\w+):)?([A-Za-z_]\w*)>")
_LITERAL = re.compile(r"[A-Za-z0-9_~@:+!$&'()=-][A-Za-z0-9._~@:+!$&'()=-]*")
_TEXT_CONVERTERS = (None, "str", "string", "default")


@dataclass(frozen=True, slots=True)
class Template:
    """A path as a policy matches it."""

    segments: tuple[str | None, ...]
    """Literals; None for one that is a parameter."""
    parameters: tuple[tuple[str, str | None], ...]
    """Names, and converters other than that of any text."""
    rest: bool = False

    def __str__(self) -> str:
        names = iter(self.parameters)
        parts = [f"{{{next(names)[0]}}}" if part is None else part for part in self.segments]
        return "/" + "/".join([*parts, *(["*"] if self.rest else [])])

    @property
    def is_plain(self) -> bool:
        """True if any text does for each parameter."""
        return not self.rest and all(converter is None for _, converter in self.parameters)

    def meets(self, other: Template) -> bool:
        """Return whether some path matches both."""
        if not self.rest and not other.rest and len(self.segments) != len(other.segments):
            return False
        for one, two in zip_longest(self.segments, other.segments, fillvalue=""):
            if one and two and one != two:
                return False
        # Where one ends, the other goes on alone: only what takes the rest still matches.
        shorter, longer = sorted((self, other), key=lambda each: len(each.segments))
        return shorter.rest or len(shorter.segments) == len(longer.segments)


@dataclass(frozen=True, slots=True)
class Route:
    """One path of a function."""

    function: Function
    owner: Defined
    module: Module
    template: Template
    methods: frozenset[str]
    decorator: ast.Call


class Routes:
    """All routes of an application.

    Args:
        draft: takes what is not understood.
        program: the application.
    """

    def __init__(self, draft: PolicyDraft, program: Program) -> None:
        self._draft = draft
        self._program = program
        self._made: dict[Defined, tuple[str, ast.Call]] = {}
        """What makes each application and router, and the call."""
        self._included: dict[Defined, list[tuple[Defined, str | None]]] = {}
        self.all: list[Route] = []
        self._of: dict[int, list[Route]] = {}
        for module in program.modules:
            for name, value in module.values.items():
                maker = program.origin(module, value.func) if isinstance(value, ast.Call) else None
                if isinstance(maker, str) and maker in _MAKERS and isinstance(value, ast.Call):
                    self._made[Defined(module, name)] = maker, value
        self.is_flask = any(maker in _FLASK_APPS for maker, _ in self._made.values())

    def read(self) -> None:
        """Find the routes."""
        for module in self._program.modules:
            self._read_calls(module)
        for module in self._program.modules:
            for node in module.tree.body:
                if isinstance(node, Function):
                    self._read_function(module, node)

    def of(self, function: Function) -> list[Route]:
        """Return the routes of a function."""
        return self._of.get(id(function), [])

    def is_route(self, module: Module, decorator: ast.expr) -> bool:
        """Return whether a decorator makes a route."""
        return self._owner(module, decorator) is not None

    def rivals(self, route: Route, methods: frozenset[str]) -> Iterator[tuple[Route, bool | None]]:
        """Yield the other routes that match a path of one, and whether they win; None if unknown."""
        for other in self.all:
            if other is route:
                continue
            if not (other.methods & methods) or not other.template.meets(route.template):
                continue
            yield other, self._is_taken(other, route)

    def _is_taken(self, other: Route, route: Route) -> bool | None:
        if other.template.segments == route.template.segments and other.template.rest == route.template.rest:
            return None
        for one, two in zip(other.template.segments, route.template.segments, strict=False):
            if (one is None) != (two is None) and self.is_flask:
                return one is not None if other.template.is_plain and route.template.is_plain else None
        if self.is_flask or other.module is not route.module or other.owner != route.owner:
            return None
        if other.decorator.lineno > route.decorator.lineno:
            # The route comes first, but a converter of its own may leave paths to the other.
            if route.template.is_plain:
                return False
            return True if other.template.is_plain and _is_left_to(route.template, other.template) else None
        return True if other.template.is_plain else None

    def _owner(self, module: Module, decorator: ast.expr) -> Defined | None:
        if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
            return None
        owner = self._program.origin(module, decorator.func.value)
        if not isinstance(owner, Defined) or owner not in self._made:
            return None
        return owner if decorator.func.attr in (*_VERBS, "route", "api_route", "websocket") else None

    def _lose(self, module: Module, node: ast.expr, why: str, instead: str = "") -> None:
        self._draft.lose(module.place(node), ast.unparse(node), why, instead)

    def _read_calls(self, module: Module) -> None:
        plain = {id(node.value) for node in module.tree.body if isinstance(node, ast.Expr)}
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            maker = self._program.origin(module, node.func)
            if isinstance(maker, str) and maker in _MAKERS:
                self._look_at_maker(module, node, maker)
            if not isinstance(node.func, ast.Attribute) or node.func.attr not in (*_INCLUDES, *_OTHER_ROUTES):
                continue
            if node.func.attr in _OTHER_ROUTES:
                if not self._is_static(module, node):
                    self._lose(
                        module, node, "routes that are made this way are not read.", "Write a decorator."
                    )
                continue
            parent = self._program.origin(module, node.func.value)
            child = self._program.origin(module, node.args[0]) if node.args else None
            if id(node) not in plain or not isinstance(parent, Defined) or not isinstance(child, Defined):
                self._lose(module, node, "which router it is, and where it goes, only a run would tell.")
                continue
            self._included.setdefault(child, []).append((parent, self._prefix_of_include(module, node)))

    def _is_static(self, module: Module, node: ast.Call) -> bool:
        """Return whether files are mounted, which have no limits."""
        inner = node.args[1] if len(node.args) > 1 else None
        made = self._program.origin(module, inner.func) if isinstance(inner, ast.Call) else None
        return isinstance(made, str) and made.rpartition(".")[2] == "StaticFiles"

    def _look_at_maker(self, module: Module, node: ast.Call, maker: str) -> None:
        if all(node is not value for value in module.values.values()):
            self._lose(module, node, "it is made where only a run would tell whether it is.")
        if maker in _APPS and sum(made in _APPS for made, _ in self._made.values()) > 1:
            self._lose(module, node, "it is one of several applications, and a policy is one's.")
        if len(node.args) > (1 if maker in _FLASK_APPS else 2):
            self._lose(module, node, "it has arguments without names.", "Name them.")
        known = _FASTAPI_SETTINGS if maker.startswith("fastapi") else _FLASK_SETTINGS
        for word in node.keywords:
            if word.arg not in known:
                why = (
                    _BEFORE_THE_HANDLER
                    if word.arg == "dependencies"
                    else "it may change which requests there are."
                )
                self._draft.lose(module.place(word.value), f"{word.arg}={ast.unparse(word.value)}", why)

    def _prefix_of_include(self, module: Module, node: ast.Call) -> str | None:
        """Return the prefix that an inclusion gives; None where it gives none."""
        prefix: str | None = None
        for word in node.keywords:
            if word.arg in ("prefix", "url_prefix"):
                prefix = self._text(module, word.value)
            elif word.arg not in ("tags", "responses", "include_in_schema", "deprecated"):
                why = (
                    _BEFORE_THE_HANDLER
                    if word.arg == "dependencies"
                    else "it may change which requests there are."
                )
                self._draft.lose(module.place(word.value), f"{word.arg}={ast.unparse(word.value)}", why)
        if len(node.args) > 1:
            self._lose(module, node, "it has arguments without names.", "Name them.")
        return prefix

    def _text(self, module: Module, node: ast.expr) -> str:
        """Return a constant text; empty, with a loss, for anything else."""
        try:
            value = self._program.constant(module, node)
        except UnknownError:
            value = None
        if not isinstance(value, str):
            self._lose(module, node, "it is a part of a path, and it is known only in a run.")
            return ""
        return value

    def _prefixes(self, owner: Defined, above: tuple[Defined, ...] = ()) -> list[str]:
        """Return the prefixes of a router's paths, one for each inclusion up to an application."""
        maker, call = self._made[owner]
        if maker in _APPS:
            return [""]
        own = next((word.value for word in call.keywords if word.arg in ("prefix", "url_prefix")), None)
        prefix = "" if own is None else self._text(owner.module, own)
        found = []
        for parent, given in self._included.get(owner, ()):
            if parent not in self._made or parent in above:
                continue
            for start in self._prefixes(parent, (*above, owner)):
                if maker in _FLASK_ROUTERS:
                    # The prefix of a registration stands in for the blueprint's own.
                    found.append(f"{start}/{(prefix if given is None else given).strip('/')}")
                else:
                    found.append(f"{start}{given or ''}{prefix}")
        return found

    def _read_function(self, module: Module, function: Function) -> None:
        for decorator in function.decorator_list:
            owner = self._owner(module, decorator)
            if owner is None:
                continue
            assert isinstance(decorator, ast.Call)
            for route in self._routes(module, function, owner, decorator):
                self.all.append(route)
                self._of.setdefault(id(function), []).append(route)

    def _routes(
        self, module: Module, function: Function, owner: Defined, decorator: ast.Call
    ) -> Iterator[Route]:
        assert isinstance(decorator.func, ast.Attribute)
        maker = self._made[owner][0]
        given = {word.arg: word.value for word in decorator.keywords}
        at = decorator.args[0] if decorator.args else given.get("path", given.get("rule"))
        if at is None or decorator.func.attr == "websocket":
            self._lose(module, decorator, "it has no path, or is for WebSockets.")
            return
        methods = self._methods(module, decorator, maker, given.get("methods"))
        prefixes = self._prefixes(owner)
        if not prefixes:
            self._lose(module, decorator, "its router is included in no application of these files.")
        path = self._text(module, at)
        is_flask = maker in (*_FLASK_APPS, *_FLASK_ROUTERS)
        for prefix in prefixes:
            if is_flask:
                whole = f"{prefix.rstrip('/')}/{path.lstrip('/')}" if path or not prefix else prefix
            else:
                whole = prefix + path
            template = parse_template(whole, is_flask=is_flask)
            if template is None:
                why = "a parameter is a whole segment in a policy, and a literal has plain letters."
                self._lose(module, decorator, why, "Write a limit with the `match` of the route.")
                continue
            yield Route(function, owner, module, template, methods, decorator)

    def _methods(
        self, module: Module, decorator: ast.Call, maker: str, listed: ast.expr | None
    ) -> frozenset[str]:
        assert isinstance(decorator.func, ast.Attribute)
        kind = decorator.func.attr
        is_flask = maker in (*_FLASK_APPS, *_FLASK_ROUTERS)
        names: object = [kind] if kind in _VERBS else ["GET"]
        if listed is not None:
            try:
                names = self._program.constant(module, listed)
            except UnknownError:
                self._lose(module, listed, "which methods it has only a run would tell.")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._lose(module, decorator, "its methods are no list of texts.")
            names = ["GET"]
        methods = {str(name).upper() for name in names}
        if is_flask and "GET" in methods:
            methods.add("HEAD")
        return frozenset(methods)


def _is_left_to(template: Template, other: Template) -> bool:
    """Return whether a converter of a template takes no path of another."""
    converters = iter(template.parameters)
    for one, two in zip_longest(template.segments, other.segments):
        if one is None and not template.rest:
            converter = next(converters, ("", None))[1]
            if converter in ("int", "float") and two and not any(char.isdigit() for char in two):
                return True
    return False


def parse_template(path: str, *, is_flask: bool) -> Template | None:
    """Return a path of a framework as a policy has it; None where a policy cannot."""
    if not path.startswith("/"):
        path = f"/{path}"
    segments: list[str | None] = []
    parameters: list[tuple[str, str | None]] = []
    parts = path.removesuffix("/")[1:].split("/") if path != "/" else []
    for at, part in enumerate(parts):
        found = (_FLASK_SEGMENT if is_flask else _STARLETTE_SEGMENT).fullmatch(part)
        if found is None:
            if not _LITERAL.fullmatch(part):
                return None
            segments.append(part)
            continue
        converter, name = found.groups() if is_flask else reversed(found.groups())
        if converter == "path":
            if at < len(parts) - 1:
                return None
            return Template(tuple(segments), tuple(parameters), rest=True)
        segments.append(None)
        parameters.append((str(name), None if converter in _TEXT_CONVERTERS else str(converter)))
    return Template(tuple(segments), tuple(parameters))


def patterns_of(template: Template, methods: frozenset[str]) -> tuple[list[str], list[str]]:
    """Return what a limit matches and what it leaves out, for some methods of a path."""
    match = [f"{'|'.join(sorted(methods))} {template}"]
    # GET stands for HEAD as well in a policy.
    return match, [f"HEAD {template}"] if "GET" in methods and "HEAD" not in methods else []


def patterns_of_all(routes: Sequence[tuple[Template, frozenset[str]]]) -> tuple[list[str], list[str]]:
    """Return the same for several paths."""
    found: Mapping[str, list[str]] = {"match": [], "except": []}
    for template, methods in routes:
        match, excepted = patterns_of(template, methods)
        found["match"].extend(match)
        found["except"].extend(excepted)
    return list(dict.fromkeys(found["match"])), list(dict.fromkeys(found["except"]))
