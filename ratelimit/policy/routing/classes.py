"""Classes of requests: of the limit that follows the load, and of limits that let requests wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ratelimit.policy.routing.pattern import MAX_SEGMENTS, Pattern
from ratelimit.policy.routing.route import AS_IT_STANDS, PathReading
from ratelimit.policy.routing.target import Target, split


@dataclass(frozen=True, slots=True)
class LoadClasses:
    """The load limit for a kind of request, and the classes that it may be of.

    Args:
        group: the position of the limit, -1 for none.
        ranks: positions of its classes in their order. It is of the last of them in any case, and of one
            before if its identities say so. Empty where no limit looks at it.
    """

    group: int = -1
    ranks: tuple[int, ...] = ()


NO_CLASSES = LoadClasses()


@dataclass(slots=True)
class Marks:
    """What features say of all requests of one method and target."""

    classes: LoadClasses = NO_CLASSES
    """Of the limit that follows the load."""
    wait_rank: int = 0
    """The class that they wait in."""


class RequestClass(Protocol):
    """Some requests."""

    @property
    def patterns(self) -> Sequence[Pattern]: ...


class LoadClass(RequestClass, Protocol):
    """Some requests, and what their identities have to be."""

    @property
    def when(self) -> Sequence[object]: ...


class ClassedLimit(Protocol):
    """A limit that follows the load: the requests that it is on, and their classes."""

    @property
    def patterns(self) -> Sequence[Pattern]: ...
    @property
    def excepts(self) -> Sequence[Pattern]: ...
    @property
    def classes(self) -> Sequence[LoadClass]: ...


def load_classes(
    specs: Sequence[ClassedLimit], reading: PathReading = AS_IT_STANDS
) -> Callable[[str, str | Target], LoadClasses]:
    """Return what tells the limit and the classes of a method and target: of the first that is on it.

    A path falls under a limit if one of its readings does, in the lowest class of them. Where they are
    too many to be listed, it falls under the first limit that takes the method, in the last class.
    """
    if not specs:
        return lambda method, target: NO_CLASSES

    def classes(method: str, target: str | Target) -> LoadClasses:
        found = _readings(target, reading)
        for group, spec in enumerate(specs):
            if found is None:
                if not spec.patterns or any(_takes(pattern, method) for pattern in spec.patterns):
                    return LoadClasses(group, (max(0, len(spec.classes) - 1),))
                continue
            if ranks := max(classes_of(spec, method, segments) for segments in found):
                return LoadClasses(group, ranks)
        return NO_CLASSES

    return classes


def classes_of(spec: ClassedLimit, method: str, segments: Sequence[str]) -> tuple[int, ...]:
    """Return the positions of the classes that a method and path may be of, the last where none matches.

    Empty where the limit is not on it.
    """
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


def wait_rank_of(
    classes: Sequence[RequestClass], method: str, target: str | Target, reading: PathReading = AS_IT_STANDS
) -> int:
    """Return the position of the first class that matches, of the last where none does; 0 without any.

    A path with several readings is of the lowest class of them.
    """
    last = max(0, len(classes) - 1)
    found = _readings(target, reading)
    return (
        last if found is None else max(_wait_rank_of(classes, method, segments, last) for segments in found)
    )


def _wait_rank_of(classes: Sequence[RequestClass], method: str, segments: Sequence[str], last: int) -> int:
    for rank, one in enumerate(classes):
        if any(_covers(pattern, method, segments) for pattern in one.patterns):
            return rank
    return last


def _readings(target: str | Target, reading: PathReading) -> list[list[str]] | None:
    if isinstance(target, str) and not reading.is_odd(target):
        # No pattern looks further; the rest stays in one piece.
        return [split(target, MAX_SEGMENTS + 1)]
    return reading.readings(target)


def _takes(pattern: Pattern, method: str) -> bool:
    return pattern.methods is None or method in pattern.methods


def _covers(pattern: Pattern, method: str, segments: Sequence[str]) -> bool:
    if not _takes(pattern, method):
        return False
    wanted = pattern.segments
    if len(segments) < len(wanted) or (len(segments) > len(wanted) and not pattern.rest):
        return False
    return all(part is None or part == segment for part, segment in zip(wanted, segments, strict=False))
