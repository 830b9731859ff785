"""The decisions of one middleware that its gate leaves to Python, as exchanges in their scopes.

A request is refused as soon as what is known of it suffices. Its head may do before resolvers are asked, and
its identities before the body is read. Each step returns an exchange that is decided, or what the next one
needs.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import TypeVar

from starlette.types import Scope

from ratelimit.asgi.arrival import Unresolved
from ratelimit.asgi.decided import exchange_of
from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.gate import SAMPLE
from ratelimit.asgi.hangup import WatchedVisit
from ratelimit.asgi.metering.request import MeteredRequest
from ratelimit.asgi.mount import Mount
from ratelimit.asgi.refusal import ended_exchange
from ratelimit.asgi.share import RequestLost, Share, until_decided
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.compiled import DOOR, Asking
from ratelimit.deciding.stage import Decided
from ratelimit.deciding.visit import Visit
from ratelimit.decision import Reason
from ratelimit.errors import StoreError
from ratelimit.http.fields import HeaderWriter
from ratelimit.load.stage import enter_load
from ratelimit.stores.contract import Outcome

E = TypeVar("E", bound="Exchange | None")


class SlowPath:
    """Decides requests and handshakes.

    Args:
        mount: the limiter at work.
        door: how they came in.
        enters: whether they are seen to end, so that limits that follow the load count them.
    """

    __slots__ = ("_decisions", "_door", "_enters", "_metering", "_now_ns", "_runtime", "writer")

    def __init__(self, mount: Mount, door: Door, *, enters: bool = True) -> None:
        self._enters = enters
        self._door = door
        self._metering = mount.metering
        self._runtime = mount.limiter.runtime
        self._now_ns = mount.limiter.now_ns
        self._decisions = 0
        self.writer = HeaderWriter(self._runtime.current.headers)
        """Writes the fields that the policy in force asks for."""

    async def decided_metered(
        self,
        metered: MeteredRequest,
        scope: Scope,
        bound: BoundPolicy,
        identities: list[int],
        outer: Exchange | None,
        visit: WatchedVisit | None,
    ) -> Exchange | None:
        """Return the exchange of a request, decided by its body; None if its client hung up before."""
        now_ns, early = self._now_ns(), metered.matched.before_body
        if early is not None and metered.looks_early:
            refused = await self._early(scope, bound, early, identities, now_ns, outer)
            if refused is not None:
                return refused
        if not await metered.is_there():
            return None
        now_ns, matched, costs = self._now_ns(), metered.matched, metered.costs()
        if self.lacks_price(metered, bound, identities):
            return self.ended(scope, Reason.MODEL, outer)
        if costs is not None and metered.find_maximum():
            costs = metered.lowered(await self._left(matched, identities, now_ns))
        exchange = await self.decided(scope, bound, matched, identities, now_ns, outer, costs, visit)
        if exchange.is_allowed:
            metered.write_grant(exchange)
        return exchange

    @staticmethod
    def lacks_price(metered: MeteredRequest, bound: BoundPolicy, identities: list[int]) -> bool:
        """Return whether a request is refused since its model has no price; its costs were asked for.

        Lists come first: one that is on the allow list falls under no limit.
        """
        return metered.lacks_price() and not identities[bound.extractor.listed_at]

    async def _left(self, matched: Matched, identities: list[int], now_ns: int) -> Outcome | None:
        """Return what the limits of a request have left; None where their server has no answer."""
        plan = matched.plan_for(identities)
        assert plan is not None
        nothing = (0,) * len(plan.rules)
        try:
            if plan.here is not None:
                return plan.here.peek(identities, now_ns, nothing)
            assert plan.away is not None
            return await plan.away.apeek(identities, now_ns, nothing)
        except StoreError:
            return None

    async def resolved(self, found: Unresolved, outer: Exchange | None) -> list[int] | Exchange:
        """Return a request's identities, or the exchange of one that is refused before they are known."""
        early = found.matched.before_resolvers
        if early is not None:
            asked = found.scope, found.bound, early, found.known(), found.now_ns
            refused = await self._early(*asked, outer)
            if refused is not None:
                return refused
        try:
            return await found.identities()
        except RequestLost as ended:
            return self.ended(found.scope, ended.reason, outer)

    async def _early(
        self,
        scope: Scope,
        bound: BoundPolicy,
        early: Matched,
        identities: list[int],
        now_ns: int,
        outer: Exchange | None,
    ) -> Exchange | None:
        """Return the exchange of a request that what is known of it refuses; None if nothing does yet."""
        least = None
        if bound.is_metered:
            least = partial(self._metering.least_costs, scope, early.template, identities, now_ns)
        if self._runtime.store.decides_here:
            decided = self._runtime.early(bound, early, identities, now_ns, least)
        else:
            decided = await self._runtime.aearly(bound, early, identities, now_ns, least)
        if decided is None:
            return None
        if decided[3] is not None:
            self._time(now_ns)
        return self._exchange(scope, bound, decided, identities, now_ns, outer)

    async def unless_ended(
        self, share: Share, deciding: Awaitable[E], scope: Scope, outer: Exchange | None
    ) -> E | Exchange:
        """Return what is decided of a request with a share, or the exchange of one that lost it."""
        try:
            return await until_decided(share, deciding)
        except RequestLost as ended:
            return self.ended(scope, ended.reason, outer)

    def ended(self, scope: Scope, reason: Reason, outer: Exchange | None) -> Exchange:
        """Return the exchange of a request that ended before it was decided."""
        cross_origin = any(name == b"origin" for name, _ in scope["headers"])
        exchange = ended_exchange(self._door, self.writer, reason, self._now_ns(), cross_origin, outer)
        scope["ratelimit"] = exchange
        return exchange

    async def decided(
        self,
        scope: Scope,
        bound: BoundPolicy,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        outer: Exchange | None,
        costs: tuple[int, ...] | None = None,
        visit: WatchedVisit | None = None,
    ) -> Exchange:
        """Return a request's or handshake's exchange, decided, charged and left in its scope."""
        begun_ns = now_ns
        enters = self._enters and matched.group >= 0
        seen = Visit(scope, enters=True) if visit is None and enters else visit
        if seen is not None:
            seen.enters = enters
        asked = bound, matched, identities, now_ns, costs
        decided = await self._runtime.adecide(*asked, visit=seen, asker=DOOR)
        if seen is not None and enters:
            now_ns = seen.now_ns
        exchange = self._exchange(scope, bound, decided, identities, now_ns, outer, seen)
        if decided[0] and bound.decider is not None and bound.decider.counts_late:
            exchange.count_late(decided[1])
        if decided[3] is not None:
            self._time(begun_ns + exchange.waited_ns)
        if decided[0] and seen is not None and enters:
            enter_load(exchange, bound, matched, identities, seen)
        return exchange

    def without_server(self, scope: Scope, bound: BoundPolicy, asking: Asking, error: StoreError) -> Exchange:
        """Return the exchange of a request that a server was asked for, and did not answer."""
        row, now_ns = asking.row(), asking.now_ns
        decided = self._runtime.without_server(bound, asking.plan, row, now_ns, error)
        return self._exchange(scope, bound, decided, row, now_ns, None)

    def _exchange(
        self,
        scope: Scope,
        bound: BoundPolicy,
        decided: Decided,
        identities: list[int],
        now_ns: int,
        outer: Exchange | None,
        visit: Visit | None = None,
    ) -> Exchange:
        """Return the exchange of a decided request, left in its scope."""
        exchange = exchange_of(
            self._door,
            self.writer,
            bound,
            decided,
            identities,
            now_ns,
            cross_origin=identities[bound.extractor.origin_at] != 0,
            outer=outer,
            visit=visit,
        )
        scope["ratelimit"] = exchange
        return exchange

    def _time(self, begin_ns: int) -> None:
        self._decisions += 1
        if self._decisions >= SAMPLE:
            self._decisions = 0
            self.sample(begin_ns)

    def sample(self, begin_ns: int) -> None:
        """Count how long a decision took, and tell the tracing."""
        elapsed_ns = self._now_ns() - begin_ns
        self._runtime.counters.observe_latency(elapsed_ns)
        if self._runtime.exemplars is not None:
            self._runtime.exemplars.timed(elapsed_ns)
