"""slowapi's decorators as limits: read from the source text, which is parsed and never run.

A decorated function is a route; what its framework's decorator says of path and methods is what the
limit matches. Calls, names and functions that only a run would resolve are said with their line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ratelimit.cli.importing.draft import LimitDraft, Place, PolicyDraft, identity_name
from ratelimit.cli.importing.keys import Keys
from ratelimit.cli.importing.routes import Routes, parameters_of

_ALGORITHMS = {
    "fixed-window": "fixed-window",
    "fixed-window-elastic-expiry": "fixed-window",
    "moving-window": "sliding-log",
    "sliding-window-counter": "sliding-window",
}
_WITHOUT_COUNTERPART = {
    "default_limits_exempt_when": "exempt its callers with [allow], or its routes with `except`",
    "default_limits_deduct_when": "a limit here counts what it admits; settle costs in the application",
    "in_memory_fallback": "write on_store_error for each limit",
    "key_prefix": "write prefix under [store]",
}
_ARGUMENTS = ("limit_value", "key_func", "per_method", "methods", "error_message", "exempt_when", "cost")


@dataclass(slots=True)
class Source:
    """One parsed file."""

    file: str
    tree: ast.Module
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)

    def place(self, node: ast.expr | ast.stmt) -> Place:
        """Return where a node stands."""
        return Place(self.file, node.lineno)


def read_slowapi(sources: Sequence[tuple[str, str]], draft: PolicyDraft) -> None:
    """Add the limits of some modules to a draft.

    Args:
        sources: names and texts of the files of one application.
        draft: what grows.

    Raises:
        ValueError: a file is no Python, or none of them has a limit of slowapi.
    """
    parsed = [_parsed(file, text) for file, text in sources]
    reader = _Reader(parsed, draft)
    reader.read_decorators()
    if not draft.limits and not draft.notes:
        raise ValueError("no limit of slowapi in it: no Limiter(…) and no @limiter.limit(…)")


def _parsed(file: str, text: str) -> Source:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
        raise ValueError(f"{file}: no Python: {line}{getattr(error, 'msg', error)}") from error
    functions = {
        node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return Source(file, tree, functions)


class _Reader:
    """Walks the modules of one application."""

    def __init__(self, sources: Sequence[Source], draft: PolicyDraft) -> None:
        self._sources = sources
        self._draft = draft
        functions = {name: node for source in sources for name, node in source.functions.items()}
        self._keys = Keys(draft, functions)
        self._routes = Routes(draft, [(source.file, source.tree) for source in sources])
        self._limiters: dict[str, ast.Call] = {}
        self._default_key: ast.expr | None = None
        self._algorithm = "fixed-window"
        self._counts_paths = True
        """Whether each path of a route counts by itself: so unless `key_style="endpoint"`."""
        self._decorated: list[str] = []
        self._shared: dict[tuple[str, str, str], LimitDraft] = {}

    def read_decorators(self) -> None:
        """Add all that is found: decorated routes first, as default limits leave them out."""
        found = [(source, *one) for source in self._sources for one in _limiters(source.tree)]
        for source, name, call in found:
            self._limiters[name] = call
            self._read_settings(source, call)
        for source in self._sources:
            for node in ast.walk(source.tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    self._read_function(source, node)
        for source, _, call in found:
            self._read_defaults(source, call)
        for limit in self._shared.values():
            self._draft.add(limit)

    def _read_settings(self, source: Source, call: ast.Call) -> None:
        settings = {word.arg: word.value for word in call.keywords if word.arg is not None}
        if call.args:
            settings.setdefault("key_func", call.args[0])
        self._default_key = settings.get("key_func", self._default_key)
        strategy = _constant(settings.get("strategy"))
        if isinstance(strategy, str):
            self._algorithm = _ALGORITHMS.get(strategy, self._algorithm)
        self._counts_paths = _constant(settings.get("key_style")) != "endpoint"
        for name, advice in _WITHOUT_COUNTERPART.items():
            if name in settings:
                self._draft.note(source.place(settings[name]), f"{name} is not carried over: {advice}")

    def _read_defaults(self, source: Source, call: ast.Call) -> None:
        for word in call.keywords:
            if word.arg not in ("default_limits", "application_limits"):
                continue
            rates = self._rates(source, word.value)
            per = self._per(source, self._default_key, call)
            if rates is None or per is None:
                continue
            is_default = word.arg == "default_limits"
            if is_default:
                self._draft.note(
                    source.place(word.value),
                    "default_limits: slowapi counts each route by itself, here all routes count together; "
                    "for a route that needs a budget of its own write a limit with its `match`",
                    is_lost=False,
                )
            name = "default" if is_default else "application"
            self._draft.add(
                LimitDraft(
                    source.place(word.value),
                    name,
                    per,
                    rates,
                    excepted=list(dict.fromkeys(self._decorated)) if is_default else (),
                    algorithm=self._algorithm,
                )
            )

    def _read_function(self, source: Source, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        calls = list(self._decorators(function))
        if not calls:
            return
        match = self._routes.of(source.file, function)
        overrides = True
        for kind, node in calls:
            place = source.place(node)
            if kind == "exempt":
                continue
            assert isinstance(node, ast.Call)  # see _decorators
            if match is None:
                self._draft.note(
                    place,
                    f"{function.name}: its route is not written beside it; write a limit with its `match`",
                )
                continue
            arguments = _arguments(node)
            overrides = overrides and _constant(arguments.get("override_defaults")) is not False
            self._read_limit(source, kind, node, arguments, function.name, match)
        if match is not None and overrides:
            self._decorated += match

    def _read_limit(
        self,
        source: Source,
        kind: str,
        node: ast.Call,
        arguments: Mapping[str, ast.expr],
        name: str,
        match: list[str],
    ) -> None:
        place = source.place(node)
        rates = self._rates(source, arguments.get("limit_value"))
        per = self._per(source, arguments.get("key_func", self._default_key), node)
        if rates is None or per is None:
            return
        for setting in ("exempt_when", "error_message"):
            if setting in arguments:
                self._draft.note(source.place(arguments[setting]), f"{name}: {setting} is not carried over")
        methods = _constant(arguments.get("methods"))
        if isinstance(methods, list | tuple) and all(isinstance(method, str) for method in methods):
            path = match[0].rpartition(" ")[2]
            match = [f"{'|'.join(method.upper() for method in methods)} {path}"]
        if _constant(arguments.get("per_method")) is True and any("|" in pattern for pattern in match):
            self._draft.note(place, f"{name}: per_method: its methods count together here", is_lost=False)
        cost = _constant(arguments.get("cost", ast.Constant(1)))
        if not isinstance(cost, int):
            self._draft.note(
                place, f"{name}: its cost is computed; give it with `decide(costs=…)` or settle it"
            )
            cost = 1
        if kind != "shared_limit":
            per = [*per, *self._parameters(place, name, match)]
        limit = LimitDraft(place, name, per, rates, match, algorithm=self._algorithm, cost=cost)
        if kind != "shared_limit":
            self._draft.add(limit)
            return
        scope = _constant(arguments.get("scope"))
        if not isinstance(scope, str):
            self._draft.note(place, f"{name}: the scope of its shared limit is computed")
            return
        shared = self._shared.get((scope, rates, ",".join(per)))
        if shared is None:
            limit.name = scope
            self._shared[scope, rates, ",".join(per)] = limit
        else:
            shared.match = [*shared.match, *match]

    def _parameters(self, place: Place, name: str, match: Sequence[str]) -> list[str]:
        """Return the identities that tell the paths of one route apart, where each counts by itself."""
        if not self._counts_paths:
            return []
        if any(pattern.endswith("/*") for pattern in match):
            self._draft.note(
                place,
                f"{name}: slowapi counts each path by itself, here all below count together",
                is_lost=False,
            )
        parameters = dict.fromkeys(found for pattern in match for found in parameters_of(pattern))
        return [self._draft.identity(identity_name(one), f"path:{one}") for one in parameters]

    def _decorators(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, ast.expr]]:
        """Yield what a limiter says of a function: the kind, and the decorator."""
        for decorator in function.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if not isinstance(called, ast.Attribute) or called.attr not in (
                "limit",
                "shared_limit",
                "exempt",
            ):
                continue
            owner = ast.unparse(called.value).rpartition(".")[2]
            if owner not in self._limiters and "limiter" not in owner.lower():
                continue
            if called.attr == "exempt" or isinstance(decorator, ast.Call):
                yield called.attr, decorator

    def _rates(self, source: Source, node: ast.expr | None) -> str | None:
        """Return a text of rates; None, with a note, for one that only a run would tell."""
        value = _constant(node)
        if isinstance(value, str):
            return value
        if isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value):
            return "; ".join(value)
        if node is not None:
            self._draft.note(
                source.place(node),
                f"{ast.unparse(node)[:60]}: the limit is computed; write its rate, or tiers",
            )
        return None

    def _per(self, source: Source, key: ast.expr | None, node: ast.expr) -> list[str] | None:
        return self._keys.per(source.file, key, node)


def _limiters(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Yield the names that a module gives to limiters, with the calls that make them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            if ast.unparse(node.value.func).rpartition(".")[2] != "Limiter":
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield ast.unparse(target).rpartition(".")[2], node.value


def _arguments(call: ast.Call) -> dict[str, ast.expr]:
    """Return a decorator's arguments by name."""
    is_shared = isinstance(call.func, ast.Attribute) and call.func.attr == "shared_limit"
    names = ("limit_value", "scope", "key_func") if is_shared else _ARGUMENTS
    given = dict(zip(names, call.args, strict=False))
    return given | {word.arg: word.value for word in call.keywords if word.arg is not None}


def _constant(node: ast.expr | None) -> object:
    """Return what a literal says; None for anything else."""
    if node is None:
        return None
    try:
        value: object = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return value
