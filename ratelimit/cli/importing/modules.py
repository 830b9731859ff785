"""Python modules of one application, read and never run: what their names stand for.

A name counts as known where it is bound once, by a plain statement at the top of its module. What an `if`, a
loop, a function or a second assignment may bind is not known, whatever it looks like.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard, TypeVar

from ratelimit.cli.importing.draft import Place

T = TypeVar("T")
Function = ast.FunctionDef | ast.AsyncFunctionDef
_MOST_STEPS = 16
_LIBRARIES = ("slowapi", "flask_limiter", "flask", "fastapi", "starlette", "limits")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


class UnknownError(Exception):
    """A run alone would tell what an expression is."""


@dataclass(frozen=True, slots=True)
class Defined:
    """A name where it is defined."""

    module: Module
    name: str

    def __hash__(self) -> int:
        return hash((id(self.module), self.name))


@dataclass(frozen=True, slots=True)
class Imported:
    """A name that is imported: its packages and itself."""

    parts: tuple[str, ...]
    is_path: bool
    """True if the packages are folders from the root on, as of a relative import."""

    def member(self, names: Sequence[str]) -> Imported:
        """Return what is reached from it by attributes."""
        return Imported((*self.parts, *names), self.is_path)


@dataclass(slots=True, eq=False)
class Module:
    """One parsed file."""

    file: str
    tree: ast.Module
    imports: dict[str, Imported] = field(default_factory=dict)
    """By their names here."""
    values: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    """Its folders and its own name: those that it is imported by come last."""

    def place(self, node: ast.expr | ast.stmt | ast.arg | ast.keyword) -> Place:
        """Return where a node stands."""
        return Place(self.file, node.lineno)

    def read_names(self) -> None:
        """Find the names that are bound once."""
        path = Path(self.file).resolve()
        self.folders = path.parent.parts
        self.path = self.folders if path.stem == "__init__" else path.with_suffix("").parts
        bound = Counter(_bound(self.tree))
        for node in self.tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    self._take(self.imports, name, self._imported(node, alias), bound)
            elif isinstance(node, ast.Assign) and len(node.targets) == 1:
                if isinstance(node.targets[0], ast.Name):
                    self._take(self.values, node.targets[0].id, node.value, bound)
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                if isinstance(node.target, ast.Name):
                    self._take(self.values, node.target.id, node.value, bound)
            elif isinstance(node, Function):
                self._take(self.functions, node.name, node, bound)
            elif isinstance(node, ast.ClassDef) and bound[node.name] == 1:
                self._read_class(node)

    def _read_class(self, node: ast.ClassDef) -> None:
        """Find the names that a plain class binds once in its body: constants under a name of their own."""
        if node.bases or node.keywords or node.decorator_list:
            return
        bound = Counter(_bound(ast.Module(node.body, [])))
        for inner in node.body:
            target = inner.targets[0] if isinstance(inner, ast.Assign) and len(inner.targets) == 1 else None
            if isinstance(inner, ast.AnnAssign):
                target = inner.target
            value = inner.value if isinstance(inner, ast.Assign | ast.AnnAssign) else None
            if isinstance(target, ast.Name) and value is not None and bound[target.id] == 1:
                self.values[f"{node.name}.{target.id}"] = value

    def _imported(self, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> Imported:
        parts = tuple(alias.name.split("."))
        if isinstance(node, ast.Import):
            return Imported(parts if alias.asname else parts[:1], is_path=False)
        package = tuple(node.module.split(".")) if node.module else ()
        if node.level == 0:
            return Imported((*package, *parts), is_path=False)
        folders = self.folders[: len(self.folders) - node.level + 1]
        return Imported((*folders, *package, *parts), is_path=True)

    @staticmethod
    def _take(names: dict[str, T], name: str, value: T, bound: Counter[str]) -> None:
        # An import of `a.b` beside one of `a.c` binds `a` twice, to the same.
        if bound[name] == 1 or names.get(name) == value:
            names[name] = value


def _bound(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module binds, as often as it does."""
    waiting: list[ast.AST] = list(tree.body)
    imported: set[tuple[str, str]] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.alias):
            name = node.asname or node.name.partition(".")[0]
            if node.asname is None and "." in node.name:
                if (name, name) in imported:
                    continue
                imported.add((name, name))
            yield name
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        if isinstance(node, _SCOPES):
            if not isinstance(node, ast.Lambda):
                yield node.name
            for inner in ast.walk(node):
                if isinstance(inner, ast.Global):
                    # Twice, as it is bound at a time that is not known.
                    yield from (name for name in inner.names for _ in range(2))
        else:
            waiting += ast.iter_child_nodes(node)


class Program:
    """The modules of one application.

    Args:
        texts: names and texts of its files.

    Raises:
        ValueError: a file is no Python.
    """

    def __init__(self, texts: Sequence[tuple[str, str]]) -> None:
        self.modules = [Module(file, _parsed(file, text)) for file, text in texts]
        for module in self.modules:
            module.read_names()
        for module in self.modules:
            for node in ast.walk(module.tree):
                if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                    # A module's name that another module binds is bound twice.
                    bound = self.origin(module, node)
                    if isinstance(bound, Defined):
                        bound.module.values.pop(bound.name, None)
                        bound.module.functions.pop(bound.name, None)

    def origin(self, module: Module, node: ast.expr) -> Defined | str | None:
        """Return what a name, or an attribute of a module, stands for.

        It is where a module of the application defines it, or the dotted name that it is imported from; None
        where that is not known.
        """
        dotted: list[str] = []
        while isinstance(node, ast.Attribute):
            dotted.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        if node.id in module.imports:
            return self._imported(module.imports[node.id].member(dotted), _MOST_STEPS)
        name = ".".join([node.id, *dotted])
        return Defined(module, name) if name in module.values or name in module.functions else None

    def _imported(self, imported: Imported, steps: int) -> Defined | str | None:
        *package, name = imported.parts
        named = [module for module in self.modules if _is_at(module, tuple(package), imported)]
        if not named and len(package) > 1:
            # A constant of a class, which is found where the class is.
            name = f"{package.pop()}.{name}"
            named = [module for module in self.modules if _is_at(module, tuple(package), imported)]
            named = [module for module in named if name in module.values]
        if not named:
            return None if imported.is_path else ".".join(imported.parts)
        if len(named) > 1 or steps == 0:
            return None
        module = named[0]
        if name in module.imports:
            return self._imported(module.imports[name], steps - 1)
        if name in module.values or name in module.functions:
            return Defined(module, name)
        return None

    def value(self, defined: Defined | str | None) -> ast.expr | None:
        """Return what a name was assigned; None where it is no such name."""
        return defined.module.values.get(defined.name) if isinstance(defined, Defined) else None

    def function(self, defined: Defined | str | None) -> Function | None:
        """Return the function of a name; None where it is none."""
        return defined.module.functions.get(defined.name) if isinstance(defined, Defined) else None

    def constant(self, module: Module, node: ast.expr | None, steps: int = _MOST_STEPS) -> object:
        """Return what an expression of literals and names of literals is.

        Raises:
            UnknownError: a run alone would tell.
        """
        if steps == 0 or node is None:
            raise UnknownError
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.List | ast.Tuple):
            return [self.constant(module, each, steps - 1) for each in node.elts]
        if isinstance(node, ast.JoinedStr):
            return "".join(self._piece(module, each, steps - 1) for each in node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left = self.constant(module, node.left, steps - 1)
            right = self.constant(module, node.right, steps - 1)
            if isinstance(left, str) and isinstance(right, str):
                return left + right
            if _is_whole(left) and _is_whole(right):
                return left + right
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            left = self.constant(module, node.left, steps - 1)
            right = self.constant(module, node.right, steps - 1)
            if _is_whole(left) and _is_whole(right):
                return left * right
        if isinstance(node, ast.Name | ast.Attribute):
            defined = self.origin(module, node)
            value = self.value(defined)
            if value is not None and isinstance(defined, Defined):
                return self.constant(defined.module, value, steps - 1)
        raise UnknownError

    def _piece(self, module: Module, node: ast.expr, steps: int) -> str:
        if isinstance(node, ast.FormattedValue):
            if node.format_spec is not None or node.conversion not in (-1, ord("s")):
                raise UnknownError
            value = self.constant(module, node.value, steps)
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise UnknownError
            return str(value)
        return str(self.constant(module, node, steps))


def _is_whole(value: object) -> TypeGuard[int]:
    """Return whether a value is a number that a rate or a cost can have."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_at(module: Module, package: tuple[str, ...], imported: Imported) -> bool:
    """Return whether a module is that of a package's name."""
    if imported.is_path:
        return module.path == package
    return bool(package) and package[0] not in _LIBRARIES and module.path[-len(package) :] == package


def _parsed(file: str, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
        raise ValueError(f"{file}: no Python: {line}{getattr(error, 'msg', error)}") from error
