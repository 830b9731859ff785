"""A request as read from its scope: path, peer, identities."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from ratelimit.asgi.peer import peer_host
from ratelimit.asgi.resolving import Resolving
from ratelimit.deciding.bound_policy import (
    COMMON_METHODS,
    LONGEST_CACHED_PATH,
    MOST_PATHS,
    BoundPolicy,
    Matched,
)
from ratelimit.identity.fact import Context
from ratelimit.identity.remembered import Answer
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
    """The matches of HTTP requests for one application that reads paths in ways of its own.

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


class Unresolved:
    """A request with resolvers that have to be asked before its identities are known."""

    __slots__ = ("_resolving", "_state", "bound", "matched", "now_ns", "scope")

    def __init__(
        self, scope: Scope, bound: BoundPolicy, matched: Matched, resolving: Resolving, now_ns: int
    ) -> None:
        state = scope.get("state")
        self._state: object = {} if state is None else state
        self.scope = scope
        self.bound = bound
        self.matched = matched
        self._resolving = resolving
        self.now_ns = now_ns

    def known(self) -> list[int]:
        """Return the identities that are known without an answer of a resolver."""
        return self.bound.early.without_late(self._extract({}))

    def remembered(self) -> list[int] | None:
        """Return the identities if all answers are remembered from earlier requests; else None."""
        answers = self._resolving.remembered(*self._asked(), self.now_ns)
        return None if answers is None else self._extract(answers)

    async def identities(self) -> list[int]:
        """Ask the resolvers, and return the identities.

        Raises:
            Ended: too many calls are under way, and this request's client has most of them.
        """
        return self._extract(await self._resolving.resolve(*self._asked(), self.now_ns))

    def _asked(self) -> tuple[Scope, BoundPolicy, tuple[str, ...], str | None, Context]:
        context = Context(self.matched.params, self._state, is_live=True)
        return self.scope, self.bound, self.matched.resolvers, peer_host(self.scope), context

    def _extract(self, answers: Mapping[str, Answer]) -> list[int]:
        context = Context(self.matched.params, self._state, answers, is_live=True)
        return self.bound.extractor.extract(self.scope["headers"], peer_host(self.scope), context)


def read_identities(
    scope: Scope, bound: BoundPolicy, matched: Matched, resolving: Resolving, now_ns: int
) -> list[int] | Unresolved:
    """Return a request's identities, or what asks the application's resolvers for them."""
    extractor = bound.extractor
    if not extractor.needs_context:
        return extractor.extract(scope["headers"], peer_host(scope))
    if matched.resolvers:
        unresolved = Unresolved(scope, bound, matched, resolving, now_ns)
        remembered = unresolved.remembered()
        return unresolved if remembered is None else remembered
    state = scope.get("state")
    context = Context(matched.params, {} if state is None else state, is_live=True)
    return extractor.extract(scope["headers"], peer_host(scope), context)


async def identify(
    scope: Scope, bound: BoundPolicy, matched: Matched, resolving: Resolving, now_ns: int
) -> list[int]:
    """Return a request's identities, asking the application's resolvers where the policy names any.

    Raises:
        Ended: as `Unresolved.identities` does.
    """
    found = read_identities(scope, bound, matched, resolving, now_ns)
    return found if isinstance(found, list) else await found.identities()
