"""slowapi's and Flask-Limiter's decorators as limits: read from the source text, which is never run.

A decorated function is a route; what its framework's decorator says of path and methods is what the limit
matches. What is not understood for certain is a loss with its line.

How they count, and what of that a policy has:

- A moving window is a sliding log: the same decisions. A fixed window begins there with a key's first
  request, and in a policy at full minutes; a sliding window rounds its estimate down there.
- Limits of one request are charged one after another there, the first ones also where a later one refuses;
  here all or none. So two limits on one request are a loss.
- slowapi counts by key, path and rate: two functions of one path and one rate share a counter. With
  `key_style="endpoint"`, and in Flask-Limiter, it is key, function and rate.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from ratelimit.cli.importing.counters import Counters, DecoratorLimit
from ratelimit.cli.importing.draft import LimitDraft, Place, PolicyDraft
from ratelimit.cli.importing.keys import Keys
from ratelimit.cli.importing.limiters import OTHER, WHY, LimiterMade, Limiters
from ratelimit.cli.importing.modules import Defined, Function, Module, Program, UnknownError
from ratelimit.cli.importing.routes import Route, Routes, patterns_of_all
from ratelimit.policy.schema.rate import Rate, RateSyntaxError, parse_rates

_LIMIT_ARGUMENTS = {
    "slowapi": {
        "limit": ("limit_value", "key_func", "per_method", "methods", "error_message", "exempt_when", "cost"),
        "shared_limit": ("limit_value", "scope", "key_func", "error_message", "exempt_when", "cost"),
    },
    "flask_limiter": {"limit": ("limit_value",), "shared_limit": ("limit_value", "scope")},
}
_UNDERSTOOD = {
    "limit_value", "scope", "key_func", "per_method", "methods", "error_message", "cost",
    "override_defaults",
}  # fmt: skip
_MOST_ROUTES = 1_000
KNOWN = (
    "A request that the application answers before its function is called counts here: a redirect, a path in "
    "another spelling, what a middleware refuses. So nothing is admitted that is not admitted there.",
    "Settings from the environment, as RATELIMIT_ENABLED, and from configuration files are not read.",
    "A request exactly one window after another is admitted here, and there a clock's tick later.",
)


def read_decorators(texts: Sequence[tuple[str, str]], draft: PolicyDraft) -> None:
    """Add the limits of an application's modules to a draft.

    Args:
        texts: names and texts of the files of one application.
        draft: what grows.

    Raises:
        ValueError: a file is no Python, or none of them has a limiter.
    """
    program = Program(texts)
    limiters = Limiters(draft, program)
    if limiters.found:
        _Reader(program, draft, limiters).read()
    elif not draft.losses:
        raise ValueError("no limit of slowapi or Flask-Limiter in it: no Limiter(…) and no @limiter.limit(…)")


class _Reader:
    """Walks the modules of one application."""

    def __init__(self, program: Program, draft: PolicyDraft, limiters: Limiters) -> None:
        self._program = program
        self._draft = draft
        self._limiters = limiters
        self._keys = Keys(draft, program)
        self._routes = Routes(draft, program)
        self._counters = Counters(draft, self._routes)

    def read(self) -> None:
        """Add all that is found, and say what is not understood."""
        self._routes.read()
        if len(self._routes.all) > _MOST_ROUTES:
            raise ValueError(f"more than {_MOST_ROUTES} routes")
        self._draft.has_exact_case = True
        for module in self._program.modules:
            self._read_module(module)
        self._look_at_calls()
        self._counters.add_limits()
        self._read_defaults()
        for remark in KNOWN:
            self._draft.remark(remark)

    def _constant(self, module: Module, node: ast.expr) -> object:
        try:
            return self._program.constant(module, node)
        except UnknownError:
            return None

    def _lose(self, module: Module, node: ast.expr, why: str, instead: str = "") -> None:
        self._draft.lose(module.place(node), ast.unparse(node), why, instead)

    def _read_module(self, module: Module) -> None:
        limited: dict[str, Function] = {}
        for node in module.tree.body:
            if not isinstance(node, Function):
                continue
            decorators = list(self._limiters.decorators(module, node))
            if not decorators:
                continue
            if node.name in limited:
                why = "an earlier function has its name, and the limiter adds up the limits of both."
                self._draft.lose(module.place(node), f"def {node.name}", why, "Rename one.")
            limited[node.name] = node
            if node.name == "static" and decorators[0][3].kind == "flask_limiter":
                self._draft.lose(
                    module.place(node), "def static", "Flask-Limiter never limits what has this name."
                )
            self._read_function(module, node, decorators)

    def _look_at_calls(self) -> None:
        """Say where a limited function is called by another, and is limited then as well."""
        for module in self._program.modules:
            for node in ast.walk(module.tree):
                if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
                    continue
                defined = self._program.origin(module, node)
                function = self._program.function(defined)
                if function is None or not isinstance(defined, Defined):
                    continue
                if any(self._limiters.decorators(defined.module, function)):
                    self._lose(
                        module, node, "it counts there also where it is called otherwise than by a request."
                    )

    def _read_function(
        self, module: Module, function: Function, decorators: Sequence[tuple[int, str, ast.expr, LimiterMade]]
    ) -> None:
        if any(kind == "exempt" for _, kind, _, _ in decorators):
            return  # then its other limits do not apply either
        routes = self._routes.of(function)
        places = {at for at, _, _, _ in decorators}
        for at, decorator in enumerate(function.decorator_list):
            if at in places:
                continue
            if not self._routes.is_route(module, decorator):
                self._lose(
                    module, decorator, "it stands beside the limit, and only a run would tell which is first."
                )
            elif at > min(places):
                why = "the limit above it is asked for no request: the route is the function below."
                self._lose(module, decorator, why, "Put the route's decorator first.")
        if not routes:
            place = module.place(decorators[0][2])
            why = "its route is not written beside it."
            self._draft.lose(place, function.name, why, "Write a limit with its `match`.")
            return
        asked: list[DecoratorLimit] = []
        for _, kind, decorator, limiter in decorators:
            assert isinstance(decorator, ast.Call)  # see _find_decorators
            asked += self._read_limit(module, kind, decorator, limiter)
        for further in asked[1:]:
            self._draft.lose(
                further.place,
                str(further.rate),
                f"{function.name} has another limit as well. There it is charged also where the other "
                "refuses, and a policy charges all limits together.",
            )
        limiter = decorators[0][3]
        self._look_at_parameters(module, function, routes, limiter)
        for each in asked:
            self._counters.count(module, function, routes, each, limiter)

    def _look_at_parameters(
        self, module: Module, function: Function, routes: Sequence[Route], limiter: LimiterMade
    ) -> None:
        """Say which requests the framework refuses before they are counted there."""
        takes = function.args
        path = {name for route in routes for name, _ in route.template.parameters}
        if limiter.kind != "slowapi":
            return
        for each in (*takes.posonlyargs, *takes.args, *takes.kwonlyargs, takes.vararg, takes.kwarg):
            if each is None or each.arg in ("request", "response", "background_tasks"):
                continue
            is_text = each.annotation is None or ast.unparse(each.annotation) == "str"
            if each.arg in path and (limiter.counts_paths or is_text):
                continue
            why = "requests that do not fit it are answered 422 there, uncounted; here they count."
            self._draft.lose(module.place(each), f"{function.name}({each.arg})", why)
        for route in routes:
            for word in route.decorator.keywords:
                if word.arg in ("dependencies", None):
                    why = "requests that a dependency refuses are not counted there, and here they are."
                    self._draft.lose(module.place(word.value), f"dependencies of {function.name}", why)
                elif word.arg in ("endpoint", "defaults", "subdomain", "host"):
                    why = "it may change which requests there are."
                    self._draft.lose(module.place(word.value), f"{word.arg}={ast.unparse(word.value)}", why)

    def _read_limit(
        self, module: Module, kind: str, decorator: ast.Call, limiter: LimiterMade
    ) -> list[DecoratorLimit]:
        arguments = self._arguments(module, kind, decorator, limiter)
        for setting, value in arguments.items():
            if setting not in _UNDERSTOOD:
                why, instead = WHY.get(setting, OTHER)
                self._draft.lose(module.place(value), f"{setting}={ast.unparse(value)}", why, instead)
        rates = self._rates(module, arguments.get("limit_value"), decorator)
        key = arguments.get("key_func")
        at = limiter.defined.module if key is None else module
        per = self._keys.per(at, limiter.key if key is None else key, decorator)
        methods = self._methods(module, arguments.get("methods"))
        cost = self._cost(module, arguments.get("cost"))
        scope = self._scope(module, kind, arguments.get("scope"))
        per_method = self._flag(module, arguments.get("per_method"))
        if per is None or (kind == "shared_limit" and scope is None):
            return []
        place = module.place(decorator)
        return [DecoratorLimit(place, rate, per, scope, methods, per_method, cost) for rate in rates]

    def _arguments(
        self, module: Module, kind: str, decorator: ast.Call, limiter: LimiterMade
    ) -> Mapping[str, ast.expr]:
        names = _LIMIT_ARGUMENTS[limiter.kind][kind]
        if (
            len(decorator.args) > len(names)
            or any(word.arg is None for word in decorator.keywords)
            or any(isinstance(argument, ast.Starred) for argument in decorator.args)
        ):
            self._lose(module, decorator, "which arguments it has only a run would tell.", "Name them.")
        given = dict(zip(names, decorator.args, strict=False))
        return given | {word.arg: word.value for word in decorator.keywords if word.arg is not None}

    def _rates(self, module: Module, node: ast.expr | None, at: ast.expr) -> tuple[Rate, ...]:
        value = None if node is None else self._constant(module, node)
        return self._rates_of(module, value, at if node is None else node)

    def _rates_of(self, module: Module, value: object, node: ast.expr) -> tuple[Rate, ...]:
        if not isinstance(value, str):
            self._lose(module, node, "the rate is known only in a run.", "Write the rate, or tiers.")
            return ()
        try:
            rates = parse_rates(value, as_limits_does=True)
        except RateSyntaxError as error:
            self._lose(module, node, f"{error}, and the limiter leaves its route without a limit.")
            return ()
        for rate in rates:
            if rate.unit == "week":
                self._lose(module, node, "the limiter has no weeks, and leaves its route without a limit.")
            elif rate.amount == 0:
                self._lose(
                    module, node, "it refuses always, and a limit lets something pass.", "Write [deny]."
                )
        return tuple(rate for rate in rates if rate.unit != "week" and rate.amount > 0)

    def _methods(self, module: Module, node: ast.expr | None) -> frozenset[str] | None:
        if node is None:
            return None
        value = self._constant(module, node)
        if value is None and isinstance(node, ast.Constant):
            return None
        if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            self._lose(
                module, node, "which methods it means only a run would tell.", "Write a list of texts."
            )
            return None
        return frozenset(str(each).upper() for each in value)

    def _cost(self, module: Module, node: ast.expr | None) -> int:
        value = 1 if node is None else self._constant(module, node)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            assert node is not None
            self._lose(
                module,
                node,
                "it is no whole number above 0.",
                "Give it with `decide(costs=…)`, or settle it.",
            )
            return 1
        return value

    def _scope(self, module: Module, kind: str, node: ast.expr | None) -> str | None:
        if kind != "shared_limit":
            if node is not None:
                self._lose(
                    module, node, "a scope of its own counts beside the function's.", "Use shared_limit."
                )
            return None
        value = None if node is None else self._constant(module, node)
        # Scopes, paths and functions are one space of names there.
        if isinstance(value, str) and value and not any(mark in value for mark in "./:"):
            return value
        at = "scope" if node is None else ast.unparse(node)
        place = Place(module.file, node.lineno) if node is not None else Place(module.file, 1)
        self._draft.lose(place, at, "it is no text, or one that may be a path's or a function's.")
        return None

    def _flag(self, module: Module, node: ast.expr | None) -> bool:
        value = False if node is None else self._constant(module, node)
        if not isinstance(value, bool):
            assert node is not None
            self._lose(module, node, "whether it is so only a run would tell.")
        return value is True

    # What applies to the rest: losses already, see `limiters`.

    def _read_defaults(self) -> None:
        limited = [
            route
            for route in self._routes.all
            if any(self._limiters.decorators(route.module, route.function))
        ]
        others = [route for route in self._routes.all if route not in limited]
        for limiter in self._limiters.found.values():
            module = limiter.defined.module
            for word in limiter.call.keywords:
                if word.arg not in ("default_limits", "application_limits"):
                    continue
                if self._limiters.is_empty(module, word.value):
                    continue
                value = self._constant(module, word.value)
                texts = value if isinstance(value, list) else [value]
                per = self._keys.per(module, limiter.key, limiter.call) or []
                for rate in (rate for text in texts for rate in self._rates_of(module, text, word.value)):
                    place = module.place(word.value)
                    if word.arg == "default_limits":
                        self._counters.add_default(place, rate, per, others, limiter)
                    else:
                        excepted = patterns_of_all([(route.template, route.methods) for route in limited])[0]
                        made = LimitDraft(place, "application", per, str(rate), [], excepted)
                        made.algorithm = limiter.algorithm
                        self._draft.add(made)
