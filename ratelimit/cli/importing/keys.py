"""The meaning of a `key_func`, read from its text.

The client's address is carried exactly. So is a text that is always the same, and a field that has to be
there, as `request.headers["x-api-key"]`. Anything else is a loss.
"""

from __future__ import annotations

import ast

from ratelimit.cli.importing.draft import PolicyDraft, identity_name
from ratelimit.cli.importing.modules import Function, Module, Program, UnknownError

ADDRESS = ("slowapi.util.get_remote_address", "flask_limiter.util.get_remote_address")
_FORGEABLE = ("slowapi.util.get_ipaddr", "flask_limiter.util.get_ipaddr")
_SOURCES = {"headers": "header", "cookies": "cookie", "path_params": "path", "view_args": "path"}
_WITHOUT_IT = (
    "a request without it is not limited there; one that spells it oddly counts here by its address."
)
ODD = (
    "A header or cookie that is missing or malformed (twice there, no visible ASCII, above 4096 bytes) is "
    "refused (403). There a missing one fails, an empty one is not limited, others count as they are spelled."
)


class Keys:
    """Finds the identities that key functions stand for.

    Args:
        draft: takes identities, and says what is not understood.
        program: the application.
    """

    def __init__(self, draft: PolicyDraft, program: Program) -> None:
        self._draft = draft
        self._program = program

    def per(self, module: Module, key: ast.expr | None, at: ast.expr) -> list[str] | None:
        """Return the identities of a key function; None, with a loss, for one that is not understood."""
        if key is None:
            self._draft.lose(module.place(at), ast.unparse(at), "there is no key_func.")
            return None
        defined = self._program.origin(module, key)
        if isinstance(defined, str) and defined in ADDRESS:
            return [self._draft.address("shared")]
        if isinstance(defined, str) and defined in _FORGEABLE:
            self._lose(
                module,
                key,
                "it believes a header that any client can write.",
                "Write get_remote_address, and name your proxies in `proxies`.",
            )
            return [self._draft.address("shared")]
        function = self._program.function(defined)
        if isinstance(key, ast.Lambda):
            found = self._of(module, key.body, key.args, key)
        elif function is not None and not function.decorator_list:
            assert not isinstance(defined, str | None)
            body = _returned(function)
            found = None if body is None else self._of(defined.module, body, function.args, key)
        else:
            found = None
        if found is None:
            self._lose(
                module,
                key,
                "its text does not tell what it counts by.",
                "Write an identity from header:, cookie:, state:, path: or resolver:.",
            )
        return found

    def _lose(self, module: Module, node: ast.expr, why: str, instead: str = "") -> None:
        self._draft.lose(module.place(node), ast.unparse(node), why, instead)

    def _of(self, module: Module, body: ast.expr, takes: ast.arguments, key: ast.expr) -> list[str] | None:
        """Return the identities that an expression over a request reads."""
        named = [each.arg for each in (*takes.posonlyargs, *takes.args, *takes.kwonlyargs)]
        if takes.vararg or takes.kwarg or takes.defaults or named not in ([], ["request"]):
            return None
        try:
            constant = self._program.constant(module, body)
        except UnknownError:
            pass
        else:
            # An empty key limits nothing there.
            return [] if isinstance(constant, str) and constant else None
        if not named and self._program.origin(module, ast.Name("request", ast.Load())) != "flask.request":
            return None
        if isinstance(body, ast.Call) and self._program.origin(module, body.func) in ADDRESS:
            return [self._draft.address("shared")]
        text = ast.unparse(body)
        if text == "request.client.host":
            return [self._draft.address("refuse")]
        if text == "request.remote_addr":
            return [self._draft.address("skip")]
        return self._read(module, body, key)

    def _read(self, module: Module, body: ast.expr, key: ast.expr) -> list[str] | None:
        """Return the identity of one field that is read, with a loss where it may be missing."""
        found = _subscripted(body)
        if found is not None:
            kind, name = found
            if kind == "header" and name in ("authorization", "proxy-authorization"):
                self._lose(module, key, "of this header a policy counts the credential, without its scheme.")
            if kind == "path":
                return [self._draft.identity(identity_name(name), f"path:{name}")]
            self._draft.remark(ODD)
            return [self._field(kind, name, "refuse")]
        missing = "skip"
        if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.Or) and len(body.values) == 2:
            body, other = body.values
            is_address = isinstance(other, ast.Call) and self._program.origin(module, other.func) in ADDRESS
            if not is_address:
                return None
            missing = "client"
        if not (
            isinstance(body, ast.Call) and isinstance(body.func, ast.Attribute) and body.func.attr == "get"
        ):
            head, _, attribute = ast.unparse(body).rpartition(".")
            if head == "request.state" and missing == "skip":
                self._lose(module, key, "when it is set, and whether at all, only a run would tell.")
                return [self._draft.identity(identity_name(attribute), f"state:{attribute}")]
            return None
        if not body.args or body.keywords:
            return None
        found = _subscripted(ast.Subscript(body.func.value, body.args[0], ast.Load()))
        if found is None or found[0] == "path":
            return None
        if len(body.args) > 1:
            missing = "shared"
        why = {
            "skip": _WITHOUT_IT,
            "shared": "what is missing has a key of its own there; what is spelled oddly shares it here.",
            "client": "what is spelled oddly counts here by its address, and there by that spelling.",
        }[missing]
        self._lose(
            module,
            key,
            why,
            f'Write request.{ast.unparse(body.func.value).rpartition(".")[2]}["{found[1]}"].',
        )
        return [self._field(*found, missing)]

    def _field(self, kind: str, name: str, missing: str) -> str:
        settings = f', missing = "{missing}"'
        return self._draft.identity(identity_name(name.removeprefix("x-")), f"{kind}:{name}", settings)


def _returned(function: Function) -> ast.expr | None:
    """Return what a function of one statement, but for its docstring, returns."""
    body = [
        node
        for node in function.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    last = body[0] if len(body) == 1 and isinstance(function, ast.FunctionDef) else None
    return last.value if isinstance(last, ast.Return) else None


def _subscripted(node: ast.expr) -> tuple[str, str] | None:
    """Return kind and name of a header, cookie or path parameter that is read; None for anything else."""
    if not isinstance(node, ast.Subscript):
        return None
    owner, name = node.value, node.slice
    if not (isinstance(name, ast.Constant) and isinstance(name.value, str) and name.value):
        return None
    if not (isinstance(owner, ast.Attribute) and ast.unparse(owner.value) == "request"):
        return None
    kind = _SOURCES.get(owner.attr)
    if kind is None:
        return None
    return kind, name.value.lower() if kind == "header" else name.value
