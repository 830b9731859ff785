"""An application that `ratelimit check` is given: imported, and read for limits and routes, not served."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ratelimit.asgi.middleware import RateLimitMiddleware
from ratelimit.asgi.routes.binding import Binding
from ratelimit.asgi.routes.coverage import Coverage, state_needed
from ratelimit.asgi.routes.survey import MOST_OPENED, held_by, survey
from ratelimit.asgi.routes.tables import Served
from ratelimit.cli.failure import USAGE, Failure
from ratelimit.clock import SystemClock
from ratelimit.errors import unforeseen
from ratelimit.inspection import formatting
from ratelimit.integrations.asked_limits import asked_limits
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.stores.factory import private_store
from ratelimit.wsgi.middleware import RateLimitMiddleware as WsgiMiddleware


def coverage_of(text: str) -> Coverage:
    """Return the limits of an application beside its routes; counters are private and forgotten.

    Raises:
        Failure: it cannot be imported, or has no middleware of ours.
        UsageError: limits in code do not fit: see `Coverage`.
        PolicyError: its policy cannot be used.
    """
    app = _imported(text)
    given = _given(app)
    if given is None:
        hint = 'Write `app.add_middleware(RateLimitMiddleware, policy="policy.toml")`.'
        raise Failure(
            f"{text}: no RateLimitMiddleware is around this application or among its own", USAGE, hint=hint
        )
    named, resolvers = given
    policy = named if isinstance(named, Policy) else Policy.load(named)
    store = private_store(policy, SystemClock())
    limiter = Limiter(policy, store=store, resolvers=resolvers, enabled=True)
    return Coverage(survey({"app": app}, app), limiter, {})


def limits_of(coverage: Coverage) -> tuple[tuple[Binding, ...], CompiledPolicy | None]:
    """Return every limit with its routes, those in code last, and the policy that the latter are in."""
    in_code = asked_limits(coverage.limiter)
    compiled = in_code.compiled
    if compiled is None:
        return coverage.bindings, None
    routes: dict[str, list[Served]] = {}
    for served, _, entered in coverage.asked:
        for name in entered.names:
            routes.setdefault(name, []).append(served)
    own = {rule.name for rule in in_code.rules}
    found = [
        Binding(limit, tuple(routes.get(limit.name, ())), True)
        for limit in compiled.limits
        if limit.name in own
    ]
    return (*coverage.bindings, *found), compiled


def identity_words(binding: Binding, compiled: CompiledPolicy, coverage: Coverage) -> str:
    """Return what a limit counts by, and whether that can be known when it is asked."""
    names = [compiled.identities[at].name for at in binding.limit.per if at < len(compiled.identities)]
    words = formatting.as_said(" + ".join(names)) or "everyone"
    unset = state_needed(binding.limit, compiled)
    if not unset:
        return words
    if not binding.is_asked and coverage.survey.is_outermost:
        return f"{words}: state:{unset[0]} is not set by then"
    return f"{words}: if state:{unset[0]} is set by then"


def _imported(text: str) -> Any:
    module, _, path = text.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except Exception as error:
        raise Failure(f"{text} cannot be imported: {unforeseen(error)}", USAGE) from error
    return found


def _given(app: object) -> tuple[Any, Mapping[str, Any] | None] | None:
    """Return policy and resolvers of the nearest middleware of ours, in or around an application."""
    for found in _within(app):
        if isinstance(found, (RateLimitMiddleware, WsgiMiddleware)):
            return found.limiter.policy, found.limiter.runtime.resolvers
        made = getattr(found, "cls", None) or getattr(found, "middleware", None)
        if made is RateLimitMiddleware:
            options: Mapping[str, Any] = getattr(found, "kwargs", {})
            limiter = options.get("limiter")
            if isinstance(limiter, Limiter):
                return limiter.policy, limiter.runtime.resolvers
            args = getattr(found, "args", ())
            policy = options.get("policy", args[0] if args else None)
            return None if policy is None else (policy, options.get("resolvers"))
    return None


def _within(start: object) -> Iterator[object]:
    """Yield an object, what it wraps, and the middlewares that frameworks keep until they start."""
    waiting, seen = [start], {id(start)}
    while waiting and len(seen) <= MOST_OPENED:
        this = waiting.pop(0)
        yield this
        listed = [getattr(this, name, None) for name in ("user_middleware", "middleware")]
        more = [each for some in listed if isinstance(some, list) for each in some]
        for held in (*more, *held_by(this)):
            if id(held) not in seen and (callable(held) or held in more):
                seen.add(id(held))
                waiting.append(held)
