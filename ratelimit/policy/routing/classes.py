"""Which class of the adaptive limit a request is of."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.policy.compile.adaptive import ClassSpec
from ratelimit.policy.routing.pattern import Pattern


def rank_of(classes: Sequence[ClassSpec], method: str, path: str) -> int:
    """Return the position of the first class that matches, of the last where none does; 0 without any.

    A path is compared as routers that ignore empty segments read it. What a spelling gains by
    another reading is a lower class: the patterns name what goes last, and the rest goes first.
    """
    segments = [segment for segment in path.split("/") if segment]
    for rank, one in enumerate(classes):
        if any(_covers(pattern, method, segments) for pattern in one.patterns):
            return rank
    return max(0, len(classes) - 1)


def _covers(pattern: Pattern, method: str, segments: Sequence[str]) -> bool:
    if pattern.methods is not None and method not in pattern.methods:
        return False
    wanted = pattern.segments
    if len(segments) < len(wanted) or (len(segments) > len(wanted) and not pattern.rest):
        return False
    return all(part is None or part == segment for part, segment in zip(wanted, segments, strict=False))
