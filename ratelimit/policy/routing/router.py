"""The router: from a request's path to the limits that it matches.

Theory of operation. All patterns of a policy become one deterministic automaton
over path segments, built in advance. Matching takes one dictionary lookup for each segment until no
pattern can change its mind. So time is linear in the path and nothing is tried twice. Answers for
short paths are kept, within a bound, because applications serve the same ones again and again.

*Readings.* A limit must not be dodged by writing a path differently. So a path is
matched in every way an application may read it (`target` has them), and the limits of
all its readings apply. An exception counts in its own reading only. *Case*: a request
does not show what an application ignores. So a path is matched as it is written, and
with case ignored unless the policy says that the application tells case apart.

*Bounds.* Where readings are too many to be listed, every limit applies that takes the
method. Where all that apply are more than one decision can carry, none is dropped: the
route says so, and its requests are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ratelimit.policy.routing.automaton import State, build, walk
from ratelimit.policy.routing.pattern import LONGEST_TEXT, STANDARD_METHODS, Pattern
from ratelimit.policy.routing.route import AS_IT_STANDS, Parameter, PathReading, Route
from ratelimit.policy.routing.target import Target, split
from ratelimit.policy.schema.model import Event
from ratelimit.policy.schema.surroundings import Case

LONGEST_KEPT = 256
"""Longer paths are matched afresh each time."""
MOST_KEPT = 1024
"""Answers kept for each method; when full all are forgotten, which costs less than keeping an order."""
MOST_RULES = 16
"""Rules one decision can carry."""

_OTHER = "*"
_UNKNOWN = object()
_LETTERS_I = dict.fromkeys((0x130, 0x131), "i")


@dataclass(frozen=True, slots=True)
class Entry:
    """One limit, as the router needs it; `weight` is the number of rules it brings."""

    matches: tuple[Pattern, ...]
    excepts: tuple[Pattern, ...] = ()
    on: Event = "request"
    weight: int = 1


class Router:
    """Matches methods and paths against the patterns of all limits.

    Safe to share between threads. Memory is bounded whatever clients send.

    Args:
        entries: the limits, in the policy's order.
        case: whether paths are matched as they are written, with case ignored, or both.
        reading: how the application reads paths otherwise.

    Raises:
        TooManyStates: the patterns overlap in too many ways.
    """

    def __init__(
        self, entries: Sequence[Entry], *, case: Case = "both", reading: PathReading = AS_IT_STANDS
    ) -> None:
        self._entries = tuple(entries)
        self.reading = reading
        self._patterns: list[Pattern] = []
        self._owners: list[tuple[int, bool]] = []
        for limit, entry in enumerate(self._entries):
            for patterns, excepted in ((entry.matches, False), (entry.excepts, True)):
                self._patterns += patterns
                self._owners += [(limit, excepted)] * len(patterns)
        exact = [] if case == "ignore" else self._patterns
        folded = [] if case == "exact" else [_folded(pattern) for pattern in self._patterns]
        self._first, self._states = build(exact or folded)
        self._ignores = case == "ignore"
        """True if the automaton knows literals with case ignored only."""
        self._folding = None
        """The first state of an automaton of literals with case ignored, where both are looked at."""
        if exact and folded:
            self._folding = self._first if folded == exact else build(folded)[0]
        self._has_case = folded != exact
        # No pattern looks further than its own segments; the rest stays in one piece.
        self._depth = max((len(pattern.segments) for pattern in self._patterns), default=0) + 1
        named = {method for pattern in self._patterns for method in pattern.methods or ()}
        self._told_apart = (*sorted(named), _OTHER)
        self._kept: dict[str, dict[str, Route | None]] = {
            method: {} for method in (*STANDARD_METHODS, *sorted(named), _OTHER)
        }
        self._answers: dict[tuple[str, tuple[int, ...]], Route | None] = {}
        self._routes: dict[tuple[tuple[int, ...], tuple[Parameter, ...], str], Route] = {}

    def match(self, method: str, target: str | Target) -> Route | None:
        """Return what applies to a request, or None if nothing does.

        `target` is the path where that says all. Equal answers are mostly the same
        object; `Route.limits` is what to key by.
        """
        if method not in self._kept:
            method = method.upper()
            if method not in self._kept:
                method = _OTHER
        if not isinstance(target, str):
            return self._match_odd(method, target)
        found = self._kept[method].get(target, _UNKNOWN)
        if found is not _UNKNOWN:
            return found  # type: ignore[return-value]  # the sentinel is ruled out
        return self._match_afresh(method, target)

    def patterns(self) -> Iterator[Pattern]:
        """Yield what limits match, without what they except."""
        for pattern, (_, excepted) in zip(self._patterns, self._owners, strict=True):
            if not excepted:
                yield pattern

    def every_route(self) -> Iterator[Route]:
        """Yield each route that a path of one reading can take."""
        seen: set[int] = set()
        for state in self._states:
            for method in self._told_apart:
                route = self._answer(state, method)
                if route is not None and id(route) not in seen:
                    seen.add(id(route))
                    yield route

    def conflicting_parameters(self) -> Iterator[tuple[str, str, int]]:
        """Yield (parameter, template, limit) where templates of one path disagree on its place."""
        for accepts in dict.fromkeys(state.accepts for state in self._states):
            named = [
                number
                for number in accepts
                if self._patterns[number].parameters and not self._owners[number][1]
            ]
            for position, number in enumerate(named):
                for other in named[:position]:
                    first, second = self._patterns[other], self._patterns[number]
                    places = dict(first.parameters)
                    if not _share_method(first, second):
                        continue
                    for name, segment in second.parameters:
                        if places.get(name, segment) != segment:
                            yield name, second.template, self._owners[number][0]

    def kept(self) -> int:
        """Return how many answers are being kept."""
        return sum(len(paths) for paths in self._kept.values())

    def _match_afresh(self, method: str, path: str) -> Route | None:
        if self.reading.is_odd(path):
            return self._match_odd(method, path)
        segments = split(path, self._depth)
        state = walk(self._first, map(fold, segments) if self._ignores else segments)
        route = self._answer(state, method)
        if self._folding is not None:
            folded = list(map(fold, segments))
            if self._has_case or folded != segments:
                other = walk(self._folding, folded)
                if other.accepts != state.accepts:
                    route = self._compose([(0, state.accepts), (0, other.accepts)], method)
        if len(path) <= LONGEST_KEPT:
            kept = self._kept[method]
            if len(kept) >= MOST_KEPT:
                kept.clear()
            kept[path] = route
        return route

    def _match_odd(self, method: str, target: str | Target) -> Route | None:
        found = self.reading.readings(target)
        if found is None:
            return self._match_all(method)
        accepted: list[tuple[int, tuple[int, ...]]] = []
        for reading, segments in enumerate(found):
            written = map(fold, segments) if self._ignores else segments
            accepted.append((reading, walk(self._first, written).accepts))
            if self._folding is not None:
                accepted.append((reading, walk(self._folding, map(fold, segments)).accepts))
        return self._compose(accepted, method)

    def _match_all(self, method: str) -> Route | None:
        """Return the route of a path that may be read in more ways than can be listed."""
        numbers = tuple(number for number, (_, excepted) in enumerate(self._owners) if not excepted)
        route = self._compose([(0, numbers)], method)
        return None if route is None else replace(route, parameters=())

    def _answer(self, state: State, method: str) -> Route | None:
        key = (method, state.accepts)
        try:
            return self._answers[key]
        except KeyError:
            route = self._answers[key] = self._compose([(0, state.accepts)], method)
            return route

    def _compose(self, accepted: Sequence[tuple[int, tuple[int, ...]]], method: str) -> Route | None:
        """Return the route of a path: these patterns matched its readings, by position."""
        limits: dict[int, None] = {}
        spots: dict[str, Parameter] = {}
        shown: list[Pattern] = []
        for reading, numbers in accepted:
            fitting = [number for number in numbers if _takes(self._patterns[number], method)]
            spared = {self._owners[number][0] for number in fitting if self._owners[number][1]}
            for number in fitting:
                limit, excepted = self._owners[number]
                if excepted or limit in spared:
                    continue
                limits[limit] = None
                shown.append(self._patterns[number])
                for name, segment in self._patterns[number].parameters:
                    spots.setdefault(name, Parameter(name, reading, segment))
        if not limits:
            return None
        template = max(shown, key=lambda pattern: pattern.precision).template
        key = (tuple(sorted(limits)), tuple(spots.values()), template)
        return self._routes.get(key) or self._keep(key)

    def _keep(self, key: tuple[tuple[int, ...], tuple[Parameter, ...], str]) -> Route:
        limits, parameters, template = key
        on: dict[Event, tuple[int, ...]] = {
            event: tuple(limit for limit in limits if self._entries[limit].on == event)
            for event in ("request", "connect", "message")
        }
        handshake = tuple(limit for limit in limits if self._entries[limit].on != "message")
        together = on | {"connect": handshake}
        crowded = frozenset(
            event
            for event, some in together.items()
            if sum(self._entries[limit].weight for limit in some) > MOST_RULES
        )
        route = Route(
            template, limits, on["request"], handshake, on["message"], parameters, crowded, self.reading
        )
        if len(self._routes) < len(self._states) * len(self._kept) + MOST_KEPT:
            self._routes[key] = route
        return route


def fold(text: str) -> str:
    """Return a text as one that ignores case compares it.

    As regular expressions do, the two letters i that Turkish adds are taken for the usual one. A
    text that is longer than any pattern equals none of them either way.
    """
    if len(text) > LONGEST_TEXT:
        return text
    return text.casefold() if text.isascii() else text.translate(_LETTERS_I).casefold()


def _folded(pattern: Pattern) -> Pattern:
    return replace(pattern, segments=tuple(None if part is None else fold(part) for part in pattern.segments))


def _takes(pattern: Pattern, method: str) -> bool:
    return pattern.methods is None or method in pattern.methods


def _share_method(first: Pattern, second: Pattern) -> bool:
    return first.methods is None or second.methods is None or not first.methods.isdisjoint(second.methods)
