"""What a `key_func` counts by, read from its source text."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from ratelimit.cli.importing.draft import Place, PolicyDraft, identity_name

Function = ast.FunctionDef | ast.AsyncFunctionDef
_ADDRESS = ("get_remote_address", "get_ipaddr")
_LONGEST = 60


class Keys:
    """Finds the identities that key functions stand for.

    Args:
        draft: takes identities, and notes on functions that are not understood.
        functions: those of the application, by name.
    """

    def __init__(self, draft: PolicyDraft, functions: Mapping[str, Function]) -> None:
        self._draft = draft
        self._functions = functions

    def per(self, file: str, key: ast.expr | None, at: ast.expr) -> list[str] | None:
        """Return the identities of a key function; None, with a note, for one that is not understood."""
        place = Place(file, at.lineno)
        if key is None:
            self._draft.note(place, "no key_func: taken for the client's address", is_lost=False)
            return [self._draft.identity("ip", "client")]
        name = ast.unparse(key).rpartition(".")[2]
        if name in _ADDRESS:
            if name == "get_ipaddr":
                self._draft.note(
                    place,
                    "get_ipaddr believes X-Forwarded-For from any client: name your proxies under [trust]",
                    is_lost=False,
                )
            return [self._draft.identity("ip", "client")]
        body = key.body if isinstance(key, ast.Lambda) else _returned(self._functions.get(name))
        found = None if body is None else self._identity(body)
        if found is None:
            self._draft.note(
                place,
                f"{ast.unparse(key)[:_LONGEST]}: what it counts by is not told by its text; write an "
                "identity from header:, cookie:, state:, path: or resolver:",
            )
            return None
        return [found]

    def _identity(self, body: ast.expr) -> str | None:
        """Return the identity that an expression over a request reads."""
        if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.Or) and len(body.values) == 2:
            body, other = body.values
            if not (isinstance(other, ast.Call) and ast.unparse(other.func).rpartition(".")[2] in _ADDRESS):
                return None
        if isinstance(body, ast.Call) and isinstance(body.func, ast.Name) and body.func.id == "str":
            body = body.args[0] if body.args else body
        read = _subscripted(body)
        if read is not None:
            kind, name = read
            return self._draft.identity(identity_name(name.removeprefix("x-")), f"{kind}:{name}")
        text = ast.unparse(body)
        if text.endswith(".client.host"):
            return self._draft.identity("ip", "client")
        head, _, attribute = text.rpartition(".state.")
        if head and attribute.isidentifier():
            return self._draft.identity(identity_name(attribute), f"state:{attribute}")
        return None


def _returned(function: Function | None) -> ast.expr | None:
    """Return what a function of one statement, but for its docstring, returns."""
    if function is None:
        return None
    body = [
        node
        for node in function.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    last = body[0] if len(body) == 1 else None
    return last.value if isinstance(last, ast.Return) else None


def _subscripted(node: ast.expr) -> tuple[str, str] | None:
    """Return kind and name of a header, cookie or path parameter that is read; None for anything else."""
    name: ast.expr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
        if not node.args:
            return None
        owner, name = node.func.value, node.args[0]
    elif isinstance(node, ast.Subscript):
        owner, name = node.value, node.slice
    else:
        return None
    if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
        return None
    kind = {"headers": "header", "cookies": "cookie", "path_params": "path"}.get(
        ast.unparse(owner).rpartition(".")[2]
    )
    if kind is None:
        return None
    return kind, name.value.lower() if kind == "header" else name.value
