"""The limiter: a policy, a store and a clock, brought together. Usable without ASGI.

Nothing here awaits, logs or knows a `scope`; the middleware and the command line
are both built on it. Its methods may be called from any thread.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from ratelimit.budgets import Budgets
from ratelimit.charge import Charge
from ratelimit.clock import Clock
from ratelimit.core.table import Table
from ratelimit.correlating import Correlating
from ratelimit.correlation import Settings
from ratelimit.decision import Decision, Reason
from ratelimit.errors import RateLimitError, StoreError, UsageError, fault_of
from ratelimit.generation import Generation, Matched
from ratelimit.given import checked_costs, checked_names, raw_headers
from ratelimit.hosts.bridge import Hosts
from ratelimit.hosts.joining import hosts_of
from ratelimit.identity.extract import Headers
from ratelimit.identity.fact import NO_CONTEXT, Context
from ratelimit.judging import Judgement, Judging, actor_in
from ratelimit.noticing import Noticing
from ratelimit.observer import NullObserver, Observer, ReloadResult
from ratelimit.policy import Policy
from ratelimit.policy.compiled import LimitRule
from ratelimit.policy.model import Event
from ratelimit.policy.reload import Change, diff, fingerprint
from ratelimit.resolvers import Resolver, find_resolvers
from ratelimit.storage import listen, open_board, open_store
from ratelimit.stores.base import Store
from ratelimit.telemetry.counters import Counters

Inquiry = tuple[Generation, Matched, list[int], int, Mapping[str, int] | None]
"""What `judge` is asked."""


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of a reload; `error` says why it was rejected."""

    result: ReloadResult
    at_ns: int
    error: RateLimitError | None = None
    changes: tuple[Change, ...] = ()
    """What is different now, and what became of the counters."""


class Limiter:
    """Decides requests by one policy.

    Args:
        policy: a policy, or the path of its file; a file can be reloaded.
        store: where counters live; opened from the policy's `[store]` when not given, and
            then closed with the limiter.
        clock: where time comes from; the store's own when not given.
        resolvers: the application's callables that the policy's `resolver:NAME` refer to.
        observer: told of reloads, noticed mistakes and faults.
        correlates: whether this process is there to correlate for several hosts
            (`ratelimit correlator`), whatever the policy says of workers.

    Raises:
        PolicyError: the policy cannot be used.
        StoreError: the store cannot be opened.
        UsageError: a resolver that the policy names was not given (code `resolver-unknown`).
    """

    def __init__(
        self,
        policy: Policy | str | os.PathLike[str],
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        resolvers: Mapping[str, Resolver] | None = None,
        observer: Observer | None = None,
        correlates: bool = False,
    ) -> None:
        self._correlates = correlates
        path = policy.path if isinstance(policy, Policy) else policy
        self._path = None if path is None else Path(path)
        self._fingerprint = None if self._path is None else fingerprint(self._path)
        loaded = policy if isinstance(policy, Policy) else Policy.load(policy)
        self.observer: Observer = observer if observer is not None else NullObserver()
        self.resolvers = dict(resolvers or {})
        self._owns_store = store is None
        self.store = open_store(loaded, clock) if store is None else store
        self._noticing = Noticing(self)
        self.notice = self._noticing.notice
        self.store_failed = self._noticing.store_failed
        self.counters = Counters(self.store.table)
        """This worker's own counters beside the core's."""
        listen(self.store, self.store_failed, self.notice)
        self.clock: Clock = self.store.clock if clock is None else clock
        self.now_ns = self.clock.now_ns
        self._judging = Judging(self)
        self.judge = self._judging.judge
        self.ajudge = self._judging.ajudge
        self._lock = Lock()
        now_ns = self.now_ns()
        self.policy = loaded
        self.correlating: Correlating | None = None
        """Correlation, where the policy has any."""
        try:
            self.correlating = self._correlating(loaded)
            self.current = self._bind(loaded, now_ns, self.correlating)
            if self.correlating is not None:
                self.correlating.know(self.current.knowledge)
            self._noticing.say_damage(
                self.store.damage, None if self.correlating is None else self.correlating.damage
            )
        except BaseException:
            self.close()
            raise
        self.generation = 1
        """How many policies this limiter has put in force."""
        self.reloaded_ns = now_ns
        self.last_reload: Reload | None = None

    def decide(
        self,
        *,
        method: str = "GET",
        path: str = "/",
        identities: Mapping[str, str | bytes] | None = None,
        costs: Mapping[str, int] | None = None,
        client: str | None = None,
        headers: Mapping[str, str] | Headers = (),
        state: Mapping[str, Any] | None = None,
        event: Event = "request",
        created: float | str | None = None,
        now_ns: int | None = None,
    ) -> Decision:
        """Decide one request, and charge it if it is allowed.

        Args:
            method, path: what limits are matched with.
            identities: values by the policy's names. An identity that is neither here nor found
                in what follows is missing, and its `missing` rule applies.
            costs: units known on arrival, by name; the policy's `cost` and `estimate` otherwise.
            client: the peer's address.
            headers: a mapping, or raw pairs with names in lower case.
            state: what `state:` identities are read from.
            event: "request", or for WebSockets "connect" and "message".
            created: when the account was created, in seconds since 1970, in place of what
                `[correlation] created` names.
            now_ns: nanoseconds since the epoch; the clock's time when not given.

        Raises:
            UsageError: an identity or unit the policy does not have, or a cost that is no
                integer from 0 to 2**31 - 1. Nothing was charged.
        """
        asked = self._inquiry(method, path, identities, costs, client, headers, state, event, created, now_ns)
        return self._decide(asked, charge=True)

    def peek(
        self,
        *,
        method: str = "GET",
        path: str = "/",
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
        asked = self._inquiry(method, path, identities, costs, client, headers, state, event, created, now_ns)
        return self._decide(asked, charge=False)

    async def adecide(
        self,
        *,
        method: str = "GET",
        path: str = "/",
        identities: Mapping[str, str | bytes] | None = None,
        costs: Mapping[str, int] | None = None,
        client: str | None = None,
        headers: Mapping[str, str] | Headers = (),
        state: Mapping[str, Any] | None = None,
        event: Event = "request",
        created: float | str | None = None,
        now_ns: int | None = None,
    ) -> Decision:
        """Decide as `decide` does, with any store: a server is awaited."""
        asked = self._inquiry(method, path, identities, costs, client, headers, state, event, created, now_ns)
        if asked is None:
            return self._unlimited(charge=True)
        return self._decision(asked, await self.ajudge(*asked, charge=True))

    async def apeek(
        self,
        *,
        method: str = "GET",
        path: str = "/",
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
        asked = self._inquiry(method, path, identities, costs, client, headers, state, event, created, now_ns)
        if asked is None:
            return self._unlimited(charge=False)
        return self._decision(asked, await self.ajudge(*asked, charge=False))

    def _decide(self, inquiry: Inquiry | None, *, charge: bool) -> Decision:
        if inquiry is None:
            return self._unlimited(charge=charge)
        return self._decision(inquiry, self.judge(*inquiry, charge=charge))

    def _unlimited(self, *, charge: bool) -> Decision:
        return Decision(*self._judging.counted(True, Reason.UNLIMITED, charge)[:2])

    def _inquiry(
        self,
        method: str,
        path: str,
        identities: Mapping[str, str | bytes] | None,
        costs: Mapping[str, int] | None,
        client: str | None,
        headers: Mapping[str, str] | Headers,
        state: Mapping[str, Any] | None,
        event: Event,
        created: float | str | None,
        now_ns: int | None,
    ) -> Inquiry | None:
        """Return what `judge` is asked, None for a request that nothing applies to."""
        if now_ns is None:
            now_ns = self.now_ns()
        generation = self.generation_at(now_ns)
        extractor = generation.extractor
        matched = generation.match(method, path, event)
        if not matched.is_limited and not generation.has_lists:
            return None
        raw = raw_headers(headers) if headers else ()
        context = NO_CONTEXT
        if extractor.needs_context or created is not None:
            context = Context(matched.params, {} if state is None else state, created=created)
        if identities:
            known = extractor.from_values(checked_names(identities, generation.names), client, raw, context)
        else:
            known = extractor.extract(raw, client, context)
        amounts = costs if costs is None else checked_costs(costs, generation.compiled.units)
        return generation, matched, known, now_ns, amounts

    def _decision(self, inquiry: Inquiry, judgement: Judgement) -> Decision:
        generation, _, known, _, _ = inquiry
        allowed, reason, plan, outcome = judgement
        ledger = None if plan is None or outcome is None else Charge(plan, outcome, self.clock)
        return Decision(allowed, reason, ledger, *actor_in(generation, known))

    # -- the policy in force ----------------------------------------------------------------------

    def generation_at(self, now_ns: int) -> Generation:
        """Return the policy in force, its calendar windows listed around `now_ns`."""
        current = self.current
        if current.until_ns is None or current.is_current(now_ns):
            return current
        with self._lock:
            if not self.current.is_current(now_ns):
                self.current = self._bind(self.policy, now_ns, self.correlating)
            return self.current

    def reload(self) -> Reload:
        """Read the policy file again and put it in force; a bad file changes nothing.

        Counters carry over. Requests under way end under the policy they began with. What
        the store was opened with (`[store]`, `[hashing]`) stays as it was until a restart.

        Raises:
            UsageError: the policy did not come from a file (code `reload-no-file`).
        """
        if self._path is None:
            raise UsageError(
                "this limiter was given a policy, not a file to read again", code="reload-no-file"
            )
        with self._lock:
            seen = fingerprint(self._path)
            now_ns = self.now_ns()
            before = after = self.correlating
            try:
                loaded = Policy.load(self._path)
                after = self._correlating(loaded)
                generation = self._bind(loaded, now_ns, after)
            except Exception as raised:
                if after is not None and after is not before:
                    after.close(now_ns)
                outcome = Reload("rejected", now_ns, fault_of(raised, self._path))
            else:
                changes = diff(self.policy.compiled, loaded.compiled)
                if loaded.file == self.policy.file:
                    outcome = Reload("unchanged", now_ns)
                else:
                    self.policy = loaded
                    self.current = generation
                    self.correlating = after
                    if after is not None and loaded.compiled.correlation is not None:
                        after.adapt(loaded.compiled.correlation)
                        after.know(generation.knowledge)
                    elif before is not None:
                        before.close(now_ns)
                    self.generation += 1
                    self.reloaded_ns = now_ns
                    outcome = Reload("applied", now_ns, changes=changes)
            self._fingerprint = seen
            self.last_reload = outcome
        self.counters.reloaded(outcome.result)
        self.observer.reloaded(outcome.result, outcome.error)
        return outcome

    def reload_if_changed(self) -> Reload | None:
        """Reload when the file looks different from last time; None when it does not.

        A file that is missing for the moment (an editor replacing it) is not a change.
        """
        return self.reload() if self.is_outdated else None

    @property
    def is_outdated(self) -> bool:
        """Whether the policy file looks different from when it was last read."""
        seen = None if self._path is None else fingerprint(self._path)
        return seen is not None and seen != self._fingerprint

    def _correlating(self, policy: Policy) -> Correlating | None:
        """Return who correlates under a policy: as before if possible, None where it asks for nothing."""
        spec = policy.compiled.correlation
        if spec is None or self.correlating is not None:
            return None if spec is None else self.correlating
        principals = Settings(**spec.settings).principals  # type: ignore[arg-type]  # checked by the policy
        shared = open_board(policy, self.store, principals, is_shared=not self._correlates)
        key, hosts = self.store.table.key, self._hosts(policy)
        return Correlating(spec, shared, key, budgets=self._budgets, notice=self.notice, hosts=hosts)

    def _hosts(self, policy: Policy) -> Hosts | None:
        """Return how to take part where several hosts share a correlator; None where this one has its own."""
        return hosts_of(policy.compiled, self.store.table.key, correlates=self._correlates)

    def _budgets(self) -> Budgets:
        return self.current.budgets

    def _bind(self, policy: Policy, now_ns: int, correlating: Correlating | None) -> Generation:
        compiled = policy.compiled
        spec = compiled.correlation
        return Generation(
            compiled,
            self.store,
            now_ns,
            notice=self.notice,
            resolvers=find_resolvers(compiled.identities, self.resolvers),
            watch=None if correlating is None or spec is None else correlating.watch(spec, compiled.cluster),
        )

    # -- what others read -------------------------------------------------------------------------

    @property
    def source(self) -> object:
        """What makes two limiters the same: their policy file, else the object itself."""
        return self if self._path is None else self._path.resolve()

    @property
    def table(self) -> Table:
        """The table the counters live in."""
        return self.store.table

    @property
    def rules(self) -> Sequence[LimitRule]:
        """The rules in force."""
        return self.current.compiled.rules

    @property
    def correlation(self) -> Mapping[str, int]:
        """The state of all workers' correlation in numbers; empty where nothing is correlated."""
        return {} if self.correlating is None else self.correlating.numbers()

    @property
    def remote(self) -> Mapping[str, float]:
        """What this worker knows of the store's server; empty where there is none."""
        return self.store.state

    def drift_ns(self) -> int:
        """Return how far the civil clock has stepped away from the limits' clock."""
        return self.clock.drift_ns() if hasattr(self.clock, "drift_ns") else 0

    def renew(self) -> bool:
        """Leave shared memory that is damaged or gone for fresh memory; return whether any was.

        The middleware's upkeep asks every few seconds. What was counted there begins anew; all
        workers that ask meet in the same fresh memory. Said as `memory-damaged`, each time.
        """
        with self._lock:
            correlating = self.correlating
            damages: list[str | None] = []
            try:
                damages.append(self.store.renew())
                if correlating is not None and correlating.key == self.store.table.key:
                    damages.append(correlating.renew())
                if damages[0] is not None:
                    # Plans that were made since know the damaged memory's places; and it may be that a
                    # worker made the fresh one that knew another hash key.
                    self._rebind()
            except StoreError:
                self.notice("memory-unusable")
        self._noticing.say_damage(*damages)
        return any(damage is not None for damage in damages)

    def _rebind(self) -> None:
        now_ns, before = self.now_ns(), self.correlating
        self.counters = Counters(self.store.table)
        if before is not None and before.key != self.store.table.key:
            before.close(now_ns)
            self.correlating = None
        self.correlating = self._correlating(self.policy)
        self.current = self._bind(self.policy, now_ns, self.correlating)
        if self.correlating is not None:
            self.correlating.know(self.current.knowledge)

    async def rest(self) -> None:
        """Close this event loop's connections with a server; the next decision opens others."""
        await self.store.rest()

    def close(self) -> None:
        """Save what is known of clusters, and let go of the store if this limiter opened it.

        Of a server `await rest()` takes leave in order; this does not wait for it.
        """
        if self.correlating is not None:
            self.correlating.close(self.now_ns())
        if self._owns_store:
            self.store.close()
