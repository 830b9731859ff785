"""Which class a request is of: of the limit that follows the load, or of those that wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ratelimit.policy.compile.adaptive import AdaptiveSpec
from ratelimit.policy.compile.queueing import QueueSpec
from ratelimit.policy.routing.pattern import Pattern
from ratelimit.policy.routing.target import Target


def load_classes(spec: AdaptiveSpec | None) -> Callable[[str, str | Target], tuple[int, ...]]:
    """Return what tells the classes a method and target may be of, in their order.

    The last of them it is of in any case; of those before, if its identities say so. None without a
    limit that follows the load.
    """
    if spec is None:
        return lambda method, target: ()

    def classes(method: str, target: str | Target) -> tuple[int, ...]:
        path = target if isinstance(target, str) else target.path
        return classes_of(spec, method, path)

    return classes


def classes_of(spec: AdaptiveSpec, method: str, path: str) -> tuple[int, ...]:
    """Return the positions of the classes that a method and path may be of, the last where none matches.

    A path is compared as routers that ignore empty segments read it. What a spelling gains by
    another reading is a lower class: the patterns name what goes last, and the rest goes first.
    """
    segments = [segment for segment in path.split("/") if segment]
    if spec.patterns and not any(_covers(pattern, method, segments) for pattern in spec.patterns):
        return ()
    if any(_covers(pattern, method, segments) for pattern in spec.excepts):
        return ()
    found = []
    for rank, one in enumerate(spec.classes):
        if one.patterns and not any(_covers(pattern, method, segments) for pattern in one.patterns):
            continue
        found.append(rank)
        if not one.when:
            return tuple(found)
    last = max(0, len(spec.classes) - 1)
    return (*found, last) if last not in found else tuple(found)


def wait_rank_of(spec: QueueSpec, method: str, path: str) -> int:
    """Return the position of the first class that matches, of the last where none does; 0 without any."""
    segments = [segment for segment in path.split("/") if segment]
    for rank, one in enumerate(spec.classes):
        if any(_covers(pattern, method, segments) for pattern in one.patterns):
            return rank
    return max(0, len(spec.classes) - 1)


def _covers(pattern: Pattern, method: str, segments: Sequence[str]) -> bool:
    if pattern.methods is not None and method not in pattern.methods:
        return False
    wanted = pattern.segments
    if len(segments) < len(wanted) or (len(segments) > len(wanted) and not pattern.rest):
        return False
    return all(part is None or part == segment for part, segment in zip(wanted, segments, strict=False))
