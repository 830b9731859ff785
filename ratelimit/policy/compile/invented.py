"""Limits by values that a client invents, where no limit by address or by a verified value stands beside.

A header or a cookie is the client's own word. An invented one begins a fresh budget, and the application
learns of it only after the limit has let the request in. A limit by address beside it bounds how many there
can be.
"""

from __future__ import annotations

from ratelimit.facts import sources
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitSpec


def invented_words(compiled: CompiledPolicy) -> str:
    """Return what is said of a policy's limits by invented values; nothing where each has one beside it."""
    names = invented(compiled)
    if not names:
        return ""
    listed = ", ".join(f"`{name}`" for name in names)
    return (
        f"{listed}: counted by {sources.invented_words()} alone, so a client that "
        'invents values is not limited. Add a limit with `per = "ip"` beside, wide enough for an office'
    )


def invented(compiled: CompiledPolicy) -> list[str]:
    """Return the limits that a client can leave by inventing values, and that no other limit backs."""
    found: dict[str, None] = {}
    for route in compiled.router.every_route():
        for applying in (route.on_request, route.on_connect):
            limits = [compiled.limits[at] for at in applying]
            if not any(_backs(limit, compiled) for limit in limits):
                found |= {limit.name: None for limit in limits if _is_invented(limit, compiled)}
    return [limit.name for limit in compiled.limits if limit.name in found]


def _is_invented(limit: LimitSpec, compiled: CompiledPolicy) -> bool:
    return any(_is_written(at, compiled) for at in limit.per)


def _backs(limit: LimitSpec, compiled: CompiledPolicy) -> bool:
    """Return whether a limit bounds callers whatever they write."""
    is_enforced = not limit.shadow and limit.enforced_ppm == 1_000_000
    return (
        is_enforced
        and not any(_is_written(at, compiled) for at in limit.per)
        and not any(compiled.is_actor(at) for at in limit.per)
    )


def _is_written(at: int, compiled: CompiledPolicy) -> bool:
    return at < len(compiled.identities) and any(
        source.record.is_invented for source in compiled.identities[at].sources
    )
