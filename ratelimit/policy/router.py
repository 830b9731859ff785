"""Which limits a request's path falls under.

Theory of operation. All patterns of a policy become one deterministic automaton
over path segments, built in advance. Matching takes one dictionary lookup for each
segment until no pattern can change its mind, so time is linear in the path and
nothing is tried twice. Answers for short paths are kept, within a bound, because
applications serve the same ones again and again.

*Spelling.* A limit must not be dodged by writing a path differently, so everything
an application is known to route alike is read alike:

- slashes: several count as one, and one at the end does not count (Litestar merges
  and strips them, Starlette redirects);
- a line feed at the very end is also read as absent, since the `$` in Starlette's
  patterns lets it pass;
- `.` and `..` are read both as ordinary segments, which is how frameworks route
  them, and carried out, which is how a static file handler finds its file;
- case, percent signs left after decoding, and backslashes are plain characters.

Where a path has several readings, the limits of all of them apply. The path is the
one the application routes: decoded once, without `root_path`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ratelimit.policy.automaton import State, build, walk
from ratelimit.policy.model import Event
from ratelimit.policy.pattern import STANDARD_METHODS, Pattern
from ratelimit.policy.route import Parameter, Route, is_odd, readings, split

LONGEST_KEPT = 256
"""Longer paths are matched afresh each time."""
MOST_KEPT = 1024
"""Answers kept for each method; when full all are forgotten, which costs less than keeping an order."""
MOST_RULES = 16
"""Rules one decision can carry."""

_OTHER = "*"
_UNKNOWN = object()


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

    Raises:
        TooManyStates: the patterns overlap in too many ways.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)
        self._patterns: list[Pattern] = []
        self._owners: list[tuple[int, bool]] = []
        for limit, entry in enumerate(self._entries):
            for patterns, excepted in ((entry.matches, False), (entry.excepts, True)):
                self._patterns += patterns
                self._owners += [(limit, excepted)] * len(patterns)
        self._first, self._states = build(self._patterns)
        # No pattern looks further than its own segments; the rest stays in one piece.
        self._depth = max((len(pattern.segments) for pattern in self._patterns), default=0) + 1
        named = {method for pattern in self._patterns for method in pattern.methods or ()}
        self._told_apart = (*sorted(named), _OTHER)
        self._kept: dict[str, dict[str, Route | None]] = {
            method: {} for method in (*STANDARD_METHODS, *sorted(named), _OTHER)
        }
        self._answers: dict[tuple[str, tuple[int, ...]], Route | None] = {}
        self._routes: dict[tuple[tuple[int, ...], tuple[Parameter, ...], str], Route] = {}

    def match(self, method: str, path: str) -> Route | None:
        """Return what applies to a request, or None if nothing does.

        Equal answers are mostly the same object; `Route.limits` is what to key by.
        """
        kept = self._kept.get(method)
        if kept is not None:
            found = kept.get(path, _UNKNOWN)
            if found is not _UNKNOWN:
                return found  # type: ignore[return-value]  # the sentinel is ruled out
        return self._match_afresh(method, path)

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
        if method not in self._kept:
            method = method.upper()
            if method not in self._kept:
                method = _OTHER
        if is_odd(path):
            return self._match_odd(method, path)
        route = self._answer(walk(self._first, split(path, self._depth)), method)
        if len(path) <= LONGEST_KEPT:
            kept = self._kept[method]
            if len(kept) >= MOST_KEPT:
                kept.clear()
            kept[path] = route
        return route

    def _match_odd(self, method: str, path: str) -> Route | None:
        states = [walk(self._first, segments) for segments in readings(path)]
        return self._compose([state.accepts for state in states], method)

    def _answer(self, state: State, method: str) -> Route | None:
        key = (method, state.accepts)
        try:
            return self._answers[key]
        except KeyError:
            route = self._answers[key] = self._compose([state.accepts], method)
            return route

    def _compose(self, accepted: Sequence[tuple[int, ...]], method: str) -> Route | None:
        """Return the route of a path whose readings matched these patterns."""
        limits: dict[int, None] = {}
        spots: dict[str, Parameter] = {}
        shown: list[Pattern] = []
        budget = MOST_RULES
        for reading, numbers in enumerate(accepted):
            fitting = [number for number in numbers if _takes(self._patterns[number], method)]
            spared = {self._owners[number][0] for number in fitting if self._owners[number][1]}
            for number in fitting:
                limit, excepted = self._owners[number]
                if excepted or limit in spared:
                    continue
                if limit not in limits:
                    # One reading fits by the policy's own checks; several may be too much at once.
                    if reading and self._entries[limit].weight > budget:
                        continue
                    limits[limit] = None
                    budget -= self._entries[limit].weight
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
        route = Route(template, limits, on["request"], handshake, on["message"], parameters)
        if len(self._routes) < len(self._states) * len(self._kept) + MOST_KEPT:
            self._routes[key] = route
        return route


def _takes(pattern: Pattern, method: str) -> bool:
    return pattern.methods is None or method in pattern.methods


def _share_method(first: Pattern, second: Pattern) -> bool:
    return first.methods is None or second.methods is None or not first.methods.isdisjoint(second.methods)
