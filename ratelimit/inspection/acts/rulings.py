"""Rulings of operators in words that come before what was found: what is ruled, by whom, and how long ago."""

from __future__ import annotations

from collections.abc import Iterable, Set

from ratelimit.inspection import formatting
from ratelimit.stores.acts.act import Act

RULED = {
    "allowed": "exempted from all limits",
    "denied": "stopped",
    "exempt": "exempted",
    "confirm": "confirmed",
    "clear": "cleared",
    "together": "merged with others",
    "apart": "split from others",
}
"""By what an act in force rules, its word."""


def ruled_words(ruling: str | None, acts: Iterable[Act], keys: Set[int], now_ns: int) -> str:
    """Return what is ruled, such as "confirmed by ann, 3 min ago"; empty where nothing is.

    Args:
        ruling: a key of `RULED`; None for none.
        acts: those in force, in order. Of several that rule the same the latest is told.
        keys: the accounts that it is about: one, or all of an actor.
        now_ns: the time.
    """
    if ruling is None:
        return ""
    named = [act for act in acts if act.of.effect == ruling and not keys.isdisjoint(act.accounts)]
    if not named:  # by the policy file, or by an act that this host does not know
        return f"{RULED[ruling]} by the operator"
    return f"{RULED[ruling]} by {named[-1].by}, {formatting.ago(now_ns - named[-1].at_ns)}"
