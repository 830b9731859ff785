"""An act in words, and as data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import structs

from ratelimit.inspection import formatting
from ratelimit.inspection.identities import short_hash
from ratelimit.stores.acts.act import Act, undos
from ratelimit.stores.acts.kinds import BY_KIND

SHOWN = 3
"""Hashes of one act in a line."""


def _named(kind: str, identity: str, hashes: Sequence[int], said: str, until_ns: int | None) -> str:
    """Return whom an act names, by the hashes that screens show; what it does, and until when."""
    shown = ", ".join(short_hash(one) for one in hashes[:SHOWN])
    more = f" and {len(hashes) - SHOWN:,} more" if len(hashes) > SHOWN else ""
    of = BY_KIND.get(kind)
    is_named = bool(hashes) and not (of is not None and of.is_of_several)
    whom = f"{identity or 'account'} {shown}{more} " if is_named else ""
    what = said or kind if of is None else of.brief.format(said=said)
    return _until(f"{whom}{what}", until_ns if of is None or of.lapses else None)


def _until(what: str, until_ns: int | None) -> str:
    return what if until_ns is None else f"{what}, until {formatting.instant(until_ns)} UTC"


def line_of(act: Act) -> str:
    """Return whom an act names, what it does, and until when, as the journal has it."""
    return _named(act.kind, act.identity, act.hashes, act.says or act.name, act.until_ns)


def event_words(fields: Mapping[str, Any]) -> str:
    """Return the same of an event about an act; of another release, what there is of it."""
    until = fields.get("until")
    return _named(
        str(fields["kind"]),
        str(fields.get("identity") or ""),
        [int(each, 16) for each in fields.get("of") or ()],
        str(fields.get("says") or ""),
        until * 10**9 if isinstance(until, int) else None,
    )


def ends_of(acts: Sequence[Act], held: Collection[str]) -> dict[str, str]:
    """Return how each act ended that is over: by an undo and whose, or by time; by the acts' labels.

    Args:
        acts: the log.
        held: the labels of those that are in force.
    """
    undone, found = undos(acts), {}
    for each in acts:
        undo = undone.get(each.identity_in_log) or undone.get((each.number, 0))
        if undo is not None:
            found[each.label] = f"undone by {undo.by}, {formatting.instant(undo.at_ns)} UTC"
        elif each.label not in held and not each.of.is_undo:
            found[each.label] = "lapsed" if each.until_ns else "over"
    return found


def ended_words(act: Act, end: str) -> str:
    """Return what an act that is over said, by whom, and how it ended, as `ends_of` has it."""
    is_early = end.startswith("undone")  # when it would have lapsed is no matter any more
    said = act_words(structs.replace(act, until_ns=None) if is_early else act)
    return f"{said}, by {act.by}; {end}"


def act_words(act: Act) -> str:
    """Return what an act says, and until when."""
    of, said = act.of, act.says or act.name or str(act.undoes or "")
    what = (of.sentence or of.brief).format(identity=act.identity, said=said)
    return _until(what, act.until_ns if of.lapses else None)


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
