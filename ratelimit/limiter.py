"""The limiter: a policy, a store and a clock, brought together. Usable without ASGI.

It knows no `scope`; the middleware and the command line are both built on it.
Its methods may be called from any thread.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

from ratelimit.allowance.records import Records
from ratelimit.allowance.stage import AllowancePart
from ratelimit.challenge.hook import Challenge
from ratelimit.clock import Clock
from ratelimit.clustering.service import ClusteringService
from ratelimit.core.memory.table import Table
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.by_name import DecidesByName
from ratelimit.deciding.stage import Decided, Stage
from ratelimit.deciding.visit import Visit
from ratelimit.decision import Decision, Reason
from ratelimit.events import Observer
from ratelimit.identity.extract import Headers
from ratelimit.load.called import Called
from ratelimit.load.limit import LoadLimit
from ratelimit.load.metrics import WatchedLoad
from ratelimit.load.stage import LoadPart, enter_load
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.policy.routing.target import Target
from ratelimit.policy.schema.model import Event
from ratelimit.runtime.decided import decision_of
from ratelimit.runtime.ending import EndHook
from ratelimit.runtime.inquiry import Given, Inquiry, described, holder_in, inquire
from ratelimit.runtime.reload import Reload
from ratelimit.runtime.resolvers import Resolver
from ratelimit.runtime.runtime import Runtime
from ratelimit.stores.contract import Store
from ratelimit.waiting.compile import queue_of
from ratelimit.waiting.limit_queue import LimitQueue
from ratelimit.waiting.stage import WaitingPart, rules_of

if TYPE_CHECKING:
    from ratelimit.telemetry.exemplars import Exemplars

LIMITERS: WeakSet[Limiter] = WeakSet()
"""All that are in use in this process."""


class Limiter(DecidesByName):
    """Decides requests by one policy.

    Args:
        policy: a policy, or the path of its file; a file can be reloaded.
        store: where counters live; opened from the policy's `[store]` when not given, and
            then closed with the limiter.
        clock: where time comes from; the store's own when not given.
        resolvers: the application's callables that the policy's `resolver:NAME` refer to.
        observer: told of reloads, noticed mistakes and faults; without one, mistakes go to the log.
        enabled: whether anything is limited: if not, every request is allowed and nothing is shared or
            connected to. As `RATELIMIT_ENABLED` in the environment says when not given; else True.
        correlates: whether this process is there to correlate for several hosts
            (`ratelimit correlator`), whatever the policy says of workers.
        stages: the application's own stages, which requests pass before those of their limits: see
            `deciding.stage`.
        ends: told of the end of each request of a middleware: see `runtime.ending`.
        challenge: asked about a request that limits that challenge refuse: see `challenge.hook.Challenge`.

    Raises:
        PolicyError: the policy cannot be used.
        StoreError: the store cannot be opened.
        UsageError: a resolver that the policy names was not given (code `resolver-unknown`).
    """

    _runtime_type: ClassVar[type[Runtime]] = Runtime

    def __init__(
        self,
        policy: Policy | str | os.PathLike[str],
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        resolvers: Mapping[str, Resolver] | None = None,
        observer: Observer | None = None,
        enabled: bool | None = None,
        correlates: bool = False,
        stages: Sequence[Stage] = (),
        ends: Sequence[EndHook] = (),
        challenge: Challenge | None = None,
    ) -> None:
        self.runtime = self._runtime_type(
            policy,
            store=store,
            clock=clock,
            resolvers=resolvers,
            observer=observer,
            enabled=enabled,
            correlates=correlates,
            stages=stages,
            ends=ends,
            hooks={"challenge": challenge},
        )
        """The part that the middleware, metrics and the command line use; no promise to applications."""
        self.clock = self.runtime.clock
        self.now_ns = self.runtime.now_ns
        self._decide_under(self.runtime, self.clock)
        LIMITERS.add(self)

    def _decide_slowly(
        self,
        method: str,
        path: str | Target,
        event: Event,
        given: Given,
        now_ns: int,
        *,
        enters: bool = True,
    ) -> Decision:
        """Decide what takes more than one compiled call: see `decide`."""
        asked = self._inquiry(now_ns, method, path, event, given)
        if asked is None:
            return self._unlimited(now_ns, charge=True)
        visit = self._visit(asked, method, path, event, given, enters=enters)
        decided = self.runtime.decide(*asked, charge=True, visit=visit)
        plan, outcome = decided[2:]
        rules = None if plan is None else rules_of(plan)
        if rules is not None and outcome is not None and rules.refusing(outcome) is not None:
            self.runtime.diagnose("wait-unawaited")
        return self._decision(asked, decided, visit)

    def peek(
        self,
        *,
        method: str = "GET",
        path: str | Target = "/",
        identities: Mapping[str, str | bytes] | None = None,
        costs: Mapping[str, int] | None = None,
        client: str | None = None,
        headers: Mapping[str, str] | Headers = (),
        state: Mapping[str, Any] | None = None,
        event: Event = "request",
        created: float | str | None = None,
        now_ns: int | None = None,
    ) -> Decision:
        """Return what `decide` would; charge and count nothing."""
        given = (identities, costs, client, headers, state, created)
        asked = self._inquiry(now_ns, method, path, event, given)
        if asked is None:
            return self._unlimited(now_ns, charge=False)
        return self._decision(asked, self.runtime.decide(*asked, charge=False), is_charged=False)

    async def adecide(
        self,
        *,
        method: str = "GET",
        path: str | Target = "/",
        identities: Mapping[str, str | bytes] | None = None,
        costs: Mapping[str, int] | None = None,
        client: str | None = None,
        headers: Mapping[str, str] | Headers = (),
        state: Mapping[str, Any] | None = None,
        event: Event = "request",
        created: float | str | None = None,
        now_ns: int | None = None,
    ) -> Decision:
        """Decide as `decide` does, with any store: a server is awaited, and so is room."""
        given = (identities, costs, client, headers, state, created)
        return await self._adecide(method, path, event, given, now_ns)

    async def _adecide(
        self,
        method: str,
        path: str | Target,
        event: Event,
        given: Given,
        now_ns: int | None,
        *,
        enters: bool = True,
    ) -> Decision:
        """Decide as `adecide` does; `enters`: whether the request's end will be told."""
        asked = self._inquiry(now_ns, method, path, event, given)
        if asked is None:
            return self._unlimited(now_ns, charge=True)
        visit = self._visit(asked, method, path, event, given, enters=enters)
        decided = await self.runtime.adecide(*asked, charge=True, visit=visit)
        return self._decision(asked, decided, visit)

    async def apeek(
        self,
        *,
        method: str = "GET",
        path: str | Target = "/",
        identities: Mapping[str, str | bytes] | None = None,
        costs: Mapping[str, int] | None = None,
        client: str | None = None,
        headers: Mapping[str, str] | Headers = (),
        state: Mapping[str, Any] | None = None,
        event: Event = "request",
        created: float | str | None = None,
        now_ns: int | None = None,
    ) -> Decision:
        """Return what `adecide` would; charge and count nothing."""
        given = (identities, costs, client, headers, state, created)
        asked = self._inquiry(now_ns, method, path, event, given)
        if asked is None:
            return self._unlimited(now_ns, charge=False)
        return self._decision(asked, await self.runtime.adecide(*asked, charge=False), is_charged=False)

    def _visit(
        self,
        asked: Inquiry,
        method: str,
        path: str | Target,
        event: Event,
        given: Given,
        *,
        enters: bool,
    ) -> Visit:
        """Return the request as one of no door."""
        request, holder = partial(described, method, path, event, given), partial(holder_in, asked[0], given)
        return Visit(request, holder, enters=enters)

    def _unlimited(self, now_ns: int | None, *, charge: bool) -> Decision:
        now_ns = self.now_ns() if now_ns is None else now_ns
        return Decision(*self.runtime.judge_unlimited(True, Reason.UNLIMITED, now_ns, charge=charge)[:2])

    def _inquiry(
        self, now_ns: int | None, method: str, path: str | Target, event: Event, given: Given
    ) -> Inquiry | None:
        """Return what `decide` is asked, None for a request that nothing applies to."""
        if now_ns is None:
            now_ns = self.now_ns()
        bound = self.runtime.generation_at(now_ns)
        return inquire(bound, now_ns, method, path, event, given) if self.is_enabled else None

    def _decision(
        self, inquiry: Inquiry, decided: Decided, visit: Visit | None = None, *, is_charged: bool = True
    ) -> Decision:
        bound, matched, row, now_ns, _ = inquiry
        flight = None
        if decided[0] and matched.group >= 0 and visit is not None and visit.enters:
            flight = Called()
            enter_load(flight, bound, matched, row, visit)
        return decision_of(
            bound, decided, row, now_ns, self.clock, visit, is_charged=is_charged, flight=flight
        )

    @property
    def store(self) -> Store:
        """The place of counters."""
        return self.runtime.store

    @property
    def is_enabled(self) -> bool:
        """True if anything is limited."""
        return self.runtime.is_enabled

    # -- the policy in force ----------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.runtime.policy

    @property
    def generation(self) -> int:
        """The number of policies that this limiter has put in force."""
        return self.runtime.generation

    @property
    def last_reload(self) -> Reload | None:
        """The outcome of the last reload; None before the first."""
        return self.runtime.file.last_reload

    def reload(self) -> Reload:
        """Read the policy file again and put it in force; a bad file changes nothing.

        Counters carry over. Requests under way end under the policy they began with. What
        the store was opened with (`[store]`, `[hashing]`) stays as it was until a restart.

        Raises:
            UsageError: the policy did not come from a file (code `reload-no-file`).
        """
        return self.runtime.reload()

    def reload_if_changed(self) -> Reload | None:
        """Reload when the file looks different from last time; None when it does not.

        A file that is missing for the moment (an editor replacing it) is not a change.
        """
        return self.reload() if self.runtime.file.is_outdated else None

    # -- what metrics read --------------------------------------------------------------------------

    @property
    def current(self) -> BoundPolicy:
        """The policy in force, bound to the store."""
        return self.runtime.current

    @property
    def clustering(self) -> ClusteringService | None:
        """Correlation, where the policy has any."""
        return self.runtime.clustering

    @property
    def load(self) -> LoadLimit | None:
        """The first of `loads`; None where there is none."""
        return next(iter(self.loads.values()), None)

    @property
    def loads(self) -> Mapping[str, LoadLimit]:
        """The limits that follow the load (`[adaptive]`), by name: their state; and they take reports."""
        return self.runtime.part(LoadPart).of(self.policy.compiled)

    @property
    def every_load(self) -> Mapping[str, LoadLimit]:
        """The same, and the limits of an identity's values, each by a number that it has for a while."""
        return self.runtime.part(LoadPart).every(self.policy.compiled, self.now_ns())

    @property
    def reloaded_ns(self) -> int:
        """The time when the policy in force was put there."""
        return self.runtime.reloaded_ns

    @property
    def table(self) -> Table:
        """The table the counters live in."""
        return self.runtime.table

    @property
    def rules(self) -> Sequence[LimitRule]:
        """The rules in force: the policy's, then those of limits in code that were asked for here."""
        asked = self.runtime.asked
        return [*self.current.compiled.rules, *(() if asked is None else asked.rules)]

    @property
    def correlation(self) -> Mapping[str, int]:
        """The state of all workers' correlation in numbers; empty where nothing is correlated."""
        return {} if self.clustering is None else self.clustering.numbers()

    @property
    def remote(self) -> Mapping[str, float]:
        """This worker's knowledge of the store's server; empty where there is none."""
        return self.store.state

    @property
    def records(self) -> Records | None:
        """The records of payers; None where no policy asked for them."""
        return self.runtime.part(AllowancePart).records

    @property
    def watched_loads(self) -> Sequence[WatchedLoad]:
        """The limits that follow the load, as metrics tell them."""
        return [load.watched(group) for group, load in self.every_load.items()]

    @property
    def queue(self) -> LimitQueue | None:
        """Requests that wait for room; None where the policy lets none."""
        return self.runtime.part(WaitingPart).queue if queue_of(self.current.compiled) is not None else None

    @property
    def metered_routes(self) -> Sequence[str]:
        """The routes that answers are counted by, as metrics call them; none where answers are not read."""
        bound = self.current
        return tuple(dict.fromkeys(bound.route_labels.values())) if bound.is_metered else ()

    @property
    def unsettled_units(self) -> Mapping[str, int]:
        """The estimates charged to this worker's requests in flight, by limit; no limit with 0."""
        return self.runtime.unsettled.units()

    @property
    def exemplars(self) -> Exemplars | None:
        """Traced decisions of this worker, for its metrics; None where no tracing asked for them."""
        return self.runtime.exemplars

    def drift_ns(self) -> int:
        """Return how far the civil clock has stepped away from the limits' clock."""
        return self.clock.drift_ns() if hasattr(self.clock, "drift_ns") else 0

    # -- its end ----------------------------------------------------------------------------------

    def renew(self) -> bool:
        """Leave shared memory that is damaged or gone for fresh memory; return whether any was.

        The middleware's upkeep asks every few seconds. What was counted there begins anew; all
        workers that ask meet in the same fresh memory. Said as `memory-damaged`, each time.
        """
        return self.runtime.renew()

    async def aopen_connections(self) -> None:
        """Connect this event loop with a server, before the first decision has to; never raises.

        It waits for a second at most. A decision waits for the policy's `timeout` only, which a first
        connection on a busy machine may miss.
        """
        await self.runtime.aopen_connections()

    async def aclose_connections(self) -> None:
        """Close this event loop's connections with a server; the next decision opens others."""
        await self.runtime.aclose_connections()

    def close(self) -> None:
        """Save what is known of clusters, and let go of the store if this limiter opened it.

        Requests that wait are refused as by a store that is away (503 in a middleware), and have charged
        nothing. Of a server `await aclose_connections()` takes leave in order; this does not wait for it.
        """
        self.runtime.close()
