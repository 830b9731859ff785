"""Spelling: the known word that was most likely meant by one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[object], cutoff: float = 0.6) -> str | None:
    """Return the known word that was most likely meant, None when none is near; numbers are no words."""
    words = [one for one in known if isinstance(one, str)]
    return next(iter(get_close_matches(word[:64], words, n=1, cutoff=cutoff)), None)


def did_you_mean(word: str, known: Iterable[object]) -> str:
    """Return "Did you mean `…`?" for the nearest known word, or nothing."""
    found = nearest(word, known)
    return "" if found is None else f"Did you mean `{found}`?"
