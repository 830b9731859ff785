"""Coverage at the start: whether the policy's limits and the application's routes know each other.

Limits that routes ask for are registered first. A limit that binds no route is said, and one by an identity
that nothing sets. With `strict = true` in the policy such a limit ends the start.

A route is not seen where a limit means it, and matches it in no reading. Either the limit's
template is a route of an application below a mount, without the mount's prefix. Or the
route is a regular expression, of which a template can only be a part. Routes that no
limit means are not limited, and nothing is said of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ratelimit.asgi.routes.binding import Binding, bindings
from ratelimit.asgi.routes.survey import Survey
from ratelimit.asgi.routes.tables import Entered, RequestedLimit, Served
from ratelimit.errors import UsageError
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitSpec
from ratelimit.policy.routing.pattern import Pattern
from ratelimit.policy.routing.router import Router, fold
from ratelimit.policy.routing.target import Target

if TYPE_CHECKING:
    from ratelimit.limiter import Limiter

MOST_NAMED = 5
MOST_COMPARED = 100_000
"""Routes and templates together that are compared again after a reload, while requests wait."""
_PARAMETER = re.compile(r"\{[^{}]*\}")
_REST = re.compile(r"\{[^{}]*:path\}")
_SAMPLE = "0"
"""What stands for a parameter's value: a segment of its own, and no word of a template."""

Limits = Sequence[tuple[Served, RequestedLimit, Entered]]
"""The limits that routes ask for: route, what it asks by, and what that is in the policy."""


class Coverage:
    """The limits of a policy as an application's routes know them.

    Args:
        survey: the application's routes.
        limiter: has the policy; limits in code are registered with it.
        state: what every request finds in its state from the start.

    Raises:
        UsageError: a route asks for a limit that cannot be had (codes `limit-declared`, `limit-unknown`), or
            for one by an identity that nothing sets before (`state-unset`).
    """

    def __init__(self, survey: Survey, limiter: Limiter, state: Mapping[str, Any]) -> None:
        self.survey = survey
        self.limiter = limiter
        self._state = state
        self.asked: Limits = _registered(survey, limiter)
        self._refuse_unset()

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The limits of the policy in force, each with its routes."""
        routes: dict[str, list[Served]] = {}
        for served, _, entered in self.asked:
            for name in entered.names:
                routes.setdefault(name, []).append(served)
        return bindings(self.survey, self.limiter.current.compiled, routes)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield the code of each kind of mistake that there is, and where it is made."""
        compiled, survey = self.limiter.current.compiled, self.survey
        if survey.ignores_case and compiled.file.routing.case == "exact":
            yield "route-case", ""
        found = self.bindings if survey.is_known else ()
        unbound = [each for each in found if not each.routes and not each.is_asked]
        if unbound:
            yield "limit-unbound", _first([f"`{each.limit.name}`{_because(each.why)}" for each in unbound])
        spared = {template for each in unbound for template in each.limit.match}
        unseen = [
            shown for shown, template in unseen_routes(survey, compiled.router) if template not in spared
        ]
        if unseen:
            yield "route-unseen", _first(list(dict.fromkeys(unseen)))
        unasked = list(dict.fromkeys(_printable(route.path) for route in survey.routes if route.is_unasked))
        if unasked:
            yield "route-unasked", _first(unasked)
        idle = [f"`{each.limit.name}`" for each in found if not each.routes and each.is_asked]
        if idle:
            yield "limit-unasked", _first(idle)
        unset = [
            f"`{each.limit.name}` (state:{name})"
            for each in found
            if each.routes and not each.is_asked
            for name in state_needed(each.limit, compiled)
            if name not in self._state
        ]
        if unset and survey.is_outermost:
            yield "state-outside", _first(unset)

    def say(self, *, again: bool = False) -> None:
        """Report each mistake; `again`: after a reload, of which only what is new is worth a line.

        Raises:
            UsageError: there is one, and the policy is strict (code `start-strict`).
        """
        file = self.limiter.current.compiled.file
        if again and len(self.survey.routes) * sum(map(_templates, file.limit)) > MOST_COMPARED:
            return
        found = list(self.mistakes())
        report = self.limiter.runtime.note if again else self.limiter.runtime.diagnose
        for code, about in found:
            report(code, about=about)
        if found and file.strict and not again:
            noticed = self.limiter.runtime.noticed
            said = "; ".join(f"{noticed.get(code, code)} [{code}]" for code, _ in found)
            raise UsageError(f"the policy has `strict = true`: {said}", code="start-strict")

    def _refuse_unset(self) -> None:
        for served, asked, entered in self.asked:
            for limit, name in entered.needs if asked.is_first else ():
                if name not in self._state:
                    raise UsageError(unset_words(limit, name, _printable(served.path)), code="state-unset")


def state_needed(limit: LimitSpec, compiled: CompiledPolicy) -> list[str]:
    """Return the fields of the state that a limit counts by, if the policy names no stand-in for them."""
    fields = []
    for at in limit.per:
        identity = compiled.identities[at] if at < len(compiled.identities) else None
        written = None if identity is None else compiled.file.identities.get(identity.name)
        if identity is None or written is None or written.missing is not None:
            continue
        if all(source.record.reading == "state" for source in identity.sources):
            fields += [source.name for source in identity.sources]
    return fields


def unset_words(limit: str, name: str, route: str) -> str:
    """Return what is said of a route's limit by a field of the state that nothing set before."""
    return (
        f"{route}: the limit {limit!r} counts by state:{name}, and nothing sets that before the limit asks; "
        "all callers behind one address would share a budget. Count by the dependency itself, "
        "`per=Depends(…)`, or set the state in a dependency before this one. If callers may lack it, write "
        f'`missing = "client"` where the policy has state:{name}'
    )


def _registered(survey: Survey, limiter: Limiter) -> Limits:
    asked = [(served, each) for served in survey.routes for each in served.asked]
    if not asked or not limiter.is_enabled:
        return ()
    entered = asked[0][1].limit.enter(limiter, [each.limit for _, each in asked])
    return [(served, each, found) for (served, each), found in zip(asked, entered, strict=True)]


def _because(why: str) -> str:
    return f" ({_printable(why)})" if why else ""


def _templates(limit: Any) -> int:
    return 1 if isinstance(limit.match, str) else len(limit.match)


def _first(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def unseen_routes(survey: Survey, router: Router) -> Iterator[tuple[str, str]]:
    """Yield the routes that a limit means and does not match, and its template."""
    for served in survey.routes:
        if served.on is None:
            continue  # what it serves below is not known
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
                yield f"{_printable(shown)} (not matched by {pattern.template})", pattern.template
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
