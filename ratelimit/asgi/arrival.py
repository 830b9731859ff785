"""What a scope says of a request: its path, its peer, its identities."""

from __future__ import annotations

from starlette.types import Scope

from ratelimit.asgi.resolving import Resolving
from ratelimit.deciding.bound_policy import (
    COMMON_METHODS,
    LONGEST_CACHED_PATH,
    MOST_PATHS,
    BoundPolicy,
    Matched,
)
from ratelimit.identity.fact import Context
from ratelimit.policy.routing.request_line import read_target
from ratelimit.policy.routing.target import NOWHERE, Placement, Target


def target_of(scope: Scope, placement: Placement = NOWHERE) -> str | Target:
    """Return what a request asks for: its path, and what else decides how it is routed, if anything does.

    `gate` knows the common case by itself.
    """
    raw_path = scope.get("raw_path")
    sent = raw_path if isinstance(raw_path, bytes) and raw_path else None
    return read_target(sent, scope["path"], scope.get("root_path") or "", placement)


class PlacedMatches:
    """What HTTP requests match before one application that reads paths in ways of its own.

    A bound policy serves several applications, and remembers by all that decides how a request is
    routed. Here the application is given, so that most requests are known by their path again.
    """

    __slots__ = ("_bound", "_placement", "requests")

    def __init__(self, bound: BoundPolicy, placement: Placement) -> None:
        self._bound = bound
        self._placement = placement
        self.requests: dict[str, dict[str | Target, Matched]] = {method: {} for method in COMMON_METHODS}
        """As in a bound policy."""

    def match(self, method: str, target: str | Target) -> Matched:
        """Return what applies; a path by itself is as it was sent, below no root path."""
        if not isinstance(target, str):
            return self._bound.match(method, target)
        matched = self._bound.match(method, read_target(target, target, "", self._placement))
        cache = self.requests.get(method)
        if cache is not None and len(target) <= LONGEST_CACHED_PATH:
            if len(cache) >= MOST_PATHS:
                cache.clear()
            cache[target] = matched
        return matched


def peer_host(scope: Scope) -> str | None:
    """Return the peer as the server names it, None when it does not."""
    client = scope.get("client")
    return client[0] if client else None


async def identify(
    scope: Scope, bound: BoundPolicy, matched: Matched, resolving: Resolving, now_ns: int
) -> list[int]:
    """Return a request's identities, asking the application's resolvers where the policy names any."""
    extractor = bound.extractor
    host = peer_host(scope)
    if not extractor.needs_context:
        return extractor.extract(scope["headers"], host)
    state = scope.get("state")
    context = Context(matched.params, {} if state is None else state, is_live=True)
    if matched.resolvers:
        resolved = await resolving.resolve(scope, bound, matched.resolvers, host, context, now_ns)
        context = Context(matched.params, context.state, resolved, is_live=True)
    return extractor.extract(scope["headers"], host, context)
