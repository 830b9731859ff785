"""Which requests a decorated function answers: paths and methods, with the prefixes of routers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from ratelimit.cli.importing.draft import Place, PolicyDraft

_METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
_OTHERS = ("route", "api_route", "websocket")
_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)(?::(\w+))?\}")


class Routes:
    """Finds patterns of functions.

    Args:
        draft: takes notes on what is not understood.
        modules: names and trees of the application's files.
    """

    def __init__(self, draft: PolicyDraft, modules: Iterable[tuple[str, ast.Module]]) -> None:
        self._draft = draft
        self._own: dict[tuple[str, str], str] = {}
        """Prefixes that routers are made with, by file and name."""
        self._included: dict[str, set[str]] = {}
        """Prefixes that routers are included under, by name."""
        for file, tree in modules:
            for node in ast.walk(tree):
                self._look(file, node)

    def _look(self, file: str, node: ast.AST) -> None:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if ast.unparse(node.value.func).rpartition(".")[2] == "APIRouter":
                prefix = _text(node.value, "prefix")
                for target in node.targets:
                    self._own[file, ast.unparse(target)] = prefix or ""
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if node.func.attr == "include_router":
                name = ast.unparse(node.args[0]).rpartition(".")[2]
                self._included.setdefault(name, set()).add(_text(node, "prefix") or "")
            elif node.func.attr == "mount":
                self._draft.note(
                    Place(file, node.lineno),
                    "an application is mounted: limits of its routes need the mount's path before theirs",
                    is_lost=False,
                )

    def of(self, file: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str] | None:
        """Return the patterns of a function's routes; None where none is written beside it."""
        patterns = []
        for decorator in function.decorator_list:
            if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
                continue
            kind = decorator.func.attr
            if kind not in (*_METHODS, *_OTHERS):
                continue
            path = _text(decorator, "path", position=0)
            if path is None:
                continue
            owner = ast.unparse(decorator.func.value)
            for prefix in self._prefixes(file, owner):
                patterns.append(f"{self._methods(decorator, kind)} {template(prefix + path)}")
        return patterns or None

    def _prefixes(self, file: str, owner: str) -> list[str]:
        own = self._own.get((file, owner))
        if own is None:
            return [""]
        included = self._included.get(owner.rpartition(".")[2])
        return [prefix + own for prefix in sorted(included)] if included else [own]

    @staticmethod
    def _methods(decorator: ast.Call, kind: str) -> str:
        if kind in _METHODS:
            return kind.upper()
        for word in decorator.keywords:
            if word.arg == "methods":
                try:
                    listed = ast.literal_eval(word.value)
                except (ValueError, TypeError):
                    return "*"
                return "|".join(sorted(str(method).upper() for method in listed)) or "*"
        return "GET"


def template(path: str) -> str:
    """Return a path of Starlette as a template: converters left out, a `path` one as what it stands for."""

    def parameter(match: re.Match[str]) -> str:
        return "*" if match[2] == "path" else f"{{{match[1]}}}"

    found = _PARAMETER.sub(parameter, path)
    return found if found.startswith("/") else f"/{found}"


def parameters_of(pattern: str) -> list[str]:
    """Return the names of a pattern's parameters."""
    return [found[1] for found in _PARAMETER.finditer(pattern)]


def _text(call: ast.Call, name: str, position: int | None = None) -> str | None:
    """Return a text among a call's arguments."""
    given: ast.expr | None = next((word.value for word in call.keywords if word.arg == name), None)
    if given is None and position is not None and len(call.args) > position:
        given = call.args[position]
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else None
