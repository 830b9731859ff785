"""What a scope says of a request: its path, its peer, its identities."""

from __future__ import annotations

from starlette.types import Scope

from ratelimit.asgi.resolving import Resolving
from ratelimit.generation import Generation, Matched
from ratelimit.identity.fact import Context


def route_path(scope: Scope) -> str:
    """Return the path the application routes by: without the prefix it is mounted under."""
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path


def peer_host(scope: Scope) -> str | None:
    """Return the peer as the server names it, None when it does not."""
    client = scope.get("client")
    return client[0] if client else None


async def identify(
    scope: Scope, generation: Generation, matched: Matched, resolving: Resolving, now_ns: int
) -> list[int]:
    """Return a request's identities, asking the application's resolvers where the policy names any."""
    extractor = generation.extractor
    host = peer_host(scope)
    if not extractor.needs_context:
        return extractor.extract(scope["headers"], host)
    state = scope.get("state")
    context = Context(matched.params, {} if state is None else state)
    if matched.resolvers:
        resolved = await resolving.resolve(scope, generation, matched.resolvers, host, context, now_ns)
        context = Context(matched.params, context.state, resolved)
    return extractor.extract(scope["headers"], host, context)
