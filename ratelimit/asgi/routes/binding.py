"""Bindings of a policy's limits to an application's routes: which limit binds which, and why one binds none.

Pure: routes are those of a `Survey`, and nothing is asked of the application here. A template and a route
are compared segment by segment, so a parameter of either meets any segment of the other. A limit with
routes that cannot be read, as below a mount of files, is taken to bind them: only what is certain is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import ne
from typing import NamedTuple

from ratelimit.asgi.routes.survey import Survey
from ratelimit.asgi.routes.tables import Served
from ratelimit.environment.spelling import nearest
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitSpec
from ratelimit.policy.routing.pattern import Pattern, parse_pattern
from ratelimit.policy.routing.router import fold
from ratelimit.policy.schema.model import Limit


class Shape(NamedTuple):
    """The segments of a path, None for any one, and whether more may follow."""

    segments: tuple[str | None, ...]
    rest: bool


@dataclass(frozen=True, slots=True)
class Binding:
    """One limit, and the routes that it binds."""

    limit: LimitSpec
    routes: tuple[Served, ...]
    """Those that its `match` covers, and those that ask for it."""
    is_asked: bool
    """True if routes ask for it by name, and no path does."""
    why: str = ""
    """The likely mistake of a limit that binds no route."""


def bindings(
    survey: Survey, compiled: CompiledPolicy, asked: Mapping[str, Sequence[Served]]
) -> tuple[Binding, ...]:
    """Return each limit of a policy with the routes that it binds.

    Args:
        survey: the application's routes.
        compiled: the policy.
        asked: the routes that ask for limits, by the limit's name.
    """
    shapes = [(served, shape_of(served)) for served in survey.routes]
    roots = dict.fromkeys((*survey.placement.roots, *compiled.file.routing.root_paths))
    is_exact = compiled.file.routing.case == "exact" and not survey.ignores_case
    application = _Application(shapes, [_split(root) for root in roots], is_exact=is_exact)
    found = []
    for limit in compiled.limits:
        by_name = asked.get(limit.name, ())
        if not limit.match:
            found.append(Binding(limit, tuple(by_name), True))
            continue
        bound = application.bound(compiled.file.limit[limit.index])
        why = "" if bound or by_name else application.why_none(compiled.file.limit[limit.index])
        found.append(Binding(limit, tuple(dict.fromkeys((*bound, *by_name))), False, why))
    return tuple(found)


class _Application:
    """The routes of an application as they are compared with templates."""

    def __init__(
        self,
        shapes: Sequence[tuple[Served, Shape]],
        roots: Iterable[tuple[str, ...]],
        *,
        is_exact: bool,
    ) -> None:
        self._routes = [
            (served, [shape, *(Shape((*root, *shape.segments), shape.rest) for root in roots)])
            for served, shape in shapes
        ]
        self._is_exact = is_exact

    def bound(self, limit: Limit) -> list[Served]:
        """Return the routes that a limit binds by their path."""
        matches, excepts = _patterns(limit.match), _patterns(limit.except_)
        return [
            served
            for served, shapes in self._routes
            if _counts(limit, served)
            and any(_takes(pattern, served) and self._meets(pattern, shapes) for pattern in matches)
            and not any(_takes_all(pattern, served) and self._covers(pattern, shapes) for pattern in excepts)
        ]

    def why_none(self, limit: Limit) -> str:
        """Return what is likely wrong with a limit that binds no route."""
        patterns = _patterns(limit.match)
        whys = (self._event, self._exception, self._method, self._mount, self._prefix, self._word)
        return next((said for why in whys for pattern in patterns if (said := why(limit, pattern))), "")

    def _event(self, limit: Limit, pattern: Pattern) -> str:
        for served in self._meeting(pattern):
            if not _counts(limit, served):
                kind = "a WebSocket" if served.on == "connect" else "no WebSocket"
                return f'`unit = "{limit.counted}"`, and {served.path} is {kind}'
        return ""

    def _exception(self, limit: Limit, pattern: Pattern) -> str:
        for served in self._meeting(pattern):
            if _takes(pattern, served):
                return f"`except` covers {served.path}"
        return ""

    def _method(self, _limit: Limit, pattern: Pattern) -> str:
        methods = sorted({name for served in self._meeting(pattern) for name in served.methods or ()})
        if not methods:
            return ""
        wanted = "|".join(sorted((pattern.methods or frozenset()) - {"HEAD"})) or "HEAD"
        return f"{pattern.template} answers {'|'.join(methods)}, not {wanted}"

    def _prefix(self, _limit: Limit, pattern: Pattern) -> str:
        for count in range(1, len(pattern.segments) + 1):
            cut = pattern.segments[:count]
            if None in cut:
                return ""
            prefix = "/" + "/".join(str(part) for part in cut)
            rest = Shape(pattern.segments[count:], pattern.rest)
            if not any(rest.segments) and not rest.rest:
                return ""
            shorter = "/" + "/".join(pattern.template.split("/")[count + 1 :])
            near = None if any(rest.segments) else self._near(cut)
            if near is not None:
                return f"nothing is served below {prefix}; did you mean {near}?"
            if any(
                _takes(pattern, served) and any(self._meet(rest, shape) for shape in shapes)
                for served, shapes in self._routes
            ):
                return (
                    f"the application serves {shorter} without {prefix}; if a proxy cuts {prefix}, write "
                    f'`root_paths = ["{prefix}"]`, else `{shorter}`'
                )
        return ""

    def _near(self, cut: tuple[str | None, ...]) -> str | None:
        """Return the beginning of a route that is like this one, but for its last segment."""
        known: dict[str, None] = {}
        for _, shapes in self._routes:
            have = shapes[0].segments
            if len(have) >= len(cut) and all(map(self._alike, cut[:-1], have)) and have[len(cut) - 1]:
                known[str(have[len(cut) - 1])] = None
        word = str(cut[-1])
        # Of short words, as `v1`, one letter is too much to be near by its share.
        near = nearest(word, known) or next((one for one in known if _is_one_off(word, one)), None)
        return None if near is None else "/" + "/".join((*map(str, cut[:-1]), near))

    def _mount(self, _limit: Limit, pattern: Pattern) -> str:
        if not any(pattern.segments):
            return ""
        size = len(pattern.segments)
        for served, shapes in self._routes:
            have = shapes[0].segments
            for count in range(1, len(have) - size + 1) if _takes(pattern, served) else ():
                rest = have[count : count + size]
                is_whole = pattern.rest or len(have) == count + size
                # A parameter of the route is no word of the template: too much would look alike.
                if is_whole and all(
                    want is None or (found is not None and self._alike(want, found))
                    for want, found in zip(pattern.segments, rest, strict=True)
                ):
                    return f"the application serves it as {served.path}: write the prefix, too"
        return ""

    def _word(self, _limit: Limit, pattern: Pattern) -> str:
        paths = [served.path for served, _ in self._routes if not served.is_partial]
        near = nearest(pattern.template, paths)
        return "" if near is None else f"did you mean {near}?"

    def _meeting(self, pattern: Pattern) -> Iterator[Served]:
        """Yield the routes whose path a template meets, whatever their methods are."""
        return (served for served, shapes in self._routes if self._meets(pattern, shapes))

    def _meets(self, pattern: Pattern, shapes: Iterable[Shape]) -> bool:
        own = Shape(pattern.segments, pattern.rest)
        return any(self._meet(own, shape) for shape in shapes)

    def _meet(self, one: Shape, other: Shape) -> bool:
        """Return whether a path can be both."""
        if not all(map(self._alike, one.segments, other.segments)):
            return False
        longer = len(one.segments) - len(other.segments)
        return longer == 0 or (other.rest if longer > 0 else one.rest)

    def _alike(self, one: str | None, other: str | None) -> bool:
        if one is None or other is None:
            return True
        return one == other if self._is_exact else fold(one) == fold(other)

    def _covers(self, pattern: Pattern, shapes: Iterable[Shape]) -> bool:
        """Return whether a template matches every path of a route."""
        return any(
            all(
                want is None or (have is not None and self._alike(want, have))
                for want, have in zip(pattern.segments, shape.segments, strict=False)
            )
            and (
                len(pattern.segments) <= len(shape.segments)
                if pattern.rest
                else len(pattern.segments) == len(shape.segments) and not shape.rest
            )
            for shape in shapes
        )


def shape_of(served: Served) -> Shape:
    """Return the segments of a route; a segment with a parameter in it may be any."""
    segments: list[str | None] = []
    parts = _split(served.path)
    if served.is_partial:
        # The beginning of a regular expression may end within a segment.
        return Shape(tuple(parts if served.path.endswith("/") else parts[:-1]), True)
    for part in parts:
        if ":path}" in part:
            return Shape(tuple(segments), True)
        segments.append(None if "{" in part else part)
    return Shape(tuple(segments), False)


def _is_one_off(one: str, other: str) -> bool:
    return len(one) == len(other) and sum(map(ne, one, other)) == 1


def _split(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)


def _patterns(texts: str | Collection[str]) -> list[Pattern]:
    return [parse_pattern(text) for text in ([texts] if isinstance(texts, str) else texts)]


def _counts(limit: Limit, served: Served) -> bool:
    """Return whether a limit counts what a route serves: a handshake falls under those of requests, too."""
    return served.on in (None, "connect") or limit.on == "request"


def _takes(pattern: Pattern, served: Served) -> bool:
    """Return whether a template's methods have one of a route's; frameworks answer some by themselves."""
    if pattern.methods is None or "OPTIONS" in pattern.methods:
        return True
    methods = frozenset(("GET",)) if served.on == "connect" else served.methods
    if methods is None or not pattern.methods.isdisjoint(methods):
        return True
    return "HEAD" in pattern.methods and "GET" in methods


def _takes_all(pattern: Pattern, served: Served) -> bool:
    return pattern.methods is None or (served.methods is not None and served.methods <= pattern.methods)
