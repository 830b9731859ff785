"""Which class a request is of: of the limit that follows the load, or of those that wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ratelimit.policy.compile.adaptive import AdaptiveSpec
from ratelimit.policy.compile.queueing import QueueSpec
from ratelimit.policy.routing.pattern import Pattern
from ratelimit.policy.routing.target import Target


@dataclass(frozen=True, slots=True)
class LoadClasses:
    """Which limit that follows the load a kind of request falls under, and the classes it may be of.

    Args:
        group: the position of the limit, -1 for none.
        ranks: positions of its classes in their order. It is of the last of them in any case, and of one
            before if its identities say so. Empty where no limit looks at it.
    """

    group: int = -1
    ranks: tuple[int, ...] = ()


NO_CLASSES = LoadClasses()


def load_classes(specs: Sequence[AdaptiveSpec]) -> Callable[[str, str | Target], LoadClasses]:
    """Return what tells the limit and the classes of a method and target: of the first that is on it."""
    if not specs:
        return lambda method, target: NO_CLASSES

    def classes(method: str, target: str | Target) -> LoadClasses:
        path = target if isinstance(target, str) else target.path
        for group, spec in enumerate(specs):
            if ranks := classes_of(spec, method, path):
                return LoadClasses(group, ranks)
        return NO_CLASSES

    return classes


def classes_of(spec: AdaptiveSpec, method: str, path: str) -> tuple[int, ...]:
    """Return the positions of the classes that a method and path may be of, the last where none matches.

    Empty where the limit is not on it. A path is compared as routers that ignore empty segments read it.
    What a spelling gains by another reading is a lower class: the patterns name what goes last, and the
    rest goes first.
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
