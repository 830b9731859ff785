"""The common part of all middlewares of one policy in this process.

Theory of operation. Some frameworks make a middleware for each route (Litestar does), and
several applications may share a process. What is asked for with the same arguments is then one
limiter, with one mapping, one set of resolvers' answers and one thread of upkeep.
A limit in private memory would otherwise be one for each route.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, TypedDict, Unpack
from weakref import WeakValueDictionary

from starlette.types import Receive, Scope, Send

from ratelimit.asgi.metering.request import Metering
from ratelimit.asgi.resolving import Resolving
from ratelimit.asgi.routes.coverage import Coverage
from ratelimit.asgi.routes.start import log_start
from ratelimit.asgi.routes.survey import Survey, survey
from ratelimit.challenge.hook import Challenge
from ratelimit.clock import Clock, ManualClock
from ratelimit.errors import UsageError, fault_of
from ratelimit.events import Observer
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.runtime.resolvers import Resolver
from ratelimit.stores.contract import Store
from ratelimit.worker.diagnostics import UNTIL_ROUTES, LoggingObserver, log_warnings, start_logging
from ratelimit.worker.siblings import is_server
from ratelimit.worker.upkeep import Upkeep


class Mount:
    """One limiter at work behind one or several middlewares.

    Args:
        limiter: the one that decides.
        resolver_timeout_s: how long an awaited resolver may take.
        reload_interval_s: how often the policy file is looked at; 0 for never. Between requests a thread
            keeps up what has to be, either way. Only time that passes by itself needs one: under a
            `ManualClock` and with 0, what is due is done with the requests.
        given: what it was made from, held on to: the mount is known by these objects' ids.
    """

    def __init__(
        self, limiter: Limiter, resolver_timeout_s: float, reload_interval_s: float, *given: object
    ) -> None:
        self.limiter = limiter
        self.given = given
        self.resolving = Resolving(limiter, resolver_timeout_s)
        self.metering = Metering(limiter)
        needs_thread = reload_interval_s > 0 or not isinstance(limiter.clock, ManualClock)
        self.upkeep = Upkeep(limiter, reload_interval_s) if needs_thread else None
        self._surveyed: tuple[object, Survey] | None = None
        self._covered: tuple[object, Coverage] | None = None
        self._is_said = False

    def cover(self, survey: Survey, state: Mapping[str, Any]) -> Coverage:
        """Bind limits to an application's routes, and report what is wrong; once for each application.

        Raises:
            UsageError: as `Coverage` and its `say`.
        """
        if self._covered is None or self._covered[0] is not survey:
            coverage = Coverage(survey, self.limiter, state)
            if not self._is_said:
                self._is_said = True
                log_start(coverage)
            coverage.say()
            self._covered = survey, coverage
        return self._covered[1]

    def survey(self, scope: Scope, app: object) -> Survey:
        """Return what the application behind a middleware says of itself."""
        named = scope.get("litestar_app")
        if named is None:
            return survey(scope, app)
        # Of its many middlewares one looks for all.
        if self._surveyed is None or self._surveyed[0] is not named:
            self._surveyed = named, survey(scope, app)
        return self._surveyed[1]


_MOUNTS: WeakValueDictionary[Hashable, Mount] = WeakValueDictionary()


class Given(TypedDict, total=False):
    """The settings of a middleware that belong to its limiter: see `Limiter`."""

    store: Store | None
    clock: Clock | None
    resolvers: Mapping[str, Resolver] | None
    observer: Observer | None
    enabled: bool | None
    challenge: Challenge | None


def mounting(
    policy: Policy | str | os.PathLike[str] | None,
    limiter: Limiter | None,
    *timing: float,
    **settings: Unpack[Given],
) -> Callable[[], Mount]:
    """Return what makes the mount of a middleware or an interceptor, of a policy or of a limiter.

    Args:
        policy, limiter: one of them.
        timing: as for `Mount`.
        settings: what the limiter is made with.

    Raises:
        UsageError: neither or both are given (code `middleware-policy`), or a limiter together with what
            belongs to it (code `middleware-limiter`).
    """
    if policy is not None and limiter is None:
        return partial(mount_policy, policy, *timing, **settings)
    if limiter is None or policy is not None:
        raise UsageError("give the middleware either a policy or a limiter", code="middleware-policy")
    # Resolvers that are silently never asked would leave every request without an identity.
    names = [name for name, value in settings.items() if value is not None]
    if names:
        raise UsageError(
            f"the middleware was given a limiter and {', '.join(names)}; give what belongs to the limiter "
            "to `Limiter(…)`",
            code="middleware-limiter",
        )
    return partial(mount_limiter, limiter, *timing)


def mount_limiter(limiter: Limiter, *timing: float) -> Mount:
    """Return the mount of a limiter; `timing` is as for `Mount`."""
    key = (id(limiter), timing)
    mount = _MOUNTS.get(key)
    if mount is None:
        start_logging(limiter, UNTIL_ROUTES)
        mount = _MOUNTS[key] = Mount(limiter, *timing)
    return mount


def mount_policy(
    policy: Policy | str | os.PathLike[str],
    *timing: float,
    store: Store | None = None,
    clock: Clock | None = None,
    resolvers: Mapping[str, Resolver] | None = None,
    observer: Observer | None = None,
    enabled: bool | None = None,
    challenge: Challenge | None = None,
) -> Mount:
    """Return the mount of a policy, made unless there is one for the same arguments."""
    named = policy if isinstance(policy, Policy) else os.path.realpath(policy)
    by_name = sorted((resolvers or {}).items(), key=lambda item: item[0])
    given = (policy, store, clock, observer, challenge, *(resolver for _, resolver in by_name))
    key = (
        id(named) if isinstance(named, Policy) else named,
        tuple(name for name, _ in by_name),
        *(id(one) for one in given[1:]),
        enabled,
        timing,
    )
    mount = _MOUNTS.get(key)
    # A caller that asks after the file was changed gets what it says now, or its errors.
    if mount is None or mount.limiter.runtime.file.is_outdated:
        watching = LoggingObserver(observer, clock)
        limiter = Limiter(
            policy,
            store=store,
            clock=clock,
            resolvers=resolvers,
            observer=watching,
            enabled=enabled,
            challenge=challenge,
        )
        log_warnings(limiter.policy, UNTIL_ROUTES)
        mount = _MOUNTS[key] = Mount(limiter, *timing, *given)
    return mount


def is_served() -> bool:
    """Return whether a server starts the application: a fault then ends the start by its lifespan, in a line.

    Frameworks make their middleware with the first scope, when a loop runs. Other applications make it as the
    server imports them.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return is_server()
    return True


async def is_told(error: Exception, receive: Receive, send: Send) -> bool:
    """Fail a startup; return whether its message says all. Raised as well, the error is a traceback."""
    fault = fault_of(error, "the policy")
    await receive()
    await send({"type": "lifespan.startup.failed", "message": fault.brief})
    return fault is error and is_server()
