"""A quantile of few numbers."""

from __future__ import annotations

from collections.abc import Iterable


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value that `share` of them do not exceed, between neighbours by their distance.

    Raises:
        ValueError: there are none.
    """
    ranked = sorted(values)
    if not ranked:
        raise ValueError("no values")
    place = share * (len(ranked) - 1)
    below = int(place)
    if below + 1 >= len(ranked):
        return ranked[-1]
    return ranked[below] + (ranked[below + 1] - ranked[below]) * (place - below)
