"""The middleware: one pure ASGI class around any application.

Theory of operation. A request is charged when it arrives, before the application sees
it, so however many come in one packet exactly as many are admitted as the limits allow.
If the policy needs no resolver, nothing is awaited before the application is called.
Most requests are of a common kind, which `gate` decides in one compiled call; whatever it
turns away has not been charged, and goes the long way here (`_with_care`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import partial
from weakref import WeakSet

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ratelimit.asgi.arrival import PlacedMatches, identify, target_of
from ratelimit.asgi.coverage import check_routes
from ratelimit.asgi.diagnostics import several_workers
from ratelimit.asgi.exchange import Exchange, Sending
from ratelimit.asgi.gate import SAMPLE, Gate
from ratelimit.asgi.headers import HeaderWriter
from ratelimit.asgi.mount import Mount, mount_limiter, mount_policy
from ratelimit.asgi.problem import Responder
from ratelimit.asgi.refusal import refuse_handshake, refuse_http
from ratelimit.asgi.settlement import run_holding
from ratelimit.asgi.websocket import LimitedReceive
from ratelimit.clock import Clock
from ratelimit.decision import Decision, Reason
from ratelimit.errors import UsageError, fault_of
from ratelimit.generation import Generation, Matched
from ratelimit.judging import actor_in
from ratelimit.limiter import Limiter
from ratelimit.observer import Observer
from ratelimit.policy import Policy
from ratelimit.policy.target import NOWHERE
from ratelimit.resolvers import Resolver
from ratelimit.stores.base import Store
from ratelimit.telemetry.names import REQUEST_COLUMN, ROW_REQUESTS

COLUMNS = (REQUEST_COLUMN[False, Reason.LIMITS], REQUEST_COLUMN[True, Reason.LIMITS])


class RateLimitMiddleware:
    """Limits the requests, handshakes and messages that reach an ASGI application.

        app.add_middleware(RateLimitMiddleware, policy="policy.toml")

    Args:
        app: the application.
        policy: a policy, or the path of its file; the file is watched and reloaded.
        limiter: instead of `policy`, a limiter of your own; what happens to it is logged as well.
        resolvers: the application's callables for `resolver:NAME`, by name. Each is given
            the scope and returns a value, None, or an awaitable of either.
        responder: replaces the answer to a refused request: an async callable given scope
            and decision that returns an ASGI application, such as a Starlette response.
        resolver_timeout_s: how long an awaited resolver may take.
        reload_interval_s: how often the policy file is looked at; 0 for never.
        store, clock, observer: passed on to the limiter made for `policy`, like `resolvers`; a
            limiter of your own has all four already.

    Raises:
        PolicyError: the policy cannot be used. Where a server runs already, and so made by a framework,
            the startup fails instead, and without a lifespan each scope, until it can. So with any other
            fault of what `policy` leads to.
        StoreError: its store cannot be used; likewise.
        UsageError: neither or both of `policy` and `limiter` are given (code `middleware-policy`),
            or a limiter together with what belongs to it (code `middleware-limiter`).
    """

    def __init__(
        self,
        app: ASGIApp,
        policy: Policy | str | os.PathLike[str] | None = None,
        *,
        limiter: Limiter | None = None,
        resolvers: Mapping[str, Resolver] | None = None,
        responder: Responder | None = None,
        resolver_timeout_s: float = 1.0,
        reload_interval_s: float = 2.0,
        store: Store | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.app = app
        self._responder = responder
        self._now_ns: Callable[[], int]
        timing = (resolver_timeout_s, reload_interval_s)
        if limiter is not None and policy is None:
            theirs = {"resolvers": resolvers, "store": store, "clock": clock, "observer": observer}
            _refuse_settings([name for name, value in theirs.items() if value is not None])
            self._mount_on(mount_limiter(limiter, *timing))
        elif policy is not None and limiter is None:
            mount = partial(
                mount_policy,
                policy,
                *timing,
                store=store,
                clock=clock,
                resolvers=resolvers,
                observer=observer,
            )
            try:
                self._mount_on(mount())
            except Exception:
                if not _is_served():
                    raise
                # Frameworks make their middleware with the first scope. Raised from there, a server takes
                # it that the application knows no lifespan, starts, and answers each request with 500.
                self._now_ns = partial(self._mount_late, mount)
        else:
            raise UsageError("give the middleware either a policy or a limiter", code="middleware-policy")

    def _mount_on(self, mount: Mount) -> None:
        self._mount = mount
        self.limiter = mount.limiter
        self._now_ns = self.limiter.now_ns
        self._resolving = mount.resolving
        self._upkeep = mount.upkeep
        self._is_awake = False
        self._is_surveyed = False
        self._placement = NOWHERE
        self._generation: Generation | None = None
        self._gate: Gate | None = None
        self._decisions = 0
        self.writer = HeaderWriter(self.limiter.current.headers)
        _MOUNTED.add(self)

    def _mount_late(self, mount: Callable[[], Mount]) -> int:
        """Try again what failed when this was made, with each scope; return the time once it works."""
        self._mount_on(mount())
        return self._now_ns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            now_ns = self._now_ns()
            generation = self.limiter.current
            if generation is not self._generation or generation.until_ns is not None:
                generation = self._wake(now_ns, scope)
            gate = self._gate
            sending = None if gate is None else gate.enter(scope, send, now_ns)
            if sending is None:
                await self._with_care(scope, receive, send, generation, now_ns)
            elif sending.is_plain:
                await self.app(scope, receive, sending.send)
            else:
                await self._answer(scope, receive, sending.send, sending.exchange)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _with_care(
        self, scope: Scope, receive: Receive, send: Send, generation: Generation, now_ns: int
    ) -> None:
        """Go the long way: a kind not seen yet, lists, tiers, resolvers, required identities, no limit."""
        outer = scope.get("ratelimit")
        if outer is not None and self._is_mounted_twice(outer):
            await self.app(scope, receive, send)
            return
        matched = generation.match(scope["method"], target_of(scope, self._placement))
        if matched.is_limited or generation.has_lists:
            identities = await identify(scope, generation, matched, self._resolving, now_ns)
        else:
            identities = generation.extractor.nobody
        exchange = await self._judged(scope, generation, matched, identities, now_ns, outer)
        if exchange.outcome is None and exchange.is_allowed:
            await self.app(scope, receive, send)
        else:
            await self._answer(scope, receive, Sending(exchange, send).send, exchange)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Refuse a request, or run the application and give back what was held."""
        outcome = exchange.outcome
        if outcome is None or not exchange.is_allowed:
            await refuse_http(scope, receive, send, exchange, self._responder)
        elif outcome.holds_slots:
            await run_holding(self.app, scope, receive, send, outcome, self.limiter.clock)
        else:
            await self.app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        now_ns = self._now_ns()
        generation = self._wake(now_ns, scope)
        outer = scope.get("ratelimit")
        if outer is not None and self._is_mounted_twice(outer):
            await self.app(scope, receive, send)
            return
        target = target_of(scope, self._placement)
        matched = generation.match("GET", target, "connect")
        identities = await identify(scope, generation, matched, self._resolving, now_ns)
        exchange = await self._judged(scope, generation, matched, identities, now_ns, outer)
        outcome = exchange.outcome
        sending = Sending(exchange, send).send
        if not exchange.is_allowed:
            await refuse_handshake(scope, receive, sending, exchange, self._responder)
            return
        if outcome is not None or exchange.decision.reason is not Reason.ALLOW_LIST:
            receive = LimitedReceive(receive, send, scope, target, self.limiter, self._resolving)
        if outcome is not None and outcome.holds_slots:
            await run_holding(self.app, scope, receive, sending, outcome, self.limiter.clock)
        else:
            await self.app(scope, receive, sending)

    async def _judged(
        self,
        scope: Scope,
        generation: Generation,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        outer: Exchange | None,
    ) -> Exchange:
        """Return a request's or handshake's exchange, decided, charged and left in its scope."""
        limiter = self.limiter
        if limiter.store.is_remote:
            judgement = await limiter.ajudge(generation, matched, identities, now_ns)
        else:
            judgement = limiter.judge(generation, matched, identities, now_ns)
        allowed, reason, plan, outcome = judgement
        cross_origin = identities[generation.extractor.origin_at] != 0
        exchange = Exchange(self, self.writer, plan, outcome, now_ns, cross_origin, outer)
        exchange.actor, exchange.certainty = actor_in(generation, identities)
        if outcome is None:
            exchange.decision = Decision(allowed, reason, None, exchange.actor, exchange.certainty)
        else:
            self._time(now_ns)
        if not allowed:
            exchange.asked_by(generation.watch, identities)
        scope["ratelimit"] = exchange
        return exchange

    def _time(self, begin_ns: int) -> None:
        self._decisions += 1
        if self._decisions >= SAMPLE:
            self._decisions = 0
            self._sample_latency(begin_ns)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            now_ns = self._now_ns()
        except Exception as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(fault_of(error, "the policy"))})
            raise
        self._wake(now_ns, scope)

        async def send_at_rest(message: Message) -> None:
            # Who hears this may end the process at once: uvicorn does, by the signal it was sent.
            if message["type"].startswith("lifespan.shutdown."):
                await self._rest()
            await send(message)

        try:
            await self.app(scope, receive, send_at_rest)
        finally:
            # A server may go on without lifespan when the application has none: the next
            # request wakes us again, and the store stays open until the process ends.
            await self._rest()

    def _wake(self, now_ns: int, scope: Scope) -> Generation:
        """Return the policy in force, after whatever the first scope or a reload calls for."""
        generation = self.limiter.generation_at(now_ns)
        if not self._is_surveyed:
            # Now, and not when this was made: an application may get its routes after its middleware.
            self._is_surveyed = True
            survey = self._mount.survey(scope, self.app)
            self._placement = survey.placement
            check_routes(survey, self.limiter)
        if generation is not self._generation:
            self.writer = HeaderWriter(generation.headers)
            # The gate decides without awaiting: it is for limits in this host's memory, and leases.
            is_here = generation.is_plain and self.limiter.store.decides_here
            self._gate = self._new_gate(generation) if is_here else None
            self._generation = generation
        if not self._is_awake:
            self._is_awake = True
            if self._upkeep is not None:
                self._upkeep.start()
            store = self.limiter.store
            if store.memory == "private" and not store.is_remote and several_workers():
                self.limiter.notice("private-memory")
        return generation

    def _new_gate(self, generation: Generation) -> Gate:
        matches = generation if self._placement.is_plain else PlacedMatches(generation, self._placement)
        return Gate(
            self,
            self.writer,
            match=matches.match,
            requests=matches.requests,
            extractor=generation.extractor,
            table=self.limiter.table,
            row=self.limiter.table.counter(ROW_REQUESTS),
            columns=COLUMNS,
            sample=self._sample_latency,
            watch=generation.watch,
            target=partial(target_of, placement=self._placement),
        )

    def _sample_latency(self, begin_ns: int) -> None:
        self.limiter.counters.observe_latency(self._now_ns() - begin_ns)

    def _sleep(self) -> None:
        self._is_awake = False
        self._generation = None

    async def _rest(self) -> None:
        if self._is_awake:
            self._sleep()
            if self._upkeep is not None:
                self._upkeep.stop()
        await self.limiter.rest()

    def _is_mounted_twice(self, outer: Exchange) -> bool:
        if outer.mounted.limiter.source != self.limiter.source:
            return False
        self.limiter.notice("mounted-twice")
        return True


def _is_served() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _refuse_settings(names: list[str]) -> None:
    # Resolvers that are silently never asked would leave everybody without an identity.
    if names:
        raise UsageError(
            f"the middleware was given a limiter and {', '.join(names)}; give what belongs to the limiter "
            "to `Limiter(…)`",
            code="middleware-limiter",
        )


_MOUNTED: WeakSet[RateLimitMiddleware] = WeakSet()


def _sleep_after_fork() -> None:
    # Threads do not survive a fork: the child's first scope starts its own.
    for middleware in list(_MOUNTED):
        middleware._sleep()


os.register_at_fork(after_in_child=_sleep_after_fork)
