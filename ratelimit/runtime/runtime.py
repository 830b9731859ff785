"""A limiter's parts at work: store, counters, clusters, and the policy in force.

The limiter's face is `limiter.Limiter`: what an application calls. Here is what the middleware, the
upkeep and the command line use as well. Its methods may be called from any thread.
In one file, since a reload replaces some of these parts and keeps the others, under one lock.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from ratelimit.clock import Clock
from ratelimit.clustering.amendment import NO_AMENDMENT, Amendment, amendment_of
from ratelimit.clustering.budgets import Budgets
from ratelimit.clustering.factory import service_of
from ratelimit.clustering.hosts.agent import Hosts
from ratelimit.clustering.hosts.factory import hosts_of
from ratelimit.clustering.service import ClusteringService
from ratelimit.core.decision.schedule import Pace
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.compiled import ROW
from ratelimit.deciding.decider import Decider
from ratelimit.deciding.matched import Matched
from ratelimit.deciding.stage import Costs, Decided, Stage
from ratelimit.deciding.visit import Visit
from ratelimit.events import MistakesLog, Observer
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.runtime import last_policy
from ratelimit.runtime.compiling import compiled_decider
from ratelimit.runtime.ending import EndHook
from ratelimit.runtime.features import Parts
from ratelimit.runtime.names import named_gate
from ratelimit.runtime.reload import PolicyFile, Reload
from ratelimit.runtime.resolvers import Resolver, find_resolvers
from ratelimit.runtime.switch import is_enabled, switched_off
from ratelimit.stores.acts.act import Act
from ratelimit.stores.contract import Store
from ratelimit.stores.factory import counting_table, is_isolated, open_store
from ratelimit.telemetry.counters import Counters
from ratelimit.telemetry.diagnosis import Diagnosing
from ratelimit.usage.metrics import CERTAINTIES, OTHERS
from ratelimit.usage.unsettled import Unsettled

if TYPE_CHECKING:
    from ratelimit.telemetry.exemplars import Exemplars

UPKEEP_NS = 100_000_000
"""The time after which decisions keep up what no thread does: heartbeats, and a slice of correlating."""


class AskedRules(Protocol):
    """The limits that routes ask for in code."""

    generation: BoundPolicy | None
    """The policy that has them; None until a route asks."""

    @property
    def rules(self) -> Sequence[LimitRule]:
        """The rules of limits that no policy file has."""
        ...


class Runtime:
    """The parts of a limiter. Arguments and errors are those of `Limiter`."""

    def __init__(
        self,
        policy: Policy | str | os.PathLike[str],
        *,
        store: Store | None,
        clock: Clock | None,
        resolvers: Mapping[str, Resolver] | None,
        observer: Observer | None,
        enabled: bool | None,
        correlates: bool,
        stages: Sequence[Stage] = (),
        ends: Sequence[EndHook] = (),
        hooks: Mapping[str, Any] | None = None,
    ) -> None:
        self.is_enabled = is_enabled() if enabled is None else enabled
        self._correlates = correlates
        self.hooks = dict(hooks or {})
        """What the application gave features to call, by name."""
        self.asked: AskedRules | None = None
        """What routes ask for by name: the integrations' own."""
        self._stages = tuple(stages)
        self.ends = tuple(ends)
        """The callback for the end of each request."""
        self.pace = Pace(UPKEEP_NS)
        """When upkeep is due that no thread does; the gate asks it, too."""
        path = policy.path if isinstance(policy, Policy) else policy
        self.file = PolicyFile(None if path is None else Path(path))
        """The source of the policy, and the outcome of its reloads."""
        self.observer: Observer = observer if observer is not None else MistakesLog()
        self.resolvers = dict(resolvers or {})
        loaded, trouble = (
            (policy, None) if isinstance(policy, Policy) else last_policy.load_or_last(policy, self.resolvers)
        )
        self.owns_store = store is None
        self.is_closed = False
        self.store = open_store(loaded, clock, alone=not self.is_enabled) if store is None else store
        self._diagnosing = Diagnosing(self)
        self.diagnose = self._diagnosing.diagnose
        self.note = self._diagnosing.note
        self.end_notice = self._diagnosing.end
        self.store_failed = self._diagnosing.store_failed
        self.table = counting_table(self.store)
        """The place where this worker's counters are."""
        self.counters = Counters(self.table)
        """This worker's own counters beside the core's."""
        self.exemplars: Exemplars | None = None
        """Traced decisions; None where no tracing asked for them."""
        self.store.report_to(self.store_failed, self.diagnose)
        self.clock: Clock = self.store.clock if clock is None else clock
        self.now_ns = self.clock.now_ns
        self._decider = Decider(self)
        self.judge_unlimited = self._decider.counted
        self.decide_by_stages = self._decider.decide
        self.adecide_by_stages = self._decider.adecide
        """Decide as `decide` and `adecide` do, where `at_once` was tried already."""
        self.early = self._decider.early
        self.aearly = self._decider.aearly
        self.without_server = self._decider.without_server
        self.unsettled = Unsettled(self._count_settled)
        """Estimates of this worker's requests in flight."""
        self._lock = Lock()
        now_ns = self.now_ns()
        self.policy = loaded
        self._acts: tuple[Act, ...] = ()
        self.clustering: ClusteringService | None = None
        """Correlation, where the policy has any."""
        self.home = self.store
        """Beside which features keep memory; another one while an application is tested."""
        self._parts = Parts(self)
        self.part = self._parts.find
        """Returns a feature's part of this limiter."""
        try:
            self._enter(loaded)
            self.clustering = self.clustering_for(loaded)
            self.current = self.bind(loaded.compiled, now_ns, self.clustering)
            if self.clustering is not None:
                self.clustering.know(self.current.knowledge)
            self._diagnosing.say_damage(
                self.store.damage, None if self.clustering is None else self.clustering.damage
            )
        except BaseException:
            self.close()
            raise
        self._keep_text()
        self.generation = 1
        """The number of policies that this limiter has put in force."""
        self.reloaded_ns = now_ns
        if trouble is not None:
            self.file.rejected(trouble, now_ns)
            self.counters.reloaded("rejected")
            self.diagnose("policy-last", about=trouble.brief)
        if not self.is_enabled:
            self.diagnose("limits-off")

    # -- deciding ---------------------------------------------------------------------------------

    def at_once(
        self,
        bound: BoundPolicy,
        matched: Matched,
        row: list[int],
        now_ns: int,
        costs: Costs | None = None,
        asker: int = ROW,
    ) -> Decided | None:
        """Decide a request in one compiled call; None if that does not suffice, and nothing was charged.

        `asker` is as for `adecide`.
        """
        if bound.decider is None:
            return None
        return bound.decider.decide_row(matched, row, now_ns, costs, asker)

    def decide(
        self,
        bound: BoundPolicy,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        costs: Costs | None = None,
        *,
        charge: bool = True,
        visit: Visit | None = None,
    ) -> Decided:
        """Decide as `Decider.decide` does: in one compiled call if that suffices."""
        if charge and not (matched.group >= 0 and visit is not None and visit.enters):
            decided = self.at_once(bound, matched, identities, now_ns, costs)
            if decided is not None:
                return decided
        return self._decider.decide(bound, matched, identities, now_ns, costs, charge=charge, visit=visit)

    async def adecide(
        self,
        bound: BoundPolicy,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        costs: Costs | None = None,
        *,
        charge: bool = True,
        visit: Visit | None = None,
        asker: int = ROW,
    ) -> Decided:
        """Decide as `Decider.adecide` does: in one compiled call if that suffices."""
        if charge and not (matched.group >= 0 and visit is not None and visit.enters):
            decided = self.at_once(bound, matched, identities, now_ns, costs, asker)
            if decided is not None:
                return decided
        return await self._decider.adecide(
            bound, matched, identities, now_ns, costs, charge=charge, visit=visit, asker=asker
        )

    # -- between requests -------------------------------------------------------------------------

    def keep_up(self, now_ns: int) -> None:
        """Say that this worker lives and correlate a slice, if that is due and no thread does it.

        Called with each decision that is charged. A worker without requests is kept up by its
        thread alone (`worker.upkeep`).
        """
        pace = self.pace
        if not pace.is_due(now_ns):
            return
        pace.done(now_ns, False)  # first: other threads need not do it, too
        self.heartbeat(now_ns)
        clustering = self.clustering
        if clustering is not None and not clustering.is_kept_up and clustering.tick(now_ns):
            pace.done(now_ns, True)

    def heartbeat(self, now_ns: int) -> None:
        """Say that this worker lives, so that what it holds and has in flight counts."""
        self.store.heartbeat(now_ns)
        self._renew_companions()

    def _renew_companions(self) -> bool:
        """Leave what lies beside the store and is damaged or gone; return whether anything was."""
        return self._diagnosing.renew([look for part in self._parts.each for look in part.looks])

    def _enter(self, policy: Policy) -> None:
        for part in self._parts.each:
            part.enter(policy)

    def _count_settled(self, limit: str, real: int, estimate: int) -> None:
        # A limit that a reload removed meanwhile has no label any more.
        self.counters.settled(self.current.ratio_labels.get(limit, OTHERS), real, estimate)

    def count_answer(self, template: str, certainty: str) -> None:
        """Count an answer that ended, by how certain its usage is."""
        label = self.current.route_labels.get(template, OTHERS)
        self.counters.ended(label, CERTAINTIES.index(certainty))

    # -- the policy in force ----------------------------------------------------------------------

    def generation_at(self, now_ns: int) -> BoundPolicy:
        """Return the policy in force, its calendar windows listed around `now_ns`."""
        current = self.current
        if current.until_ns is None or current.is_current(now_ns):
            return current
        with self._lock:
            if not self.current.is_current(now_ns):
                self.current = self.bind(self.policy.compiled, now_ns, self.clustering)
            return self.current

    def reload(self) -> Reload:
        """Read the policy file again and put it in force: see `PolicyFile.reload`, and `Limiter.reload`."""
        with self._lock:
            outcome = self.file.reload(self, self.clustering, self.now_ns())
        self.counters.reloaded(outcome.result)
        self.observer.reloaded(outcome.result, outcome.error)
        return outcome

    def put_in_force(
        self, policy: Policy, bound: BoundPolicy, clustering: ClusteringService | None, now_ns: int
    ) -> None:
        """Decide by this policy from now on. Callers hold the lock."""
        before = self.clustering
        self._enter(policy)
        self.policy = policy
        self.current = bound
        self.clustering = clustering
        if clustering is not None and policy.compiled.correlation is not None:
            clustering.adapt(policy.compiled.correlation)
            clustering.know(bound.knowledge)
        elif before is not None:
            before.retire(now_ns)
        self.generation += 1
        self.reloaded_ns = now_ns
        self._keep_text()

    def _keep_text(self) -> None:
        if self.store.place is not None:
            last_policy.keep(self.policy)

    def clustering_for(self, policy: Policy) -> ClusteringService | None:
        """Return what correlates under a policy: as before if possible; None where nothing is asked."""
        if self.clustering is not None:
            return None if policy.compiled.correlation is None else self.clustering
        return service_of(
            policy,
            self.store,
            correlates=self._correlates,
            hosts=self._hosts(policy),
            budgets=self._budgets,
            diagnose=self.diagnose,
        )

    def _hosts(self, policy: Policy) -> Hosts | None:
        """Return how to take part where several hosts share a correlator; None where this one has its own."""
        if is_isolated() or not self.is_enabled:
            return None  # a test's store stands in place of the policy's: nothing is connected to
        return hosts_of(policy.compiled, self.store.hasher.key, correlates=self._correlates)

    def _budgets(self) -> Budgets:
        return self.current.budgets

    def bind(
        self,
        compiled: CompiledPolicy,
        now_ns: int,
        clustering: ClusteringService | None,
        *,
        is_asked: bool = False,
    ) -> BoundPolicy:
        """Return a policy at work over this store; `is_asked`: its limits are asked for by name."""
        spec = compiled.correlation
        makers = self._parts.makers
        bound = BoundPolicy(
            compiled,
            self.store,
            now_ns,
            diagnose=self.diagnose,
            resolvers=find_resolvers(compiled.identities, self.resolvers),
            watch=None if clustering is None or spec is None else clustering.watch(spec, compiled.cluster),
            is_asked=is_asked,
            stages=self._stages,
            amendment=self.amendment_for(compiled),
            features=makers if self.is_enabled else (switched_off, *makers),
        )
        bound.decider = compiled_decider(
            bound,
            watch=bound.watch,
            table=self.table,
            cells=self.counters.cells,
            pace=self.pace,
            keep_up=self.keep_up,
            clock=self.clock,
        )
        if bound.decider is not None and not is_asked:
            bound.decider.counts_late = self.asked is not None
            bound.by_name = named_gate(bound, bound.decider)
        return bound

    def be_asked(self, asked: AskedRules) -> None:
        """Know from now on that routes ask for limits: a request is counted once they have."""
        self.asked = asked
        if self.current.decider is not None:
            self.current.decider.counts_late = True

    def amend(self, acts: tuple[Act, ...]) -> None:
        """Go by these acts of the operator's from now on, beside the policy."""
        with self._lock:
            if acts != self._acts:
                self._acts = acts
                self.current = self.bind(self.policy.compiled, self.now_ns(), self.clustering)
                if self.clustering is not None:
                    self.clustering.know(self.current.knowledge)

    @property
    def noticed(self) -> Mapping[str, str]:
        """Likely mistakes that were noticed here, and the sentence of each, by code."""
        return self._diagnosing.noticed

    @property
    def acts(self) -> tuple[Act, ...]:
        """The operator's acts that this worker goes by."""
        return self._acts

    def amendment_for(self, compiled: CompiledPolicy) -> Amendment:
        """Return what the operator's acts mean for a policy."""
        return amendment_of(compiled, self._acts) if self._acts else NO_AMENDMENT

    def use(self, store: Store, *, enabled: bool) -> None:
        """Count in another store from now on, or limit nothing; what was counted stays where it is."""
        with self._lock:
            if store.place != self.store.place:
                self.home = store
            self.store, self.is_enabled = store, enabled
            store.report_to(self.store_failed, self.diagnose)
            self.table = counting_table(store)
            self._enter(self.policy)
            self._rebind()

    @property
    def source(self) -> object:
        """The identity of a limiter: their policy file, else the object itself."""
        return self if self.file.path is None else self.file.path.resolve()

    def renew(self) -> bool:
        """Leave shared memory that is damaged or gone for fresh memory; return whether any was.

        The middleware's upkeep asks every few seconds. What was counted there begins anew; all
        workers that ask meet in the same fresh memory. Said as `memory-damaged`, each time.
        """
        with self._lock:
            looks = (self._renew_store, lambda: None if self.clustering is None else self.clustering.renew())
            is_renewed = self._diagnosing.renew(looks)
        return self._renew_companions() or is_renewed

    def _renew_store(self) -> str | None:
        place, damage = self.store.place, self.store.renew()
        if damage is not None:
            # Plans that were made since know the damaged memory's places. And the worker that made
            # the fresh one may have known another hash key.
            self._rebind(is_elsewhere=self.store.place != place)
        return damage

    def _rebind(self, *, is_elsewhere: bool = False) -> None:
        now_ns, before = self.now_ns(), self.clustering
        self.counters = Counters(self.table)
        # The board goes by the key, and lies beside the store.
        if before is not None and (before.key != self.store.hasher.key or is_elsewhere):
            before.retire(now_ns)
            self.clustering = None
        self.clustering = self.clustering_for(self.policy)
        self.current = self.bind(self.policy.compiled, now_ns, self.clustering)
        if self.clustering is not None:
            self.clustering.know(self.current.knowledge)

    async def aopen_connections(self) -> None:
        """Connect this event loop with a server, before the first decision has to; never raises."""
        await self.store.aopen_connections()

    async def aclose_connections(self) -> None:
        """Close this event loop's connections with a server; the next decision opens others."""
        await self.store.aclose_connections()

    def refuse_waiting(self) -> None:
        """Refuse what waits, and let nothing wait from now on: this process is about to end.

        It is counted here, as soon there may be nothing to count in.
        """
        for part in self._parts.each:
            part.refuse_waiting()

    def close(self) -> None:
        """Save what is known of clusters, and let go of the store if this limiter opened it.

        What waits is refused, each on its own event loop. Of a server `await aclose_connections()` takes
        leave in order; this does not wait for it.
        """
        self.is_closed = True
        self.refuse_waiting()
        if self.clustering is not None:
            self.clustering.retire(self.now_ns())
        for part in self._parts.each:
            part.close()
        if self.owns_store:
            place = self.store.place
            self.store.close()
            if place is not None:
                last_policy.forget_if_gone(self.policy)
