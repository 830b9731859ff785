"""All hosts of a deployment at one moment: what their limits do, and whom these refuse.

Without a server there is one host, and its shared table is read. Hosts that share a server are asked
through it, and each answers within a second; one that does not answer is named.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING

from ratelimit.clock import SystemClock
from ratelimit.core.sharing.inflight import InFlight
from ratelimit.deciding.denials import DENY_LIST
from ratelimit.errors import StoreError
from ratelimit.inspection import formatting
from ratelimit.inspection.access.attachment import attach, watch_of
from ratelimit.inspection.access.deployment import Deployment, deployment_of
from ratelimit.inspection.access.host_state import HostState, state_of
from ratelimit.inspection.acts.acting import known_acts
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.policies import different_policies
from ratelimit.inspection.hosts.refused import label_of, of_tier
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.journal.forgetting import HOUR_NS, emptied_words, recently_emptied
from ratelimit.inspection.journal.outage import outage_words
from ratelimit.inspection.journal.rejections import rejection_words, rejections
from ratelimit.load.compile import AdaptiveSpec, class_names, loads_of
from ratelimit.load.memory import SharedInFlight
from ratelimit.load.metrics import WatchedLoad, load_numbers
from ratelimit.load.model.shedding import ShedPriority
from ratelimit.load.target import has_target
from ratelimit.load.values import known_values, value_name
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.acts.act import Act, digest_of, in_force
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.telemetry.snapshot import LimitCounts, Snapshot, total
from ratelimit.verdict import Reason
from ratelimit.worker.events.host import memory_of, reporting_name
from ratelimit.worker.events.takings import TakenHere, takings
from ratelimit.worker.refusal_lines import IN_CODE, Line, denied_by, limit_and_tier, refusal_lines

if TYPE_CHECKING:
    from ratelimit.stores.redis.acts import HostReport
    from ratelimit.stores.redis.inquiries import HostAnswer, Inquiry

PATIENCE_S = 1.5
"""The time in which hosts answer."""
PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Refused:
    """What one limit refused of one caller within the last hour, on one host."""

    host: str
    limit: str
    per: str
    """What the limit counts by; empty for a limit that only the application's code has."""
    hash: int
    refused: int
    uncertain: int
    since_ns: int
    last_ns: int
    in_shadow: bool = False
    """Whether the limit would have refused it, and did not."""
    act: str = ""
    """The operator's act that refused it; empty for a limit, and for the policy's own deny list."""
    tier: str = ""
    """The tier whose numbers the limit went by; empty for its own."""
    now: int = 0
    """How many of these were in the last sixty seconds."""
    is_likely: bool = False
    """Whether the limit let it pass as it is a likely actor, which the limit does not hold."""

    @property
    def aside(self) -> str:
        """Why the limit let it pass, as every screen says it; empty for what it refused."""
        if not self.in_shadow:
            return ""
        return formatting.NOT_HELD if self.is_likely else "in shadow"

    @property
    def refuser(self) -> str:
        """What refused it, as screens have it."""
        return f"{self.limit}, act {self.act}" if self.act else of_tier(self.limit, self.tier)

    @property
    def is_in_code(self) -> bool:
        """Whether the policy file does not have the limit."""
        return not self.per


@dataclass(frozen=True, slots=True)
class HostMoment:
    """One host at one moment."""

    host: str
    counts: Snapshot | None
    """What it counted since its memory began; None of a host that did not answer."""
    state: HostState | None
    """Whether it applies the operator's acts, where that is known."""
    hour: int = 0
    """The number of the hour under way, since 1970; 0 of a host that did not answer,"""
    took: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """and what callers took in it: by the names of limits, callers' hashes and units;"""
    actors_took: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """what all accounts of an actor took of limits that count by the account."""


@dataclass(frozen=True)
class Moment:
    """All hosts at one moment."""

    at_ns: int
    hosts: Sequence[HostMoment]
    callers: Sequence[Refused]
    """The callers that limits refused within the last hour, or would have; first what is refused now."""
    acts: int = 0
    """The operator's acts in force."""
    trouble: Sequence[str] = field(default_factory=list)
    """What keeps this from being the whole, each in a sentence."""
    is_away: bool = False
    """Whether the server that hosts share does not answer: this is what this host knows."""
    knows_callers: bool = True
    """Whether it says whom limits refuse; a page of metrics does not."""
    rules: Sequence[LimitRule] | None = None
    """Those of the policy; None of a page of metrics, which does not say which verdicts limits hold."""

    @cached_property
    def total(self) -> Snapshot:
        """The sum over hosts."""
        return total(each.counts for each in self.hosts if each.counts is not None)

    @property
    def missing(self) -> list[str]:
        """The hosts that did not answer, without those that are taken for gone."""
        return [each.host for each in self._missing]

    @property
    def unheard(self) -> list[str]:
        """Those as people read them, with how long they are silent; or that it is the server."""
        if self.is_away:
            return [AWAY]
        return [each.host if each.state is None else each.state.named for each in self._missing]

    @property
    def _missing(self) -> list[HostMoment]:
        return [
            each
            for each in self.hosts
            if each.counts is None and not (each.state is not None and each.state.is_gone)
        ]

    @property
    def gone(self) -> list[HostState]:
        """The hosts that ended or are taken for gone, and did not answer."""
        return [
            each.state
            for each in self.hosts
            if each.counts is None and each.state is not None and each.state.is_gone
        ]


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One limit beside the others."""

    name: str
    counts: LimitCounts
    refused_s: float | None
    """Refusals a second since the look before; None at the first look."""
    would_s: float | None
    allowed_s: float | None
    last_minute: int | None = None
    """Refusals in the last sixty seconds, of the callers that hosts tell of; None where they tell of none."""
    would_last_minute: int | None = None
    """The same of those in shadow."""


def limits_by_trouble(now: Moment, before: Moment | None) -> list[LimitRow]:
    """Return the limits, those first that refused most in the last minute, then by rates, then most in all.

    The last minute is known at the first look already; rates are from two looks.
    """
    passed_s = 0.0 if before is None else (now.at_ns - before.at_ns) / 1e9
    rows = []
    for name, counts in now.total.limits.items():
        rates: list[float | None] = [None, None, None]
        if before is not None and passed_s > 0:
            then = before.total.limits.get(name, LimitCounts())
            rates = [
                max(0, counts.refused - then.refused) / passed_s,
                max(0, counts.would_refuse - then.would_refuse) / passed_s,
                max(0, counts.allowed - then.allowed) / passed_s,
            ]
        refused_s, would_s, allowed_s = rates
        rows.append(LimitRow(name, counts, refused_s, would_s, allowed_s))
    denied = _denied(now)
    if denied:
        rate = None if before is None or passed_s <= 0 else max(0, denied - _denied(before)) / passed_s
        none = None if rate is None else 0.0
        rows.append(LimitRow(DENY_LIST, LimitCounts(refused=denied), rate, none, none))
    if now.knows_callers:
        minutes = _last_minute(now.callers)
        rows = [
            replace(
                row,
                last_minute=minutes.get((row.name, False), 0),
                would_last_minute=minutes.get((row.name, True), 0),
            )
            for row in rows
        ]
    return sorted(
        rows,
        key=lambda row: (
            -(row.last_minute or 0),
            -(row.would_last_minute or 0),
            -(row.refused_s or 0),
            -(row.would_s or 0),
            -row.counts.refused,
            -row.counts.would_refuse,
        ),
    )


def _last_minute(callers: Iterable[Refused]) -> dict[tuple[str, bool], int]:
    """Return what all hosts refused in the last sixty seconds, by limit and whether that is in shadow."""
    found: dict[tuple[str, bool], int] = {}
    for each in callers:
        key = each.limit, each.in_shadow
        found[key] = found.get(key, 0) + each.now
    return found


def forgotten_for_ns(compiled: CompiledPolicy) -> int:
    """Return for how long limits may let requests through again that an emptied server forgot: a window."""
    return min(HOUR_NS, max((rule.period_ns for rule in compiled.rules), default=0))


def _denied(moment: Moment) -> int:
    """Return the requests that the deny list refused: the policy's, and the operator's stops."""
    return moment.total.requests.get(("refuse", Reason.DENY_LIST.value), 0)


class Hosts:
    """The hosts of a deployment, to be looked at again and again.

    Args:
        policy: with the limits in the application's code, as far as they are known.
        deployment: where it runs.
        table: returns what this host's table counts; None where no worker has run here.
        here: the store of this host's workers, if any.
    """

    def __init__(
        self,
        policy: Policy,
        deployment: Deployment | None,
        table: Callable[[], Snapshot] | None,
        here: EmbeddedStore | None,
    ) -> None:
        self._policy, self._deployment = policy, deployment
        self._table, self._here = table, here

    def look(self) -> Moment:
        """Return what all hosts say now; no counter is changed."""
        return replace(self._look(), rules=self._policy.compiled.rules)

    def _look(self) -> Moment:
        deployment = self._deployment
        place = None if self._here is None else self._here.place
        emptied = emptied_words(recently_emptied(place, forgotten_for_ns(self._policy.compiled)))
        trouble = [emptied] if emptied else []
        acts, states, is_away = 0, [], False
        running: Sequence[HostState] | None = None
        log: Sequence[Act] = ()
        if deployment is not None:
            log = known_acts(deployment)
            acts = len(in_force(log, deployment.key, SystemClock().now_ns()))
            try:
                states = running = deployment.hosts()
            except StoreError:
                trouble.insert(0, outage_words(self._policy, self._here))
                states = deployment.this_host()
                is_away = True
            rejected = rejections(place, running).items()
            trouble += [f"{rejection_words(host, entry)}." for host, entry in rejected]
            if deployment.server is not None and not is_away:
                moment = self._ask(deployment, log, acts)
                if moment.hosts or self._table is None:
                    return replace(moment, trouble=[*trouble, *moment.trouble])
        name = socket.gethostname()
        state = next((each for each in states if each.host == name), None)
        hour, took, compiled = 0, TakenHere(), self._policy.compiled
        if self._here is not None:
            hour = self._here.clock.now_ns() // HOUR_NS
            with watch_of(compiled, self._here) as watch:
                took = takings(self._here.table, compiled, compiled.rules, hour, watch)
        hosts = (
            []
            if self._table is None
            else [HostMoment(name, self._table(), state, hour, took.callers, took.actors)]
        )
        callers: Sequence[Refused] = ()
        if self._here is not None:
            now_ns = self._here.clock.now_ns()
            lines = refusal_lines(self._here.table, compiled, compiled.rules, None, now_ns)
            callers = sorted(in_words(compiled, [(name, line) for line in lines], log), key=_by_trouble)
        return Moment(SystemClock().now_ns(), hosts, callers, acts, trouble, is_away)

    def _ask(self, deployment: Deployment, log: Sequence[Act], acts: int) -> Moment:
        # Its client library is not there for every policy.
        from ratelimit.stores.redis.inquiries import Inquiry

        try:
            answers, reports = answers_of(deployment, Inquiry(deployment.key, [], about_all=True))
        except StoreError:
            return Moment(SystemClock().now_ns(), [], [], acts)
        hosts, digest = [], digest_of(log)
        for at, report in sorted(reports.items(), key=lambda one: one[1].host):
            answer = answers.get(at)
            now = () if answer is None else (answer.hour, answer.took, answer.actors_took)
            hosts.append(HostMoment(report.host, _counts_of(answer), state_of(report, digest), *now))
        lines = [line for answer in answers.values() for line in lines_of(answer)]
        callers = in_words(self._policy.compiled, lines, log)
        said = different_policies([each.state for each in hosts if each.state is not None])
        return Moment(
            SystemClock().now_ns(), hosts, sorted(callers, key=_by_trouble), acts, [said] if said else []
        )


@contextmanager
def hosts_of(policy: Policy, whole: Policy | None = None) -> Iterator[Hosts]:
    """Reach the hosts of a policy, to look at them.

    Args:
        policy: the policy.
        whole: the same with the limits in the application's code.

    Raises:
        InspectionFailure: no worker runs, or it is not ours to read.
    """
    whole = whole or policy
    with ExitStack() as stack:
        deployment = None
        table, here = None, None
        try:
            here = attach(policy)
            stack.callback(here.close)
            table = table_of(whole, here, stack)
        except InspectionFailure:
            if policy.compiled.remote is None:
                raise
        deployment = stack.enter_context(deployment_of(policy))
        yield Hosts(whole, deployment, table, here)


class FlightsHere:
    """The requests in flight of a store's workers, to look at again and again.

    Args:
        store: the store.
        stack: closes what was opened.
    """

    def __init__(self, store: EmbeddedStore, stack: ExitStack) -> None:
        self._store, self._stack = store, stack
        self._opened: dict[str, InFlight] = {}

    def of(self, policy: Policy) -> Iterator[tuple[str, AdaptiveSpec, InFlight]]:
        """Yield each limit that follows the load, and each value's: its name, and what is in flight."""
        for spec in loads_of(policy.compiled):
            if (flight := self._flight(spec.name)) is not None:
                yield spec.name, spec, flight
            key = self._store.hasher.key
            for _, value in known_values(self._store.place, key, spec.name) if spec.per >= 0 else ():
                if (flight := self._flight(value_name(spec.name, value))) is not None:
                    yield f"{spec.name} {short_hash(value)}", spec, flight

    def _flight(self, name: str) -> InFlight | None:
        found = self._opened.get(name)
        if found is None:
            found = SharedInFlight.existing(self._store.place, self._store.hasher.key, name)
            if found is not None:
                self._stack.callback(found.close)
                self._opened[name] = found
        return found


def table_of(policy: Policy, store: EmbeddedStore, stack: ExitStack) -> Callable[[], Snapshot]:
    """Return what reads the counters of this host's table, with those of limits that follow the load."""
    flights = FlightsHere(store, stack)

    def loads(now_ns: int) -> list[WatchedLoad]:
        found = []
        for group, spec, flight in flights.of(policy):
            classes = class_names(spec)
            last = len(classes) - 1
            kept = max(0.0, ShedPriority(last, len(classes)).kept())
            numbers = load_numbers(
                flight,
                now_ns,
                floor=spec.floor,
                is_shadow=spec.shadow or not has_target(spec, flight),
                last=last,
                kept=kept,
            )
            # The limit of all values counts what is shed.
            found.append(WatchedLoad(group, classes if group == spec.name else (), numbers))
        return found

    # Imported here: who asks for one caller waits for nothing of Prometheus' library.
    from ratelimit.telemetry import RateLimitCollector
    from ratelimit.telemetry.exposed import of_families
    from ratelimit.telemetry.watching import WatchedTable

    collector = RateLimitCollector(WatchedTable(store.table, policy.compiled.rules, store.clock, loads))
    is_remote = policy.compiled.remote is not None

    def look() -> Snapshot:
        found = of_families(collector.collect())
        if is_remote:
            found.away = store.table.stats(store.clock.now_ns())["away"]
        return found

    return look


def answers_of(
    deployment: Deployment, inquiry: Inquiry
) -> tuple[Mapping[str, HostAnswer], Mapping[str, HostReport]]:
    """Put an inquiry to all hosts; return the answers and the hosts' reports, by the hosts' names there.

    Hosts whose workers have ended are among the reports for as long as a silent host is waited for: what they
    counted is with them.

    Raises:
        StoreError: the server does not answer.
    """
    server = deployment.server
    assert server is not None
    pause, name = Event(), secrets.token_hex(8)
    reports = {at: each for at, each in server.hosts().items() if each.workers or not each.is_gone}
    waited = {at for at, each in reports.items() if each.workers and not each.is_silent}
    server.inquiries.ask(name, inquiry)
    answers: Mapping[str, HostAnswer] = {}
    for _ in range(round(PATIENCE_S / PAUSE_S)):
        answers = server.inquiries.answers(name)
        if waited <= answers.keys():
            break
        pause.wait(PAUSE_S)
    return answers, reports


def lines_of(answer: HostAnswer) -> list[tuple[str, Line]]:
    """Return the refusals in a host's answer, each with its host."""
    return [
        (
            answer.host,
            (
                *(one.limit, one.hash, one.refused, one.uncertain),
                *(one.since_ns, one.last_ns, one.in_shadow, one.now),
            ),
        )
        for one in answer.refusals
    ]


def in_words(
    compiled: CompiledPolicy, lines: Sequence[tuple[str, Line]], log: Sequence[Act]
) -> list[Refused]:
    """Return refusals with what their limits count by, in the order given.

    Args:
        compiled: the policy.
        lines: refusals, each with its host.
        log: the operator's acts, with those that ended: an act that stopped a caller is named.
    """
    rules: dict[str, LimitRule] = {rule.name: rule for rule in reversed(compiled.rules)}
    found = []
    for host, (name, who, refused, uncertain, since_ns, last_ns, in_shadow, now) in lines:
        identity, mark = denied_by(name)
        if identity:
            act = label_of(log, mark)
            counts = refused, uncertain, since_ns, last_ns
            found.append(Refused(host, DENY_LIST, identity, who, *counts, act=act, now=now))
            continue
        name, tier = limit_and_tier(name)
        rule = rules.get(name)
        per = "" if rule is None else formatting.per(rule, compiled)
        said = name if name != IN_CODE else CODE
        counts = refused, uncertain, since_ns, last_ns
        is_likely = in_shadow and rule is not None and formatting.lets_likely_pass(rule)
        found.append(
            Refused(host, said, per, who, *counts, in_shadow, tier=tier, now=now, is_likely=is_likely)
        )
    return found


def over_hosts(found: Iterable[Refused]) -> list[Refused]:
    """Return refusals with those of one caller by one limit as one, whose `host` names all.

    Those are first that are refused most now; what limits in shadow would have refused is last.
    """
    sums: dict[tuple[str, str, int, bool, str, str], list[Refused]] = {}
    for each in found:
        same = each.limit, each.per, each.hash, each.in_shadow, each.act, each.tier
        sums.setdefault(same, []).append(each)
    whole = [
        replace(
            several[0],
            host=", ".join(sorted({each.host for each in several})),
            refused=sum(each.refused for each in several),
            uncertain=sum(each.uncertain for each in several),
            since_ns=min(each.since_ns for each in several),
            last_ns=max(each.last_ns for each in several),
            now=sum(each.now for each in several),
        )
        for several in sums.values()
    ]
    return sorted(whole, key=_by_trouble)


def _by_trouble(each: Refused) -> tuple[bool, int, int]:
    return each.in_shadow, -each.now, -each.refused


def refused_of(
    policy: Policy, here: EmbeddedStore, log: Sequence[Act]
) -> tuple[list[Refused], list[HostState], list[HostState]]:
    """Return what limits refused of callers on all hosts within the last hour.

    Also which hosts do not answer, and which are taken for gone. Of this host it is all that is noted,
    of others the lines that refused most.

    Args:
        policy: with the limits in the application's code, as far as they are known.
        here: the store of this host's workers.
        log: the operator's acts, with those that ended.
    """
    compiled, own = policy.compiled, socket.gethostname()
    lines = refusal_lines(here.table, compiled, compiled.rules, None, here.clock.now_ns())
    found = [(own, line) for line in lines]
    missing: list[HostState] = []
    gone: list[HostState] = []
    if compiled.remote is not None:
        # Its client library is not there for every policy.
        from ratelimit.stores.redis.inquiries import Inquiry

        with deployment_of(policy) as there:
            try:
                answers, reports = answers_of(there, Inquiry(there.key, [], about_all=True))
            except StoreError:
                missing = [HostState(AWAY, 0, has_applied=False)]
            else:
                own_name, memory = reporting_name(here.place), memory_of(here.place)
                others = [
                    each
                    for name, each in answers.items()
                    if name != own_name and (not memory or each.memory != memory)
                ]
                found += [line for answer in others for line in lines_of(answer)]
                missing, gone = absent(answers, reports)
    return over_hosts(in_words(compiled, found, log)), missing, gone


def absent(
    answers: Mapping[str, HostAnswer], reports: Mapping[str, HostReport]
) -> tuple[list[HostState], list[HostState]]:
    """Return the hosts that did not answer, and of these apart those that ended or are taken for gone."""
    silent = [state_of(each) for at, each in reports.items() if at not in answers]
    silent.sort(key=lambda each: each.host)
    return [each for each in silent if not each.is_gone], [each for each in silent if each.is_gone]


def uncounted(gone: Sequence[HostState]) -> str:
    """Return that counts lack those of hosts that are gone; empty where none is."""
    return f"Not in these counts: {'; '.join(each.named for each in gone)}." if gone else ""


AWAY = "other hosts: the server does not answer"
CODE = "a limit in the application's code"


def _counts_of(answer: HostAnswer | None) -> Snapshot | None:
    if answer is None:
        return None
    from ratelimit.telemetry.exposed import of_text  # as above

    try:
        return of_text(answer.metrics)
    except ValueError:  # of another release, or more than is sent
        return None
