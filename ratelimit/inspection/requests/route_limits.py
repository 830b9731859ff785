"""The limits of a route that names its limits: those, and the ones that its path matches."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.matched import Matched
from ratelimit.environment.spelling import did_you_mean
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.routing.target import Target
from ratelimit.policy.schema.model import Event
from ratelimit.runtime.limits_in_code import ROUTE, route_asked


def matched_of(
    bound: BoundPolicy,
    method: str,
    target: str | Target,
    event: Event,
    names: Sequence[str],
    policy_path: str | None,
) -> Matched:
    """Return what applies to a request, the limits of these names with it.

    Limits in code that count each route by itself are looked at as the route counts that asked for them.

    Raises:
        InspectionFailure: the policy has no such limit.
    """
    matched = bound.match(method, target, event)
    if not names or matched.is_crowded:
        return matched
    limits = bound.compiled.limits
    known = [limit.name for limit in limits]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"The file has {', '.join(known[:16])}."
            raise InspectionFailure(f"the policy has no limit {name!r} to ask for", "call", hint=hint)
    route = bound.compiled.router.match(method, target)
    template, params = matched.template, matched.params
    by_path: tuple[int, ...] = ()
    if route is not None:
        template, params = route.template, route.params(target)
        by_event = {"request": route.on_request, "connect": route.on_connect, "message": route.on_message}
        by_path = by_event[event]
    together = [limit for limit in limits if limit.name in names or limit.index in by_path]
    path = target if isinstance(target, str) else target.path
    asked = None if policy_path is None else route_asked(policy_path, names, path)
    return bound.of(together, template, params if asked is None else {**params, ROUTE: asked})


def unmatched_names(compiled: CompiledPolicy) -> list[str]:
    """Return the limits that no path falls under: routes ask for them."""
    return [limit.name for limit in compiled.limits if not limit.match]
