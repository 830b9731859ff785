"""The limiters of an application: what they are made with, and that they are used as decorators alone.

A setting that is not known is a loss with its line. So is a limiter that is used otherwise than as a
decorator of a function at the top of a module.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ratelimit.cli.importing.draft import PolicyDraft
from ratelimit.cli.importing.modules import Defined, Function, Module, Program, UnknownError

_MAKERS = {
    "slowapi.Limiter": "slowapi",
    "slowapi.extension.Limiter": "slowapi",
    "flask_limiter.Limiter": "flask_limiter",
    "flask_limiter.extension.Limiter": "flask_limiter",
}
_HARMLESS_NAMES = {
    "RateLimitExceeded", "_rate_limit_exceeded_handler", "SlowAPIMiddleware", "SlowAPIASGIMiddleware",
    "get_remote_address", "get_ipaddr", "Limiter",
}  # fmt: skip
_DECORATORS = ("limit", "shared_limit", "exempt")
_SETTINGS = {
    "key_func", "strategy", "key_style", "headers_enabled", "header_name_mapping", "storage_uri",
    "storage_options", "swallow_errors", "in_memory_fallback_enabled", "retry_after", "key_prefix",
    "fail_on_first_breach", "app", "enabled", "auto_check",
}  # fmt: skip
"""Those that are looked at by themselves, or change no decision."""
WHY = {
    "exempt_when": (
        "a policy does not run the application's code.",
        "Write [allow], or `except` for the route.",
    ),
    "deduct_when": (
        "a policy charges on arrival.",
        "Charge, and give back with `settle` in the application.",
    ),
    "meta_limits": ("a policy has no limit of refusals.", "Write `adaptive = true` for the limit."),
    "default_limits": (
        "each route counts them by itself there, and routes that are not in these files have them, too.",
        "Write a limit for each route.",
    ),
    "application_limits": (
        "they apply there only where nothing else does, and with the middleware alone.",
        "Write a limit with `except`.",
    ),
    "in_memory_fallback": ("these are other limits for an outage.", "Write on_store_error for each limit."),
    "enabled": ("whether it limits at all only a run would tell.", ""),
    "auto_check": ("when it counts only a run would tell.", ""),
    "config_filename": ("its settings are in another file.", "Write them into the call."),
}
_SETTING = "RATELIMIT_"
OTHER = ("it may change which requests are limited.", "")


@dataclass(slots=True)
class LimiterMade:
    """One `Limiter(…)`."""

    defined: Defined
    kind: str
    call: ast.Call
    key: ast.expr | None = None
    algorithm: str = "sliding-log"
    """What a policy has for its strategy."""
    counts_paths: bool = True
    """True if each path counts by itself; else each function."""


class Limiters:
    """Finds limiters and their uses.

    Args:
        draft: takes what is not understood.
        program: the application.
    """

    def __init__(self, draft: PolicyDraft, program: Program) -> None:
        self._draft = draft
        self._program = program
        self.found: dict[Defined, LimiterMade] = {}
        """More than one is a loss."""
        self._understood: set[int] = set()
        """Nodes by which a limiter is used as it should be."""
        for module in program.modules:
            for name, value in module.values.items():
                origin = program.origin(module, value.func) if isinstance(value, ast.Call) else None
                if isinstance(origin, str) and origin in _MAKERS and isinstance(value, ast.Call):
                    self._read_limiter(Defined(module, name), _MAKERS[origin], value)
        self._find_decorators()
        for module in program.modules:
            self._look_at_uses(module)

    def decorators(
        self, module: Module, function: Function
    ) -> Iterator[tuple[int, str, ast.expr, LimiterMade]]:
        """Yield what limiters say of a function: its place among the decorators, its kind, the decorator."""
        for at, decorator in enumerate(function.decorator_list):
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(called, ast.Attribute) and id(called.value) in self._understood:
                limiter = self.of(module, called.value)
                if limiter is not None:
                    yield at, called.attr, decorator, limiter

    def of(self, module: Module, node: ast.expr) -> LimiterMade | None:
        """Return the limiter that an expression is; None for anything else."""
        defined = self._program.origin(module, node)
        return self.found.get(defined) if isinstance(defined, Defined) else None

    def _lose(self, module: Module, node: ast.expr | ast.stmt, why: str, instead: str = "") -> None:
        self._draft.lose(module.place(node), ast.unparse(node).partition("\n")[0], why, instead)

    def _read_limiter(self, defined: Defined, kind: str, call: ast.Call) -> None:
        module = defined.module
        self._draft.is_wsgi = kind == "flask_limiter"
        limiter = LimiterMade(defined, kind, call, counts_paths=kind == "slowapi")
        if self.found:
            self._lose(module, call, "it is a second limiter, and a policy is one.", "Import each by itself.")
        self.found[defined] = limiter
        settings = {word.arg: word.value for word in call.keywords if word.arg is not None}
        if call.args:
            settings.setdefault("key_func", call.args[0])
        if len(call.args) > 1 or any(word.arg is None for word in call.keywords):
            self._lose(module, call, "it has arguments without names.", "Name them.")
        limiter.key = settings.get("key_func")
        for name, value in settings.items():
            if name not in _SETTINGS and not self.is_empty(module, value):
                why, instead = WHY.get(name, OTHER)
                self._draft.lose(module.place(value), f"{name}={ast.unparse(value)}", why, instead)
        for name in ("enabled", "auto_check"):
            if name in settings and self._constant(module, settings[name]) is not True:
                why, instead = WHY[name]
                self._draft.lose(
                    module.place(settings[name]), f"{name}={ast.unparse(settings[name])}", why, instead
                )
        if "headers_enabled" in settings:
            self._draft.has_headers = self._constant(module, settings["headers_enabled"]) is True
        style = self._constant(module, settings["key_style"]) if "key_style" in settings else "url"
        if style not in ("url", "endpoint"):
            self._lose(
                module, settings["key_style"], "whether it counts paths or functions only a run would tell."
            )
        limiter.counts_paths = kind == "slowapi" and style != "endpoint"
        self._read_strategy(limiter, settings.get("strategy"))

    def _read_strategy(self, limiter: LimiterMade, node: ast.expr | None) -> None:
        module = limiter.defined.module
        strategy = "fixed-window" if node is None else self._constant(module, node)
        if strategy == "moving-window":
            return
        instead = (
            'Write strategy="moving-window", or keep the decorators and write '
            'storage_uri="kinlimit+shared://NAME" (docs/moving-in.md).'
        )
        if strategy == "fixed-window":
            why = (
                "a window begins there with a caller's first request, and a policy has no such window. With "
                "--partial a sliding log stands in: never more than there, and less at a window's edge."
            )
        elif strategy == "sliding-window-counter":
            limiter.algorithm = "sliding-window"
            why = (
                "it rounds its estimate down there, and a policy does not. With --partial a sliding window "
                "stands in, which may refuse a request that has not quite one request of room."
            )
        else:
            why = "there is no such strategy, or it is known only in a run."
        self._lose(module, limiter.call if node is None else node, why, instead)

    def _constant(self, module: Module, node: ast.expr) -> object:
        try:
            return self._program.constant(module, node)
        except UnknownError:
            return None

    def is_empty(self, module: Module, node: ast.expr) -> bool:
        """Return whether a setting says nothing."""
        try:
            return self._program.constant(module, node) in ([], None, False, "")
        except UnknownError:
            return False

    def _find_decorators(self) -> None:
        """Note the uses of limiters as decorators of functions at the top of a module."""
        for module in self._program.modules:
            for node in module.tree.body:
                for decorator in node.decorator_list if isinstance(node, Function) else ():
                    called = decorator.func if isinstance(decorator, ast.Call) else decorator
                    if isinstance(called, ast.Attribute) and called.attr in _DECORATORS:
                        is_call = isinstance(decorator, ast.Call)
                        if self.of(module, called.value) and is_call == (called.attr != "exempt"):
                            self._understood.add(id(called.value))

    def _look_at_uses(self, module: Module) -> None:
        """Say where a limiter is used in a way that is not understood."""
        inner = set()
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith(".state.limiter"):
                self._understood.add(id(node.value))
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "init_app":
                self._understood.add(id(getattr(node.func, "value", None)))
            if isinstance(node, ast.Attribute):
                inner.add(id(node.value))
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                self._lose(module, node, "what it brings may stand for anything.", "Import by name.")
            elif isinstance(node, ast.expr) and _is_setting(node):
                self._lose(module, node, "it is a setting of the limiter that is made elsewhere.")
            elif isinstance(node, Function):
                self._look_at_decorators(module, node)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                self._look_at_name(module, node, is_inner=id(node) in inner)
            if isinstance(node, ast.Call):
                origin = self._program.origin(module, node.func)
                made = [limiter.call for limiter in self.found.values()]
                if isinstance(origin, str) and origin in _MAKERS and all(node is not one for one in made):
                    self._lose(module, node, "it is made where only a run would tell whether it is.")

    def _look_at_name(self, module: Module, node: ast.Name | ast.Attribute, *, is_inner: bool) -> None:
        origin = self._program.origin(module, node)
        if isinstance(origin, Defined):
            if origin in self.found and id(node) not in self._understood:
                self._lose(
                    module, node, "the limiter is used in a way that is not read.", "Use it as a decorator."
                )
        elif isinstance(origin, str) and not is_inner:
            package, _, rest = origin.partition(".")
            if package in ("slowapi", "flask_limiter") and rest.rpartition(".")[2] not in _HARMLESS_NAMES:
                self._lose(module, node, "what it does is not read.")

    def _look_at_decorators(self, module: Module, function: Function) -> None:
        """Say which decorators look like a limiter's and are none that is known."""
        for decorator in function.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if not isinstance(called, ast.Attribute) or called.attr not in _DECORATORS:
                continue
            if id(called.value) not in self._understood and self.of(module, called.value) is None:
                self._lose(
                    module, decorator, "its limiter is made in none of these files, or by more than one line."
                )


def _is_setting(node: ast.AST) -> bool:
    """Return whether a text or a name is that of a limiter's setting in an application's configuration."""
    name = node.value if isinstance(node, ast.Constant) else node.id if isinstance(node, ast.Name) else ""
    if isinstance(node, ast.Call):
        name = next((word.arg for word in node.keywords if (word.arg or "").startswith(_SETTING)), "")
    return isinstance(name, str) and name.startswith(_SETTING)
