"""The middleware: one pure ASGI class around any application.

Theory of operation. A request is charged when it arrives, before the application sees it. So however many
come in one packet, exactly as many are admitted as the limits allow. If the policy needs no resolver, nothing
is awaited before the application is called. Most requests are of a common kind, which `gate` decides in one
compiled call. Whatever it turns away has not been charged, and takes the slow path here (`_decide_slowly`).

In one file, since the application constructs one class, and each method is a step of one request.
"""

from __future__ import annotations

import os
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar
from weakref import WeakSet

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ratelimit.asgi.arrival import PlacedMatches, read_identities, target_of
from ratelimit.asgi.deciding import SlowPath
from ratelimit.asgi.door import Door, Responder
from ratelimit.asgi.ending import run_holding, run_to_end
from ratelimit.asgi.exchange import Exchange, Sending
from ratelimit.asgi.gate import Gate, Metered
from ratelimit.asgi.hangup import WatchedVisit, visit_of
from ratelimit.asgi.messages import LimitedSocket, SocketDoor
from ratelimit.asgi.metering.body import Replayed, resize
from ratelimit.asgi.metering.request import MeteredRequest, run_metered, told_by
from ratelimit.asgi.mount import Mount, is_served, is_told, mounting
from ratelimit.asgi.refusal import closing, refuse, refuse_http
from ratelimit.asgi.routes.coverage import Coverage
from ratelimit.asgi.routes.survey import Survey
from ratelimit.asgi.websocket import ended
from ratelimit.challenge.hook import Challenge
from ratelimit.clock import Clock
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.compiled import Asking
from ratelimit.decision import Reason
from ratelimit.errors import StoreError, UsageError
from ratelimit.events import Observer
from ratelimit.http.fields import HeaderWriter
from ratelimit.limiter import Limiter
from ratelimit.load.stage import LoadLimits, LoadPart, gated
from ratelimit.policy import Policy
from ratelimit.policy.routing.target import NOWHERE, Placement
from ratelimit.runtime.resolvers import Resolver
from ratelimit.stores.contract import Store
from ratelimit.worker.siblings import several_workers


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
        reload_interval_s: how often the policy file is looked at; 0 for never. Heartbeats and correlating
            go on either way.
        challenge: asked about a request that limits that challenge refuse, given the scope and
            the decision: True lets it pass, an ASGI application is the answer. See `challenge.hook`.
        store, clock, observer, enabled: passed on to the limiter made for `policy`, like `resolvers` and
            `challenge`; a limiter of your own has all six already.

    Raises:
        PolicyError: the policy cannot be used. If a server is already running, the constructor does not
            raise: the startup fails instead, and without a lifespan each request, until the policy loads.
            The same holds for any other fault of what `policy` leads to.
        StoreError: its store cannot be used; likewise.
        UsageError: neither or both of `policy` and `limiter` are given (code `middleware-policy`),
            or a limiter together with what belongs to it (code `middleware-limiter`).
    """

    _enters: ClassVar[bool] = True
    """Whether answers are seen, so that limits that follow the load count requests."""

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
        enabled: bool | None = None,
        challenge: Challenge | None = None,
    ) -> None:
        self.app = app
        self.responder = responder
        self._now_ns: Callable[[], int]
        mount = mounting(
            policy,
            limiter,
            resolver_timeout_s,
            reload_interval_s,
            store=store,
            clock=clock,
            resolvers=resolvers,
            observer=observer,
            enabled=enabled,
            challenge=challenge,
        )
        try:
            self._mount_on(mount())
        except Exception:
            if not is_served():
                raise
            # Raised from the first scope, a server takes it that the application knows no lifespan and
            # answers each request with 500. Raised at the import, it is a traceback of each worker.
            self._now_ns = partial(self._mount_late, mount)

    def _mount_on(self, mount: Mount) -> None:
        self._mount = mount
        self.limiter = mount.limiter
        self._runtime = mount.limiter.runtime
        self._now_ns = self.limiter.now_ns
        self.resolving = mount.resolving
        self._door = Door(self.limiter, mount.resolving, self.responder)
        self._upkeep = mount.upkeep
        self._is_awake = False
        self._survey: Survey | None = None
        self._coverage: Coverage | None = None
        self._bound: BoundPolicy | None = None
        self._gate: Gate | None = None
        self._deciding = SlowPath(mount, self._door, enters=self._enters)
        _MOUNTED.add(self)

    def _mount_late(self, mount: Callable[[], Mount]) -> int:
        """Try again what failed when this was made, with each scope; return the time once it works."""
        self._mount_on(mount())
        return self._now_ns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            now_ns = self._now_ns()
            bound = self._runtime.current
            if bound is not self._bound or bound.until_ns is not None:
                bound = self._wake(now_ns, scope)
            gate = self._gate
            sending = None if gate is None else gate.enter(scope, send, now_ns)
            if sending is None:
                await self._decide_slowly(scope, receive, send, bound, now_ns)
                return
            if not sending.is_plain:
                if isinstance(sending, Metered):
                    await self._meter(sending, scope, receive, send, bound, now_ns)
                    return
                if gate is not None and sending.asking is not None:
                    try:
                        await sending.asking.reply
                    except (StoreError, CancelledError) as error:
                        sending = self._unanswered(sending.asking, error, scope, send, bound)
                    else:
                        gate.conclude(scope, sending)
            if sending.is_plain:
                try:
                    await self.app(scope, receive, sending.send)
                except Exception:
                    sending.exchange.fail()
                    raise
                finally:
                    if sending.holds:
                        sending.release(self._now_ns)
            elif sending.is_refused and not self._runtime.ends:
                await refuse_http(scope, receive, sending.send, sending.exchange, self.responder)
            else:
                await self._answer(scope, receive, sending.send, sending.exchange)
        elif kind == "websocket":
            now_ns = self._now_ns()
            bound = self._runtime.current
            if bound is not self._bound or bound.until_ns is not None:
                bound = self._wake(now_ns, scope)
            gate = self._gate
            sending = None if gate is None else gate.enter_socket(scope, receive, send, now_ns)
            if sending is None:
                await self._shake_hands(scope, receive, send, bound, now_ns)
                return
            receive = sending.receive
            if gate is not None and not sending.is_plain and sending.asking is not None:
                try:
                    await sending.asking.reply
                except (StoreError, CancelledError) as error:
                    sending = self._unanswered(sending.asking, error, scope, send, bound)
                else:
                    gate.conclude(scope, sending)
            if sending.is_plain:
                try:
                    await self.app(scope, receive, sending.send)
                finally:
                    if sending.holds:
                        sending.release(self._now_ns)
            else:
                await self._answer(scope, receive, sending.send, sending.exchange)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _unanswered(
        self, asking: Asking, error: BaseException, scope: Scope, send: Send, bound: BoundPolicy
    ) -> Sending:
        """Return the sending of a request whose server does not answer; go on with a cancellation."""
        if not isinstance(error, StoreError):
            asking.give_up()
            raise error
        return Sending(self._deciding.without_server(scope, bound, asking, error), send)

    async def _meter(
        self,
        metered: Metered,
        scope: Scope,
        receive: Receive,
        send: Send,
        bound: BoundPolicy,
        now_ns: int,
    ) -> None:
        """Decide a request by its body, if that is there, and settle it by its answer."""
        is_decided = metered.decide(receive, now_ns)
        if metered.begun is not None:
            if metered.written is not None:
                resize(scope, len(metered.written))
            receive = Replayed(metered.begun, receive, metered.written).receive
        if not is_decided:
            has_looked = metered.has_looked
            await self._decide_slowly(scope, receive, send, bound, now_ns, has_looked=has_looked)
            return
        exchange, send = metered.sending.exchange, metered.sending.send
        if metered.sending.is_refused:
            await refuse_http(scope, receive, send, exchange, self.responder)
        else:
            await run_metered(self.app, scope, receive, send, exchange, metered.use, self._now_ns)

    async def _decide_slowly(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        bound: BoundPolicy,
        now_ns: int,
        *,
        has_looked: bool = False,
    ) -> None:
        """Take the slow path: a resolver, a body that is not here, a wait, a stage that is not compiled."""
        outer = scope.get("ratelimit")
        if outer is not None and self._is_mounted_twice(outer):
            await self.app(scope, receive, send)
            return
        if not self.limiter.is_enabled:
            await self._pass(scope, receive, send, now_ns)
            return
        matched = bound.match(scope["method"], target_of(scope, self._placement))
        identities = bound.extractor.anonymous
        # A limit that follows the load goes by identities as well, where no other limit applies.
        if matched.is_limited or bound.has_lists or matched.rank >= 0:
            found = read_identities(scope, bound, matched, self.resolving, now_ns)
            identified = found if isinstance(found, list) else await self._deciding.resolved(found, outer)
            if isinstance(identified, Exchange):
                await self._answer(scope, receive, Sending(identified, send).send, identified)
                return
            identities = identified
        visit = visit_of(scope, receive, bound, matched, self._mount.metering.held)
        receive = receive if visit is None else visit.receive
        try:
            metered = None
            if bound.is_metered:
                share = None if visit is None else visit.share
                asked = scope, receive, bound, matched, identities, share
                metered = self._mount.metering.request(*asked, has_looked=has_looked)
            if metered is not None:
                await self._metered(metered, scope, send, bound, identities, outer, visit)
                return
            deciding = self._deciding.decided(scope, bound, matched, identities, now_ns, outer, visit=visit)
            if visit is None:
                exchange = await deciding
            else:
                exchange = await self._deciding.unless_ended(visit.share, deciding, scope, outer)
                send = closing(visit.share, scope, send)
            if visit is None or not visit.is_over(exchange, self._now_ns()):
                await self._answer(scope, receive, Sending(exchange, send).send, exchange, visit)
        finally:
            if visit is not None:
                visit.forget_unasked()

    async def _metered(
        self,
        metered: MeteredRequest,
        scope: Scope,
        send: Send,
        bound: BoundPolicy,
        identities: list[int],
        outer: Exchange | None,
        visit: WatchedVisit | None = None,
    ) -> None:
        """Decide a request by what it declares, and settle it by what its answer says."""
        deciding = self._deciding.decided_metered(metered, scope, bound, identities, outer, visit)
        try:
            share = metered.share
            if share is None:
                exchange = await deciding
            else:
                exchange = await self._deciding.unless_ended(share, deciding, scope, outer)
                send = closing(share, scope, send)
            if exchange is None:
                return
            sending = Sending(exchange, send).send
            if visit is not None and visit.is_over(exchange, self._now_ns()):
                return
            await self._answer(scope, metered.receive, sending, exchange, visit, metered)
        finally:
            metered.let_go()

    async def _run_metered(
        self, metered: MeteredRequest, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        await run_metered(self.app, scope, receive, send, exchange, metered.use, self._now_ns)

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        exchange: Exchange,
        visit: WatchedVisit | None = None,
        metered: MeteredRequest | None = None,
    ) -> None:
        """Refuse a request or handshake, or run the application; then comes its end."""
        responder = self.responder if visit is None else visit.responder(self.responder)
        answer: ASGIApp = self.app
        if not exchange.is_allowed:
            answer = partial(refuse, exchange, responder)
        elif metered is not None:
            answer = partial(self._run_metered, metered, exchange)
        if self._runtime.ends:
            hooks, clock = self._runtime.ends, self.limiter.clock
            await run_to_end(answer, scope, receive, send, exchange=exchange, hooks=hooks, clock=clock)
        elif answer is self.app:
            await run_holding(answer, scope, receive, send, exchange, self.limiter.clock)
        else:
            await answer(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, now_ns: int) -> None:
        """Let a request through, with an exchange that nothing was charged for."""
        scope["ratelimit"] = Exchange(
            self._door, self._deciding.writer, None, None, now_ns, False, scope.get("ratelimit")
        )
        await self.app(scope, receive, send)

    async def _shake_hands(
        self, scope: Scope, receive: Receive, send: Send, bound: BoundPolicy, now_ns: int
    ) -> None:
        """Decide a handshake on the slow path."""
        outer = scope.get("ratelimit")
        if outer is not None and self._is_mounted_twice(outer):
            await self.app(scope, receive, send)
            return
        if not self.limiter.is_enabled:
            await self._pass(scope, receive, send, now_ns)
            return
        matched = bound.match("GET", target_of(scope, self._placement), "connect")
        found = read_identities(scope, bound, matched, self.resolving, now_ns)
        identities = found if isinstance(found, list) else await self._deciding.resolved(found, outer)
        if isinstance(identities, Exchange):
            await self._answer(scope, receive, Sending(identities, send).send, identities)
            return
        metered = costs = None
        visit = visit_of(scope, receive, bound, matched, self._mount.metering.held)
        receive = receive if visit is None else visit.receive
        if bound.is_metered:
            metered = self._mount.metering.request(scope, receive, bound, matched, identities)
            costs = None if metered is None else metered.costs()
        try:
            if metered is not None and self._deciding.lacks_price(metered, bound, identities):
                exchange = self._deciding.ended(scope, Reason.MODEL, outer)
            elif visit is None:
                asked = bound, matched, identities, now_ns, outer, costs
                exchange = await self._deciding.decided(scope, *asked)
            else:
                deciding = self._deciding.decided(
                    scope, bound, matched, identities, now_ns, outer, costs, visit
                )
                exchange = await self._deciding.unless_ended(visit.share, deciding, scope, outer)
            if visit is not None and visit.is_over(exchange, self._now_ns()):
                return
            sending = Sending(exchange, send).send
            is_listed = exchange.outcome is None and exchange.decision.reason is Reason.ALLOW_LIST
            if exchange.is_allowed and not is_listed:
                receive = LimitedSocket(receive, send, scope, self._sockets).receive
            await self._answer(scope, receive, sending, exchange, visit, metered)
        finally:
            if visit is not None:
                visit.forget_unasked()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            now_ns = self._now_ns()
        except Exception as error:
            if await is_told(error, receive, send):
                return
            raise
        self._wake(now_ns, scope)
        await self.limiter.aopen_connections()

        has_failed = False

        async def receive_until_failed() -> Message:
            return {"type": "lifespan.shutdown"} if has_failed else await receive()

        async def send_at_rest(message: Message) -> None:
            nonlocal has_failed
            if has_failed:
                return  # the server was told; the application ends what it has begun
            if message["type"] == "lifespan.startup.complete":
                try:
                    self._cover(scope)
                except UsageError as error:
                    has_failed = True
                    message = {"type": "lifespan.startup.failed", "message": error.brief}
            # The server that hears this may end the process at once: uvicorn does, by the signal it was sent.
            elif message["type"].startswith("lifespan.shutdown."):
                await self._shut_down()
            await send(message)

        try:
            await self.app(scope, receive_until_failed, send_at_rest)
        finally:
            # A server may go on without lifespan. The next request wakes us, and the store stays open.
            await self._shut_down()

    def _wake(self, now_ns: int, scope: Scope) -> BoundPolicy:
        """Return the policy in force, after whatever the first scope or a reload calls for."""
        bound = self._runtime.generation_at(now_ns)
        # Now, and not when this was made: an application may get its routes after its middleware. Some get
        # more as they start, so a lifespan's scope is looked at again once that is done.
        if scope["type"] != "lifespan" and self._coverage is None:
            self._cover(scope)
        elif self._survey is None:
            self._survey = self._mount.survey(scope, self.app)
        elif bound is not self._bound and self._coverage is not None and self._bound is not None:
            self._coverage.say(again=True)
        if bound is not self._bound:
            self._deciding.writer = HeaderWriter(bound.headers)
            self._sockets = SocketDoor(self.limiter, self.resolving, self._placement, ended)
            self._gate = self._new_gate(bound)
            self._bound = bound
        if not self._is_awake:
            self._is_awake = True
            if self._upkeep is not None:
                self._upkeep.start()
            if self.limiter.store.counts_alone and several_workers():
                self._runtime.diagnose("private-memory")
        return bound

    def _cover(self, scope: Scope) -> None:
        """Bind limits to the application's routes.

        Raises:
            UsageError: as `Mount.cover`.
        """
        self._survey = self._mount.survey(scope, self.app)
        self._coverage = self._mount.cover(self._survey, scope.get("state") or {})
        self._bound = None

    @property
    def _placement(self) -> Placement:
        return NOWHERE if self._survey is None else self._survey.placement

    def _new_gate(self, bound: BoundPolicy) -> Gate | None:
        decider = bound.decider
        if decider is None:
            return None
        matches = None if self._placement.is_plain else PlacedMatches(bound, self._placement)
        limits = bound.find(LoadLimits)
        return Gate(
            self._door,
            self._deciding.writer,
            match=bound.match_named if matches is None else matches.match,
            requests=bound.requests if matches is None else matches.requests,
            connect=bound.match,
            connects=bound.connects["GET"] if matches is None else None,
            sockets=self._sockets,
            decider=decider,
            sample=self._deciding.sample,
            target=partial(target_of, placement=self._placement),
            has_ends=bool(self._runtime.ends),
            loads=gated(self._runtime.part(LoadPart).of(bound.compiled)) if self._enters else (),
            learned=self._mount.metering.learned if bound.is_metered else None,
            told=told_by,
            narrowed=bound.narrowed,
            classes=None if limits is None else limits.classes,
        )

    def _sleep(self) -> None:
        self._is_awake = False
        self._bound = None

    async def _shut_down(self) -> None:
        if self._is_awake:
            self._sleep()
            if self._upkeep is not None:
                self._upkeep.stop()
        await self.limiter.aclose_connections()

    def _is_mounted_twice(self, outer: Exchange) -> bool:
        if outer.door.limiter.runtime.source != self._runtime.source:
            return False
        self._runtime.diagnose("mounted-twice")
        return True


_MOUNTED: WeakSet[RateLimitMiddleware] = WeakSet()


def _sleep_after_fork() -> None:
    # Threads do not survive a fork: the child's first scope starts its own.
    for middleware in list(_MOUNTED):
        middleware._sleep()


os.register_at_fork(after_in_child=_sleep_after_fork)
