"""The peer of a scope, and the client that its request is held by."""

from __future__ import annotations

from starlette.types import Scope

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.waiting.model.fair_bound import Path


def peer_host(scope: Scope) -> str | None:
    """Return the peer as the server names it, None when it does not."""
    client = scope.get("client")
    return client[0] if client else None


def holder_of(scope: Scope, bound: BoundPolicy) -> Path:
    """Return the network and the client that what a request holds of its worker counts for."""
    return bound.holder(scope["headers"], peer_host(scope))
