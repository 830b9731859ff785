"""One compiled policy bound to a store: everything a decision needs, worked out once.

Theory of operation. A reload builds a whole new bound policy and swaps one reference;
a request that began under the old one ends under it. Counters carry over because a
rule's salt comes from what the rule counts, not from how much it allows.

Two caches grow with traffic, and both are bounded and emptied when full. One holds targets seen
(only short ones, and only of common methods, since clients choose them). The other holds `plans`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

from ratelimit.clustering.amendment import NO_AMENDMENT, Amendment
from ratelimit.clustering.budgets import Budgets
from ratelimit.clustering.declarations import Declarations, hashed
from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.sharing.observer import Watch
from ratelimit.deciding.by_name import NamedGate
from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.early import ALL_KNOWN, EarlyLimits
from ratelimit.deciding.extraction import listed_positions, make_extractor, payer_position, positions_of
from ratelimit.deciding.limits import Compiled, Picking, Recognising, Requiring, by_plan
from ratelimit.deciding.matched import Matched as Matched
from ratelimit.deciding.plans import Plans
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Feature, Recognition, Stage, chained
from ratelimit.deciding.variant import Variant
from ratelimit.identity.extract import Headers
from ratelimit.identity.holder import holder_of
from ratelimit.policy.compile.compiled import CacheSpec, CompiledPolicy, LimitRule, LimitSpec
from ratelimit.policy.compile.identities import INTERNAL
from ratelimit.policy.routing.classes import NO_CLASSES, LoadClasses, Marks
from ratelimit.policy.routing.request_line import read_line, read_method, read_name
from ratelimit.policy.routing.target import Target
from ratelimit.policy.schema.model import Event
from ratelimit.stores.contract import AnyPlan, Store, check_algorithms
from ratelimit.tiers.pick import TierPick
from ratelimit.usage.metrics import ratio_labels, route_labels

F = TypeVar("F", bound=Feature)
MakeFeatures = Callable[["BoundPolicy"], Iterable[Feature]]
"""Makes features of a policy; none where the policy does not use them."""

MOST_PATHS = 4096
LONGEST_CACHED_PATH = 256

COMMON_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

# Calendar windows are listed in advance for this long, at least; a bound policy lives half of it.
_CALENDAR_STARTS = {"minute": 1440, "hour": 1440, "day": 800, "week": 200, "month": 60, "year": 12}


class BoundPolicy:
    """A policy at work.

    Args:
        compiled: the policy.
        store: where its counters live.
        now_ns: the current time; calendar windows are listed from here on.
        diagnose: told stable codes of what deserves a word to the operator.
        resolvers: the callables that the policy's identities refer to, by name.
        watch: correlation's part in requests, where the policy has any.
        is_asked: whether its limits are asked for by name (`of`), not by path (`match`).
        stages: the application's own, which requests pass before those of their plan.
        amendment: what the operator's acts add.
        features: make the features of this policy, in the order in which requests pass their stages.

    Raises:
        StoreError: the store has no room for another rule's counters (code `counters-full`).
        UsageError: the store does not know a limit's algorithm (code `store-algorithm`).
    """

    def __init__(
        self,
        compiled: CompiledPolicy,
        store: Store,
        now_ns: int,
        *,
        diagnose: Callable[..., None],
        resolvers: Mapping[str, Callable[[Any], Any]] | None = None,
        watch: Watch | None = None,
        is_asked: bool = False,
        stages: Sequence[Stage] = (),
        amendment: Amendment = NO_AMENDMENT,
        features: Sequence[MakeFeatures] = (),
    ) -> None:
        self.compiled = compiled
        self.amendment = amendment
        """What the operator's acts add."""
        self.is_asked = is_asked
        self._diagnose = diagnose
        self.watch = watch
        """This host's own recognition; None where nothing is correlated."""
        self.recognition: Recognition | None = watch
        """Knows requests' clusters and is told what was decided. In a worker it is `watch`; a trace and a
        person have another one."""
        self.by_name: NamedGate | None = None
        """Decides in one call what is given by names; set with `decider`."""
        self.store = store
        self.resolvers = dict(resolvers or {})
        self.extractor = make_extractor(
            compiled,
            store,
            diagnose,
            is_asked=is_asked,
            allowed=amendment.allowed,
            denied=amendment.denied,
        )
        spec = compiled.correlation
        self.knowledge: Declarations | None = (
            None if spec is None else hashed(spec, compiled.identities, self.extractor, amendment.declared)
        )
        """The operator's knowledge of principals and networks; None without correlation."""
        if watch is not None and self.knowledge is not None:
            self.knowledge.tell_columns(watch)
        self.ratio_labels = ratio_labels(compiled.rules)
        """What the limits with estimates are called where these are compared with real costs."""
        self.route_labels = route_labels(compiled.limits)
        """What routes are called where answers are counted."""
        self.names = {
            name: position for name, position in self.extractor.positions.items() if name not in INTERNAL
        }
        """The identities that a caller can give by name."""
        self.has_lists = bool(compiled.allow or compiled.deny or amendment.positions)
        self.is_metered = any(rule.metering is not None for rule in compiled.rules)
        """True if any limit finds estimates for each request, or reads answers."""
        self.decider: CompiledDecider | None = None
        """Decides most requests in one compiled call; set by a limiter, None if a stage is not compiled."""
        self.headers = compiled.file.headers
        self.from_ns = now_ns
        self.until_ns: int | None = None
        """The time when calendar windows run out; None without any."""
        self._resolver_caches = {
            source.name: spec.cache
            for spec in compiled.identities
            for source in spec.sources
            if source.record.is_asked and spec.cache is not None
        }
        check_algorithms(store, [(rule.name, rule.algorithm) for rule in compiled.rules])
        self._core_rules = [self._core_rule(rule, now_ns) for rule in compiled.rules]
        self._tier_names = {
            (limit.tier_identity, value): tier
            for limit in compiled.limits
            if limit.tier_identity >= 0
            for tier in limit.tiers
            for value in self.extractor.value_hashes(compiled.identities[limit.tier_identity].name, tier)
        }
        # Lists and the correlation look at every request, limits at those they match.
        self._always_resolved = self._resolvers_of(listed_positions(compiled) | amendment.positions)
        self._resolved_by = [
            self._resolvers_of(positions_of(compiled, {limit.index})) if self.extractor.resolvers else ()
            for limit in compiled.limits
        ]
        self.early = EarlyLimits(compiled, {position for position, _ in amendment.allowed})
        """Which limits can be asked before a request is known in full."""
        looks_at_account = compiled.looks_at_account or any(spec.counts_accounts for spec in compiled.specs)
        self.payer_at = payer_position(compiled) if looks_at_account else -1
        """The identity that use of the back end is counted by; -1 for none."""
        self.unmatched = Matched("", {}, None, resolvers=self._always_resolved)
        self._unmatched: dict[LoadClasses, Matched] = {}
        self.budgets = Budgets(compiled, store, self._core_rules, self.extractor.anonymous)
        """The limits per cluster, for the judge of clusters."""
        self.features: tuple[Feature, ...] = tuple(chain.from_iterable(make(self) for make in features))
        """The features that this policy uses."""
        self._plans = Plans(compiled, store, self._core_rules, self._core_rule, self.features)
        outer = [each.stage for each in self.features if each.is_outer and each.stage is not None]
        inner = [each.stage for each in self.features if not each.is_outer and each.stage is not None]
        compiled_call = [Compiled()] if any(each.is_first for each in self.features) else []
        self.behind: tuple[Stage, ...] = (Recognising(), Requiring(), *inner, *stages)
        """The stages that requests pass once their limits are picked."""
        self.stages: tuple[Stage, ...] = (
            *outer, *compiled_call, Picking(), *self.behind
        )  # fmt: skip
        """The stages that all requests pass, in this order."""
        self.chain = chained(self.stages, by_plan)
        """Decides a request by these, and by the stages of its plan."""
        self.may_hold = bool(stages) or any(
            each.may_hold(rule) for each in self.features for rule in compiled.rules
        )
        """True if a request may wait, or the application be asked."""
        self.holds = any(each.holds for each in self.features)
        """True if requests that count as work of a back end may be held."""
        self.requests = self._caches()
        """What HTTP requests matched, by method and target. `match` fills it; others only look."""
        self.connects = self._caches()
        """What handshakes matched, in the same way."""
        self._messages = self._caches()
        self.has_messages = any(limit.on == "message" for limit in compiled.limits)

    def find(self, kind: type[F]) -> F | None:
        """Return this policy's feature of a kind; None where it has none."""
        return next((each for each in self.features if isinstance(each, kind)), None)

    def plan_of(self, rules: Sequence[LimitRule]) -> AnyPlan:
        """Return what asks at most 16 of its rules for what is left in their counters."""
        compiled = self.compiled.rules
        own = [
            self._core_rules[rule.index] if rule is compiled[rule.index] else self._core_rule(rule)
            for rule in rules
        ]
        return self.store.plan(own, [rule.per for rule in rules], None, range(len(own)))

    def variant(self, plan: RoutePlan, variant: Variant) -> RoutePlan:
        """Return a variant of a plan that the policy has, over the same counters."""
        return self._plans.variant(tuple(rule.index for rule in plan.rules), variant)

    def payer(self, row: Sequence[int]) -> int:
        """Return the account that a row counts as use of the back end, 0 for none."""
        return max(0, row[self.payer_at]) if self.payer_at >= 0 else 0

    def holder(self, headers: Headers, host: str | None) -> tuple[int, int]:
        """Return the network and the address that what a request holds of its worker counts for."""
        return holder_of(self.extractor.client(host, headers), self.store.hasher)

    @staticmethod
    def _caches() -> dict[str, dict[str | Target, Matched]]:
        return {method: {} for method in COMMON_METHODS}

    def resolver_cache(self, name: str) -> CacheSpec | None:
        """Return how a resolver's answers are cached, None when they are not."""
        return self._resolver_caches.get(name)

    def is_current(self, now_ns: int) -> bool:
        """Return whether the listed calendar windows cover this instant with room to spare."""
        return self.until_ns is None or self.from_ns <= now_ns < self.until_ns

    def match(self, method: str, target: str | Target, event: Event = "request") -> Matched:
        """Return what applies to a request, a handshake or a message.

        `target` is the path where that says all.
        """
        caches = (
            self.requests if event == "request" else self.connects if event == "connect" else self._messages
        )
        cache = caches.get(method)
        if cache is None:
            return self._match(method, target, event)
        matched = cache.get(target)
        if matched is None:
            matched = self._match(method, target, event)
            length = len(target) if isinstance(target, str) else target.length
            if length <= LONGEST_CACHED_PATH:
                if len(cache) >= MOST_PATHS:
                    cache.clear()
                cache[target] = matched
        return matched

    def match_line(self, method: str, target: str) -> Matched:
        """Return what applies to a request line, as it was sent to an unknown back end."""
        return self.match(*read_line(method, target))

    def match_named(self, method: str, path: str | Target, event: Event = "request") -> Matched:
        """Return what applies to a request that an application or a proxy describes."""
        return self.match(method, read_name(path), event)

    def narrowed(self, matched: Matched, indices: tuple[int, ...]) -> Matched:
        """Return what applies if only these of its rules do."""
        plan = self._plans.plan(indices)
        narrow = Matched(matched.template, matched.params, plan, resolvers=matched.resolvers)
        narrow.take_classes(matched.classes, matched.wait_rank)
        return narrow

    def remembered(self) -> int:
        """Return how many paths are kept for the method that has most."""
        caches = (self.requests, self.connects, self._messages)
        return max(len(cache) for by_method in caches for cache in by_method.values())

    def _match(self, method: str, target: str | Target, event: Event) -> Matched:
        method = read_method(method)
        marks = Marks()
        for spec in self.compiled.specs:
            spec.mark(marks, event, method, target, self.compiled.router.reading)
        classes = marks.classes
        route = self.compiled.router.match(method, target)
        if route is None:
            if classes is NO_CLASSES:
                return self.unmatched
            known = self._unmatched.get(classes)
            if known is None:
                known = Matched("", {}, None, resolvers=self._always_resolved, classes=classes)
                self._unmatched[classes] = known
            return known
        if event in route.crowded:
            self._diagnose("route-crowded")
            return Matched(route.template, {}, None, resolvers=self._always_resolved, is_crowded=True)
        positions = (
            route.on_request
            if event == "request"
            else (route.on_connect if event == "connect" else route.on_message)
        )
        limits = tuple(self.compiled.limits[position] for position in positions)
        params = route.params(target) if self.extractor.needs_context or self.is_metered else {}
        matched = self.of(limits, route.template, params)
        matched.take_classes(classes, marks.wait_rank)
        return matched

    def of(
        self,
        limits: Sequence[LimitSpec],
        template: str,
        params: Mapping[str, str],
    ) -> Matched:
        """Return what asks these limits of the policy, whatever they match.

        Args:
            limits: some of `compiled.limits`.
            template: what to call the request by: its route.
            params: the values of its path's parameters.
        """
        if not limits:
            return Matched(template, params, None, resolvers=self._always_resolved)
        asked = tuple(
            dict.fromkeys(chain(self._always_resolved, *(self._resolved_by[limit.index] for limit in limits)))
        )
        plan, pick = None, None
        if all(limit.tier_identity < 0 for limit in limits):
            plan = self._plans.plan(tuple(chain(*(limit.rules for limit in limits))))
        else:
            pick = TierPick(limits, self._tier_names, self._plans.plan)
        early, head, envelope = self.early, None, None
        if asked and early.has_head:
            head = self._stage(limits, template, params, early.late)
        is_metered = early.awaits_body(limits)
        if is_metered:
            envelope = self._stage(limits, template, params, ALL_KNOWN)
        return Matched(
            template,
            params,
            plan,
            pick,
            asked,
            before_resolvers=head,
            before_body=envelope,
            is_metered=is_metered,
        )

    def _stage(
        self, limits: Sequence[LimitSpec], template: str, params: Mapping[str, str], late: frozenset[int]
    ) -> Matched | None:
        """Return what of these limits can be asked while identities are missing; None if nothing is."""
        early = self.early
        known = early.limits(limits, late)
        if not early.asks_any(known, late):
            return None
        pick = TierPick(known, self._tier_names, lambda indices: self._plans.plan(early.rules(indices, late)))
        if any(limit.tier_identity >= 0 for limit in known):
            return Matched(template, params, None, pick)
        return Matched(template, params, pick(()))

    def _resolvers_of(self, positions: set[int]) -> tuple[str, ...]:
        identities = self.compiled.identities
        sources = [source for position in sorted(positions) for source in identities[position].sources]
        return tuple(dict.fromkeys(source.name for source in sources if source.record.is_asked))

    def _core_rule(self, rule: LimitRule, now_ns: int | None = None, *, is_waived: bool = False) -> Rule:
        now_ns = self.from_ns if now_ns is None else now_ns
        if self.store.table is not None:
            # A table without room for another counter is found out now, not by a request.
            self.store.table.counter(rule.counter_name)
        starts = None
        if rule.calendar is not None:
            present = rule.calendar.starts(now_ns, 1)[0]
            # With the window before: what is left of it may count in the present one.
            starts = rule.calendar.starts(max(0, present - 1), _CALENDAR_STARTS[rule.calendar.unit])
            self.from_ns = max(self.from_ns, present) if self.until_ns is not None else present
            middle = starts[len(starts) // 2]
            self.until_ns = middle if self.until_ns is None else min(self.until_ns, middle)
        salt = self.store.hasher.tuple(*rule.salt_parts)
        self.store.name_unit(salt, rule.unit)
        return Rule(
            rule.counter_name,
            rule.algorithm,
            quota=rule.quota,
            period_ns=rule.period_ns,
            burst=rule.burst,
            debt=rule.debt,
            salt=salt,
            shadow=rule.shadow or rule.following.admits or is_waived,  # none of them refuses
            enforced_ppm=rule.enforced_ppm,
            calendar=starts,
            mark=rule.mark,
            **({"lease_ns": rule.lease_ns} if rule.lease_ns else {}),
        )
