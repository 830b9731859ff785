"""The JSON Schema of the policy file, generated from the types it is bound to."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from ratelimit.policy.schema.model import PolicyFile
from ratelimit.policy.schema.tuning import Tuning

TITLE = "ratelimit policy, version 1"
TUNING_TITLE = "numbers that tune, for the file that a policy's `tuning` names"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a policy."""
    (root,), components = msgspec.json.schema_components([PolicyFile], ref_template="#/$defs/{name}")
    found: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        **root,
        "$defs": components,
    }
    _without_null(found)
    # They stand in a file of their own, which has a schema of its own.
    del components[Tuning.__name__]
    tuning = components[PolicyFile.__name__]["properties"]["tuning"]
    del tuning["$ref"]
    tuning["type"] = "string"
    return found


def tuning_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a file of tuning."""
    (_,), components = msgspec.json.schema_components([Tuning], ref_template="#/$defs/{name}")
    _without_null(components)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **components[Tuning.__name__],
        "title": TUNING_TITLE,
    }


def render() -> str:
    """Return the schema as the text that is published."""
    return _text(schema())


def render_tuning() -> str:
    """Return the schema of a file of tuning, likewise."""
    return _text(tuning_schema())


def _text(found: dict[str, Any]) -> str:
    return json.dumps(_numbered(found), indent=2, ensure_ascii=False) + "\n"


def _numbered(node: Any) -> Any:
    """Return the node with each whole number in one form, `1` and never `1.0`.

    Two annotations that differ in the form alone are equal, and `typing` keeps either for both.
    """
    if isinstance(node, dict):
        return {name: _numbered(value) for name, value in node.items()}
    if isinstance(node, list):
        return [_numbered(value) for value in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


def _without_null(node: Any) -> None:
    """Drop null, in place: TOML has none, and a key may be left out instead."""
    if isinstance(node, list):
        for item in node:
            _without_null(item)
    if not isinstance(node, dict):
        return
    for value in node.values():
        _without_null(value)
    if node.get("default", ...) is None or "$ref" in node:
        # The default of a table is that of its keys.
        node.pop("default", None)
    if "enum" in node and None in node["enum"]:
        node["enum"] = [word for word in node["enum"] if word is not None]
    if "anyOf" in node:
        members = [member for member in node["anyOf"] if member != {"type": "null"}]
        if len(members) == 1:
            del node["anyOf"]
            node.update(members[0] | node)
        else:
            node["anyOf"] = members
