"""An act in words, and as data."""

from __future__ import annotations

from typing import Any

from ratelimit.inspection import formatting
from ratelimit.stores.acts.act import Act


def act_words(act: Act) -> str:
    """Return what an act says, and until when."""
    what = {
        "exempt": "exempt from limits per cluster; all other limits hold",
        "exempt-limits": f"exempt from all limits, by {act.identity}",
        "stop": f"stopped, by {act.identity}: every request is refused",
        "merge": "one actor",
        "split": "not one actor",
        "confirm": "its cluster is confirmed",
        "clear": "its cluster is cleared",
        "organisation": f"organisation {act.name}",
        "budget": f"budget of {act.identity}, {act.says}",
        "budget-more": f"budget of {act.identity}, {act.says}",
        "budget-back": f"budget of {act.identity}, {act.says}",
        "undo": f"act {act.undoes} is taken back",
    }[act.kind]
    if act.until_ns is None or act.kind in (
        "undo",
        "budget-back",
    ):  # what was given back stays until it is used
        return what
    return f"{what}, until {formatting.instant(act.until_ns)} UTC"


def act_json(act: Act) -> dict[str, Any]:
    """Return an act for machines."""
    return {
        "act": act.label,
        "kind": act.kind,
        "accounts": [f"{one:016x}" for one in act.accounts],
        "identity": act.identity or None,
        "payments": [f"{one:016x}" for one in act.payments],
        "name": act.name or None,
        "numbers": act.numbers,
        "says": act.says or None,
        "by": act.by,
        "at": formatting.iso(act.at_ns),
        "until": None if act.until_ns is None else formatting.iso(act.until_ns),
        "reason": act.reason,
        "undoes": act.undoes,
    }
