"""A policy made ready for deciding: positions and numbers instead of names and text.

Pure data. Everything a limiter needs is here, and nothing of it depends on a
clock, a store or a request. Rules, limits and identities refer to each other
by position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Literal, TypeVar
from zlib import crc32

from ratelimit.algorithms import AlgorithmName
from ratelimit.core.clusters.sighting import Columns
from ratelimit.correlation.settings import Settings
from ratelimit.environment.server import KeySpec, RemoteSpec
from ratelimit.facts.numbers import BY_PLACE, Number, NumberFact
from ratelimit.facts.sources import BY_KIND, Source
from ratelimit.features.steps import BY_NAME, FirstStep, RefusalStep, Step
from ratelimit.policy.compile import calendar
from ratelimit.policy.compile.spec import FileSpec, RuleSpec, Statuses, found
from ratelimit.policy.schema.model import (
    Event,
    ForwardedHeader,
    Missing,
    PolicyFile,
    Stance,
)
from ratelimit.usage.compile import MeteringSpec
from ratelimit.usage.pricing import PriceSpec

if TYPE_CHECKING:
    from ratelimit.policy.routing.router import Router

S = TypeVar("S")
Network = IPv4Network | IPv6Network
Bound = Literal["likely", "certain", "young"]
REQUESTS = "requests"
NEVER = "never"
"""The identity that no request has."""
OnRefusal = tuple[FirstStep, *tuple[Step, ...]]
"""What becomes of a request that the whole limit refuses; then steps for one that only conduct refuses."""


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One place to look for a value.

    `kind` names its record in `facts.sources`, `name` is the argument, empty for a source without one.
    `form` is one of `core.request.grammar.FORMS`; empty for the source's own.
    """

    kind: str
    name: str = ""
    form: str = ""

    @property
    def record(self) -> Source:
        """What is known of sources of its kind."""
        return BY_KIND[self.kind]

    @property
    def read_as(self) -> str:
        """The form of its values: as written with it, or the source's own."""
        return self.form or self.record.own_form(self.name)

    def as_source(self) -> tuple[str, ...]:
        """Return it as `identity.Fact` and the extractor take it."""
        return (self.kind, self.name, self.form) if self.form else (self.kind, self.name)


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """Bounds of a resolver's cache, and the source its keys come from."""

    ttl_ns: int
    size: int
    key: SourceSpec


@dataclass(frozen=True, slots=True)
class IdentitySpec:
    """One identity: its position, and how a request comes by its value.

    The first source that is present wins. `missing` says what happens if none
    is. The prefixes cut client addresses, also when the address stands in
    (`missing = "client"`).
    """

    index: int
    name: str
    sources: tuple[SourceSpec, ...]
    missing: Missing
    v4_prefix: int = 32
    v6_prefix: int = 64
    cache: CacheSpec | None = None

    @property
    def is_address(self) -> bool:
        """True if the value is an address, as far as a request has one."""
        return bool(self.sources) and self.sources[0].record.is_address


@dataclass(frozen=True, slots=True)
class CalendarSpec:
    """Windows that follow the calendar of a zone."""

    unit: calendar.Unit
    zone: str

    def starts(self, after_ns: int, count: int) -> list[int]:
        """Return `count` ascending window starts, the first being the window `after_ns` is in."""
        return calendar.starts(self.unit, self.zone, after_ns, count)


@dataclass(frozen=True, slots=True)
class LimitRule:
    """One counter of one limit: what the core makes a rule of.

    A limit has a rule for each rate it is written with, and again for each tier.
    `salt_parts` is what makes its counters its own. Amounts, tiers and matches are left out of it,
    so counters carry over when those change. The period, the algorithm and the identities are in
    it.
    """

    index: int
    limit: int
    name: str
    """The limit's name; from the second rate of a limit on with `#2`, `#3`."""
    label: bytes
    """The name as a quoted string of structured fields."""
    algorithm: AlgorithmName
    quota: int
    period_ns: int
    """0 for concurrency and a lifetime; for calendar windows the nominal length."""
    burst: int
    """Equals `quota` but for token buckets."""
    calendar: CalendarSpec | None
    unit: str
    unit_index: int
    """Position in `CompiledPolicy.units`; 0 is requests."""
    estimate: int
    """Units taken on arrival: a limit's `cost`; by default 1 of requests, 0 of other units."""
    on: Event
    per: tuple[int, ...]
    member: int
    """The identity a distinct rule counts, else -1."""
    shadow: bool
    enforced_ppm: int
    on_store_error: Stance
    lease_ns: int
    """Concurrency: silence of a worker after which its slots lapse; 0 otherwise."""
    tier_identity: int
    tier: str | None
    salt_parts: tuple[bytes, ...]
    verdict: Bound | None = None
    """Of a limit per cluster: the least verdict of those it binds; `young`: young clusters alone."""
    is_twin: bool = False
    """True if it says what a limit that binds certain members would say of likely ones; never enforced."""
    actor_at: int = -1
    """Which of `per` is the actor; -1 for none."""
    metering: MeteringSpec | None = None
    """What is to be done around the answer; None if its estimate is a number and the application settles."""
    on_refusal: OnRefusal = ("refuse",)
    """The treatment of a request that the whole limit has no room for. Then what becomes of one that only
    conduct leaves no room for: after the first strike, the second, …"""
    debt: int | None = None
    """Most units that settling may charge beyond its burst; None: as much again."""
    is_lowered: bool = False
    """Whether it is what conduct left of a limit that stands beside it, whole."""
    is_exposure: bool = False
    """Whether it counts what requests in flight may use of the limit before it; never told by itself."""
    specs: tuple[RuleSpec, ...] = ()
    """What each feature read of its limit."""

    def spec(self, kind: type[S]) -> S | None:
        """Return what a feature read of its limit; None where it uses no such feature."""
        return found(self.specs, kind)

    @property
    def statuses(self) -> Statuses:
        """The ranges of statuses that it is charged for; empty: all of them."""
        return next((spec.statuses for spec in self.specs if spec.statuses), ())

    @property
    def mark(self) -> int:
        """What its refusals are noted with, as all tiers of a limit share its counters; 0 without a tier."""
        return 0 if self.tier is None else crc32(self.tier.encode()) or 1

    @property
    def varies(self) -> bool:
        """Whether plans may have other numbers for it."""
        return any(spec.varies for spec in self.specs)

    @property
    def acts(self) -> str:
        """In metrics, how a request goes on that had no room in it; empty where none does."""
        words = (spec.acts for spec in self.specs if spec.acts)
        return next(words, self.first if self.following.counted else "")

    @property
    def most_debt(self) -> int:
        """Most units that it may be charged beyond its burst."""
        return self.burst if self.debt is None else self.debt

    @property
    def first(self) -> FirstStep:
        """The treatment of a request that the whole limit has no room for."""
        return self.on_refusal[0]

    @property
    def following(self) -> RefusalStep:
        """The record of that step."""
        return BY_NAME[self.first]

    @property
    def asks(self) -> bool:
        """Whether the application may be asked to let a request pass, at any of its steps."""
        return not self.shadow and any(BY_NAME[step].asks for step in self.on_refusal)

    @property
    def is_clustered(self) -> bool:
        """True if it counts by cluster."""
        return self.actor_at >= 0

    @property
    def counter_name(self) -> str:
        """The name of its counters."""
        if self.is_exposure:
            return exposure_counter(self.name)
        return COUNTER_LOWERED if self.is_lowered else twin_counter(self.name) if self.is_twin else self.name

    @property
    def grants(self) -> bool:
        """Whether it takes all the output tokens on arrival that a request may use."""
        if self.metering is None or not self.metering.exposure or self.metering.unit != "output_tokens":
            return False
        return self.is_exposure or self.metering.exposure == 1

    @property
    def is_beside(self) -> bool:
        """Whether it stands beside a limit that is told in its place."""
        return self.is_twin or self.is_exposure

    @property
    def is_enforced(self) -> bool:
        """True if it refuses, whatever the key."""
        return not self.shadow and self.enforced_ppm == 1_000_000 and not self.following.admits


COUNTER_LOWERED = "\x1flowered"
"""What the counters are called of all that conduct left of limits; not exported."""


def exposure_counter(name: str) -> str:
    """Return the name of the counter for what requests in flight of a limit may use."""
    return f"\x1fexposure {name}"


def twin_counter(name: str) -> str:
    """Return the name of the counter for the likely clusters of a limit."""
    return f"\x1flikely {name}"


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """One limit of the file and the rules made of it."""

    index: int
    name: str
    match: tuple[str, ...]
    per: tuple[int, ...]
    unit: str
    on: Event
    shadow: bool
    enforced_ppm: int
    on_store_error: Stance
    rules: tuple[int, ...]
    """For every caller without a tier of its own."""
    tier_identity: int
    """The identity that names the tier, else -1."""
    tiers: Mapping[str, tuple[int, ...]]
    """Rules by tier; empty for a tier without limit."""
    specs: tuple[RuleSpec, ...] = ()
    """What each feature read of it."""

    @property
    def covers(self) -> bool:
        """Whether requests that it has room for are not left over for others."""
        return any(spec.covers for spec in self.specs)

    @property
    def is_left_over(self) -> bool:
        """Whether it binds only what no such limit covers."""
        return any(spec.is_left_over for spec in self.specs)


@dataclass(frozen=True, slots=True)
class AccessList:
    """The entries of the allow or the deny list.

    `networks` are compared with the whole client address (before any prefix cut),
    `values` are (identity position, value) pairs, to be hashed when loaded.
    """

    networks: tuple[Network, ...]
    values: tuple[tuple[int, str], ...] = field(repr=False)

    def __bool__(self) -> bool:
        return bool(self.networks or self.values)


@dataclass(frozen=True, slots=True)
class TrustSpec:
    """The peers that may name the client, and the header for it."""

    networks: tuple[Network, ...]
    unix: bool
    header: ForwardedHeader
    translation: tuple[IPv6Network, ...] = ()
    """Further prefixes that carry IPv4 addresses."""


@dataclass(frozen=True, slots=True)
class OrganisationSpec:
    """A declared organisation; values are to be hashed when a policy is bound."""

    name: str
    payments: tuple[str, ...] = field(repr=False)
    networks: tuple[Network, ...]
    accounts: tuple[tuple[str, ...], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class KnownSpec:
    """The operator's knowledge; principals are as many values as identities make one."""

    exempt: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    together: tuple[tuple[tuple[str, ...], ...], ...] = field(default=(), repr=False)
    apart: tuple[tuple[tuple[str, ...], ...], ...] = field(default=(), repr=False)
    organisations: tuple[OrganisationSpec, ...] = ()
    infrastructure: tuple[Network, ...] = ()
    confirm: tuple[tuple[str, ...], ...] = ()
    clear: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules_principals or self.organisations or self.infrastructure)

    @property
    def rules_principals(self) -> bool:
        """True if anything is said of principals by name."""
        return bool(self.exempt or self.together or self.apart or self.confirm or self.clear)

    @property
    def looks_at_addresses(self) -> bool:
        """True if it matters which declared network a request comes from."""
        return bool(self.infrastructure) or any(each.networks for each in self.organisations)


@dataclass(frozen=True, slots=True)
class CorrelationSpec:
    """The positions of identities that the correlator looks at, -1 for none."""

    principal: tuple[int, ...]
    """The identities that make a principal together."""
    kinds: tuple[int, ...]
    """Address, network, payment, client, three more, block."""
    settings: Settings
    """The numbers, by the names of `correlation.Settings`."""
    snapshot: str | None
    known: KnownSpec | None = None
    origin: int = -1
    """The place where rows say from which declared network a request comes; -1: nowhere."""
    workers_correlate: bool = True
    """Whether, among hosts that share a server, workers do; else a process of its own."""
    costly: tuple[int, ...] = ()
    """The unit that says how long an answer was."""
    created: int = -1
    """The place where rows say when the account was created; -1: nowhere."""
    public: tuple[tuple[Network, ...], ...] = ()
    """Ranges of each public list: nobody is at home there, and all of one is one network."""
    tells_young: bool = False
    """Whether a limit binds young clusters: those for certain members then do not."""

    @property
    def positions(self) -> set[int]:
        """All identities it looks at."""
        return {*self.principal, *self.kinds, self.origin, self.created} - {-1}

    @property
    def groups(self) -> tuple[int, ...]:
        """The identities that stand for a group of accounts: who pays, and further evidence, as a sponsor."""
        payment, _, *extra = self.kinds[2:7]
        return tuple(position for position in (payment, *extra) if position >= 0)

    def columns(self) -> Columns:
        """Return where rows have what the correlator looks at; of accounts that the application knows."""
        found = Columns(self.principal, self.kinds, self.created, self.costly, named=True)
        found.tells_young = self.tells_young
        return found


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """Everything a limiter needs to know of a policy."""

    name: str
    file: PolicyFile
    """As written; `store` and `headers` are read from it unchanged."""
    identities: tuple[IdentitySpec, ...]
    units: tuple[str, ...]
    """`units[0]` is requests."""
    limits: tuple[LimitSpec, ...]
    rules: tuple[LimitRule, ...]
    router: Router
    allow: AccessList
    deny: AccessList
    trust: TrustSpec
    hash_key: KeySpec | None
    correlation: CorrelationSpec | None
    """The settings of correlation; None without any."""
    remote: RemoteSpec | None
    """The server that counts; None for an embedded store."""
    prices: Mapping[str, PriceSpec] = field(default_factory=dict)
    """What models cost, by name."""
    specs: tuple[FileSpec, ...] = ()
    """What each feature read of the file."""

    def spec(self, kind: type[S]) -> S | None:
        """Return what a feature read of the file; None where the policy uses no such feature."""
        return found(self.specs, kind)

    @property
    def looks_at_account(self) -> bool:
        """Whether a feature looks requests up by their account, whatever limits apply to them."""
        return any(spec.looks_at_account for spec in self.specs) or any(
            spec.looks_at_account for rule in self.rules for spec in rule.specs
        )

    @property
    def never(self) -> int:
        """Where rows have nothing, whatever the request; -1: no limit asks for that."""
        return self.identity_index(NEVER)

    def place_of(self, fact: NumberFact) -> int:
        """Return where rows have a fact of requests; -1: nowhere."""
        return self.identity_index(fact.place)

    @property
    def facts(self) -> Mapping[int, NumberFact]:
        """Where rows have facts that are numbers, and which."""
        return {spec.index: BY_PLACE[spec.name] for spec in self.identities if spec.name in BY_PLACE}

    @property
    def numbers(self) -> Mapping[int, Number]:
        """Where rows have numbers: the facts, and a customer's own."""
        return {**self.facts, **{at: number for spec in self.specs for at, number in spec.numbers.items()}}

    @property
    def cluster(self) -> int:
        """The position of the identity `cluster`, of certain members: always there, and the last."""
        return len(self.identities) - 1

    @property
    def likely(self) -> int:
        """The position of a likely member's cluster: the one before."""
        return len(self.identities) - 2

    @property
    def actor(self) -> int:
        """The position of a member's cluster, whether likely or certain: the one before that."""
        return len(self.identities) - 3

    @property
    def young(self) -> int:
        """The position of one of a young cluster's budgets: the one before that."""
        return len(self.identities) - 4

    def said_by(self, rule: LimitRule) -> tuple[int, ...]:
        """Return the identities that an operator can say a rule's number for; the first go before others.

        They are those that it counts by. A limit per account of what no allowance covers may have a number
        for each account of a payer or of a sponsor, too.
        """
        spec = self.correlation
        is_left_over = any(each.is_left_over for each in rule.specs)
        if spec is None or not is_left_over or rule.per != spec.principal:
            return rule.per
        return (*rule.per, *(position for position in spec.groups if position not in rule.per))

    def is_actor(self, position: int) -> bool:
        """Return whether a cluster stands at a position."""
        return position >= self.young

    def identity_index(self, name: str) -> int:
        """Return an identity's position, or -1."""
        return next((spec.index for spec in self.identities if spec.name == name), -1)
