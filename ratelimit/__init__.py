"""Rate limiting for ASGI applications: exact across workers, with a policy in a file.

    app.add_middleware(RateLimitMiddleware, policy="policy.toml")

Names are imported when they are first used: `import ratelimit` by itself loads nothing else, and the
limiter loads no Starlette.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratelimit.asgi.middleware import RateLimitMiddleware
    from ratelimit.clock import Clock, ManualClock
    from ratelimit.decision import Decision, LimitedRequest, Reason, Verdict
    from ratelimit.errors import PolicyError, RateLimitError, StoreError, UsageError
    from ratelimit.inspection.proposals.customers import Budgets
    from ratelimit.limiter import Limiter
    from ratelimit.policy import Policy
    from ratelimit.stores.embedded.store import EmbeddedStore

__all__ = [
    "Budgets",
    "Clock",
    "Decision",
    "EmbeddedStore",
    "LimitedRequest",
    "Limiter",
    "ManualClock",
    "Policy",
    "PolicyError",
    "RateLimitError",
    "RateLimitMiddleware",
    "Reason",
    "StoreError",
    "UsageError",
    "Verdict",
]

_HOMES = {
    "Budgets": "inspection.proposals.customers",
    "Clock": "clock",
    "Decision": "decision",
    "EmbeddedStore": "stores.embedded.store",
    "LimitedRequest": "decision",
    "Limiter": "limiter",
    "ManualClock": "clock",
    "Policy": "policy",
    "PolicyError": "errors",
    "RateLimitError": "errors",
    "RateLimitMiddleware": "asgi.middleware",
    "Reason": "decision",
    "StoreError": "errors",
    "UsageError": "errors",
    "Verdict": "decision",
}

_OF_FRAMEWORKS = frozenset(("exempt", "limit", "limits"))


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if name in _OF_FRAMEWORKS:
        # Not an AttributeError: `from ratelimit import limit` would drop its words.
        raise ImportError(
            f"each framework has its own: from ratelimit.integrations.fastapi import {name}; also .starlette "
            "and .litestar. (This is kinlimit; the distribution called ratelimit is another one.)"
        )
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
