"""Coverage at the start: whether the policy's limits match the routes that the application serves.

A route is not seen where a limit means it, and matches it in no reading. Either the limit's
template is a route of an application below a mount, without the mount's prefix. Or the
route is a regular expression, of which a template can only be a part. Routes that no
limit means are not limited, and nothing is said of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ratelimit.asgi.routes.survey import Survey
from ratelimit.limiter import Limiter
from ratelimit.policy.routing.pattern import Pattern
from ratelimit.policy.routing.router import Router, fold
from ratelimit.policy.routing.target import Target

MOST_NAMED = 5
_PARAMETER = re.compile(r"\{[^{}]*\}")
_REST = re.compile(r"\{[^{}]*:path\}")
_SAMPLE = "0"
"""What stands for a parameter's value: a segment of its own, and no word of a template."""


def check_routes(survey: Survey, limiter: Limiter) -> None:
    """Say of each kind of mistake once that there is one, and where."""
    compiled = limiter.current.compiled
    if survey.ignores_case and compiled.file.routing.case == "exact":
        limiter.runtime.diagnose("route-case")
    unseen = list(dict.fromkeys(unseen_routes(survey, compiled.router)))
    if unseen:
        limiter.runtime.diagnose("route-unseen", about=_first(unseen))
    unasked = list(dict.fromkeys(_printable(route.path) for route in survey.routes if route.is_unasked))
    if unasked:
        limiter.runtime.diagnose("route-unasked", about=_first(unasked))


def _first(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def unseen_routes(survey: Survey, router: Router) -> Iterator[str]:
    """Yield the routes that a limit means and does not match, with its template."""
    for served in survey.routes:
        segments = _segments(served.path)
        methods = served.methods or {"GET", "POST"}
        target = Target("/" + "/".join(segments), None, "", survey.placement)
        if any(router.match(method, target) is not None for method in methods):
            continue
        for pattern in router.patterns():
            if not (pattern.methods is None or pattern.methods & methods):
                continue
            if (_may_be if served.is_partial else _is_end)(pattern, segments):
                shown = f"{served.path}…" if served.is_partial else served.path
                yield f"{_printable(shown)} (not matched by {pattern.template})"
                break


def _segments(path: str) -> list[str]:
    """Return a sample path of a route; of a rest of any length, one segment."""
    sampled = _PARAMETER.sub(_SAMPLE, _REST.sub(_SAMPLE, path))
    return [part for part in sampled.split("/") if part]


def _is_end(pattern: Pattern, segments: list[str]) -> bool:
    """Return whether a pattern matches a path's last segments, and says at least one of them."""
    wanted = pattern.segments
    if not any(wanted) or len(wanted) >= len(segments):
        return False
    starts = range(1, len(segments) - len(wanted) + 1) if pattern.rest else (len(segments) - len(wanted),)
    return any(
        all(
            want is None or fold(want) == fold(have)
            for want, have in zip(wanted, segments[at:], strict=False)
        )
        for at in starts
    )


def _may_be(pattern: Pattern, segments: list[str]) -> bool:
    """Return whether a path that begins so may be one the pattern matches, if not all of them."""
    wanted = pattern.segments[: len(segments)]
    if not any(pattern.segments):
        return False
    # The last segment of a regular expression's beginning may be cut anywhere.
    whole = zip(wanted[:-1], segments[: len(wanted) - 1], strict=False)
    last = segments[len(wanted) - 1] if wanted else ""
    return all(want is None or fold(want) == fold(have) for want, have in whole) and (
        not wanted or wanted[-1] is None or fold(wanted[-1]).startswith(fold(last))
    )


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in text)[:200]
