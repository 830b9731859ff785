"""The knowledge of callers that a running deployment has: its counters, refusals, actors and acts.

Counters and refusals are those of now. Accounts and evidence are as the correlator last saved them; the acts
in force are applied to that, so an act shows at once. Who is in which actor is read from the assignments that
workers decide by, where this host has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ratelimit.algorithms import OF_UNITS, PREPAID
from ratelimit.budgets.paid import paid_of
from ratelimit.budgets.stage import own_rule
from ratelimit.clock import SystemClock
from ratelimit.clustering.amendment import amendment_of
from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.core.clusters.profile import seen_with
from ratelimit.core.clusters.reasons import accounts_at, reasons
from ratelimit.core.decision import engine
from ratelimit.core.decision.engine import MAX_RULES
from ratelimit.core.sharing.observer import Watch
from ratelimit.correlation.overview import Overview
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.errors import StoreError
from ratelimit.inspection.access.attachment import attach, watch_of
from ratelimit.inspection.access.deployment import Deployment, deployment_of
from ratelimit.inspection.access.server import no_answer
from ratelimit.inspection.actors.evidence import Source, from_running
from ratelimit.inspection.actors.saved import peek
from ratelimit.inspection.callers.refusals import HostsReport
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.refused import DeniedCaller, RefusedCaller, denied_callers, refused_callers
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.runtime.route_counters import core_of, rows_by_route
from ratelimit.stores.acts.act import Act, in_force
from ratelimit.stores.embedded.store import EmbeddedStore

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Left:
    """What a limit has left for one caller."""

    rule: LimitRule
    remaining: int
    reset_ns: int
    retry_ns: int
    """How long the limit refuses one more request of usual cost; 0 if it allows one, -1 for always."""
    paid: int = 0
    """Units added to a lifetime for good."""

    @property
    def most(self) -> int:
        """All that the caller has, used or not."""
        return self.rule.burst + self.paid

    @property
    def reduced_to(self) -> int | None:
        """The most that a request may ask for at once, if one of usual cost asks for more.

        So it is while the server is away, and this host lets its share through. None: it is not so.
        """
        is_beyond = self.retry_ns < 0 and self.rule.algorithm not in PREPAID
        return self.most if is_beyond and self.rule.estimate > self.most else None

    @property
    def is_full(self) -> bool:
        """Whether nothing is used."""
        return self.remaining >= self.most


def least_cost(rule: LimitRule) -> int:
    """Return the least that a request of usual cost takes of a limit on arrival.

    Where each request is looked at for what it may use, that is one unit: the rest only it can say.
    """
    metering = rule.metering
    is_found = metering is not None and (metering.estimate is not None or metering.exposure == 1)
    return rule.estimate or int(is_found)


@dataclass
class Knowledge:
    """What is known here of callers, to look somebody up.

    Args:
        deployment: where acts are kept, and the store.
        source: what the correlator saved; None where nothing correlates or nothing was saved.
        refused: what this host's limits refused within the last hour.
        watch: the assignments that this host's workers look into; None where there are none.
    """

    deployment: Deployment
    source: Source | None
    refused: Sequence[RefusedCaller]
    watch: Watch | None
    acts: Sequence[Act] = field(default_factory=list)
    log: Sequence[Act] = field(default_factory=list)
    """All acts that are kept, with those that ended."""
    denied: Sequence[DeniedCaller] = field(default_factory=list)
    """The callers that this host's deny list refused within the last hour."""
    here: EmbeddedStore | None = None
    """The table of this host's workers; None where none has run."""
    trouble: str = ""
    """Why nothing is known of actors; empty if something is, or the policy correlates nothing."""
    told: dict[tuple[int, ...], HostsReport] = field(default_factory=dict)
    """What all hosts said of callers, by their hashes, as far as they were asked."""
    _failure: InspectionFailure | None = None

    @property
    def is_away(self) -> bool:
        """Whether the server that keeps limits and acts does not answer."""
        return self._failure is not None

    @property
    def bound(self) -> BoundPolicy:
        """The policy, bound to the store that its workers count in."""
        return self.deployment.bound

    @property
    def compiled(self) -> CompiledPolicy:
        """The policy."""
        return self.deployment.policy.compiled

    @property
    def account(self) -> str | None:
        """The identity that accounts are of: the principal where that is one, else `account`."""
        compiled = self.compiled
        spec = compiled.correlation
        if spec is not None and len(spec.principal) == 1:
            return compiled.identities[spec.principal[0]].name
        return "account" if any(each.name == "account" for each in compiled.identities) else None

    @property
    def actors(self) -> Sequence[Overview]:
        """The actors, the largest first."""
        return [] if self.source is None else self.source.actors

    def actor(self, identity: int) -> Overview | None:
        """Return one actor."""
        return next((each for each in self.actors if each.identity == identity), None)

    def membership(self, key: int) -> tuple[int | None, int]:
        """Return the actor that an account is in, and how sure that is: 0 for none, 1 likely, 2 certain.

        Workers decide by the assignments. What the correlator saved may be older, but has acts applied.
        """
        if self.source is not None and self.source.correlator.override_of(key) == "exempt":
            return None, 0
        if self.watch is not None:
            actor = self.watch.assignments.of_key(key)
            # A young cluster's budgets are one actor.
            return (None, 0) if actor < 0 else (cluster_of(actor), self.watch.assignments.verdict(key))
        if self.source is None:
            return None, 0
        core = self.source.correlator.core
        found = core.cluster_identity(key)
        return (None, 0) if found is None else (cluster_of(found), core.verdict_of(key))

    def accounts_with(self, value: int) -> int:
        """Return about how many accounts were seen with an address, a network or a payment method."""
        if self.source is None:
            return 0
        core = self.source.correlator.core
        # Of a network no number is kept.
        return accounts_at(core, value) or len(seen_with(core, value))

    def is_account(self, key: int) -> bool:
        """Return whether the correlator remembers an account."""
        return self.source is not None and reasons(self.source.correlator.core, key) is not None

    def left(self, row: Sequence[int]) -> list[Left]:
        """Return what each limit has left that counts by nothing but identities in a row, and by the route.

        Of a limit that counts each route by itself, those routes of which something is used.
        A limit on requests at once is left out where this process has no seat among the workers.

        Raises:
            InspectionFailure: a server keeps the limits and does not answer.
        """
        if self._failure is not None:
            raise self._failure
        rules, found = self.rules_of(row), []
        for at in range(0, len(rules), MAX_RULES):
            try:
                found += self.left_of(rules[at : at + MAX_RULES], list(row))
            except InspectionFailure as failure:
                self._failure = failure  # it is not asked and waited for again
                raise
        amendment, now_ns = amendment_of(self.compiled, self.acts), self.bound.store.clock.now_ns()
        for rule, rows in rows_by_route(self.bound, self.deployment.policy.path, row):
            if rule.algorithm in OF_UNITS:
                own = own_rule(rule, amendment, row, now_ns)
                left = [each for one in rows for each in self.left_of([own], one)]
                found += [each for each in left if not each.is_full] or left[:1]
        return found

    def rules_of(self, row: Sequence[int]) -> list[LimitRule]:
        """Return the limits that `left` looks at, each with the number that the caller has."""
        compiled = self.compiled
        amendment, now_ns = amendment_of(compiled, self.acts), self.bound.store.clock.now_ns()
        return [
            own_rule(rule, amendment, row, now_ns)
            for rule in compiled.rules
            if not rule.is_beside
            and rule.algorithm in OF_UNITS
            and all(row[position] >= 0 for position in rule.per)
        ]

    def left_of(self, rules: Sequence[LimitRule], row: list[int]) -> list[Left]:
        """Return what each of at most 16 limits has left.

        Raises:
            InspectionFailure: a server keeps the limits and does not answer.
        """
        plan = self.bound.plan_of(rules)
        asked = outcome = peek(self.bound, plan, row, [0] * len(rules))
        # Where something is owed a look that asks for nothing is refused: so is a request that is charged
        # as it settles.
        costs = [least_cost(rule) for rule in rules]
        if any(outcome.remaining(index) < cost for index, cost in enumerate(costs)):
            asked = peek(self.bound, plan, row, costs)
        now_ns = self.bound.store.clock.now_ns()
        return [
            Left(
                rule,
                outcome.remaining(index),
                outcome.reset_after_ns(index),
                asked.retry_after_ns(index),
                paid_of(self.bound, rule, row, now_ns) if rule.algorithm in PREPAID else 0,
            )
            for index, rule in enumerate(rules)
        ]

    def keys_of(self, rules: Sequence[LimitRule], row: Sequence[int]) -> list[int]:
        """Return what limits count a request by that count by several identities together."""
        known = [rule for rule in rules if all(row[position] >= 0 for position in rule.per)]
        found = [self.key_of(rule, row) for rule in known if len(rule.per) > 1]
        for rule, rows in rows_by_route(self.bound, self.deployment.policy.path, row):
            found += [self.key_of(rule, one) for one in rows]
        return found

    def key_of(self, rule: LimitRule, row: Sequence[int]) -> int:
        """Return the counter that a limit counts a request in."""
        return self.core_of(rule).key(0, row)

    def core_of(self, rule: LimitRule) -> engine.Plan:
        """Return what knows the keys of a limit's counters."""
        return core_of(self.bound, rule)

    def row_of(self, hashes: dict[int, int]) -> list[int]:
        """Return the identities of a request that has these, by position, and no others."""
        row = list(self.bound.extractor.anonymous)
        for position in range(len(row)):
            row[position] = -1
        for position, hashed in hashes.items():
            row[position] = hashed
        return row


@contextmanager
def knowledge_of(policy: Policy, evidence: Callable[[Policy], Source] = from_running) -> Iterator[Knowledge]:
    """Look at what is known of the callers of a running deployment; nothing is charged or counted.

    Args:
        policy: the policy.
        evidence: returns what the correlator saved.

    Raises:
        InspectionFailure: there is no deployment here, or it is not ours to read.
    """
    with ExitStack() as stack:
        deployment = stack.enter_context(deployment_of(policy))
        source, trouble, failure = None, "", None
        log: Sequence[Act] = ()
        try:
            log = deployment.acts()
        except StoreError as error:
            # It is not asked and waited for again: a person waits for what this host knows.
            remote = policy.compiled.remote
            failure = no_answer("the store" if remote is None else remote.url, error)
            log = [] if deployment.file is None else deployment.file.read()
        if failure is not None and evidence is from_running and policy.compiled.correlation is not None:
            trouble = "the server does not answer"
        elif policy.compiled.correlation is not None:
            try:
                source = evidence(policy)
            except InspectionFailure as missing:
                trouble = str(missing)
        watch, refused, here = None, [], None
        with suppress(InspectionFailure):
            here = attach(policy)
            stack.callback(here.close)
            refused = refused_callers(policy.compiled, here, {})
            watch = stack.enter_context(watch_of(policy.compiled, here))
        acts = in_force(log, deployment.key, SystemClock().now_ns())
        denied = [] if here is None else denied_callers(policy.compiled, here, {}, log)
        yield Knowledge(
            deployment, source, refused, watch, acts, log, denied, here, trouble, _failure=failure
        )
