"""An act in words, and as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ratelimit.inspection import formatting
from ratelimit.inspection.identities import short_hash
from ratelimit.stores.acts.act import Act

SHOWN = 3
"""Hashes of one act in a line."""
_WORDS: Mapping[str, str] = {
    "exempt": "exempt from limits per actor",
    "exempt-limits": "exempt from all limits",
    "stop": "stopped",
    "merge": "one actor",
    "split": "not one actor",
    "confirm": "actor confirmed",
    "clear": "actor cleared",
}


def named_words(kind: str, identity: str, hashes: Sequence[int], says: str, until_ns: int | None) -> str:
    """Return whom an act names, by the hashes that screens show; what it does, and until when."""
    shown = ", ".join(short_hash(one) for one in hashes[:SHOWN])
    more = f" and {len(hashes) - SHOWN:,} more" if len(hashes) > SHOWN else ""
    whom = f"{identity or 'account'} {shown}{more} " if hashes else ""
    if kind == "organisation":  # its hashes are of payment methods, networks and accounts
        whom = "organisation "
    what = f"{whom}{_WORDS.get(kind, says or kind)}"
    if until_ns is None or kind == "budget-back":  # what was given back stays until it is used
        return what
    return f"{what}, until {formatting.instant(until_ns)} UTC"


def line_of(act: Act) -> str:
    """Return the same of an act."""
    says = {"organisation": act.name, "undo": ""}.get(act.kind, act.says)
    return named_words(act.kind, act.identity, act.hashes, says, act.until_ns)


def event_words(fields: Mapping[str, Any]) -> str:
    """Return the same of an event about an act; of another release, what there is of it."""
    until = fields.get("until")
    return named_words(
        str(fields["kind"]),
        str(fields.get("identity") or ""),
        [int(each, 16) for each in fields.get("of") or ()],
        str(fields.get("says") or ""),
        until * 10**9 if isinstance(until, int) else None,
    )


def act_words(act: Act) -> str:
    """Return what an act says, and until when."""
    what = {
        "exempt": "exempt from limits per actor; all other limits hold",
        "exempt-limits": f"exempt from all limits, by {act.identity}",
        "stop": f"stopped, by {act.identity}: every request is refused",
        "merge": "one actor",
        "split": "not one actor",
        "confirm": "its actor is confirmed",
        "clear": "its actor is cleared",
        "organisation": f"organisation {act.name}",
        "budget": f"budget of {act.identity}, {act.says}",
        "budget-more": f"budget of {act.identity}, {act.says}",
        "budget-back": f"budget of {act.identity}, {act.says}",
        "undo": f"act {act.says or act.undoes} is taken back",
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
        "networks": [f"{one:016x}" for one in act.networks],
        "name": act.name or None,
        "numbers": act.numbers,
        "says": act.says or None,
        "by": act.by,
        "at": formatting.iso(act.at_ns),
        "until": None if act.until_ns is None else formatting.iso(act.until_ns),
        "reason": act.reason,
        "undoes": None if act.undoes is None else act.says or str(act.undoes),
    }
