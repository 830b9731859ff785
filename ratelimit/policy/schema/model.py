"""The policy file as types: one frozen struct for each table of the file.

These types are the only place where the file's keys, their defaults and their
meaning are written down. The JSON Schema, the tables in `docs/policy.md` and
the shape checks are all derived from them. What one field says about another
is not said here but in `checks` and `expansion`.

Keys and tables that one feature reads are written down in its folder (`schema`), and added here.

In one file, since a reader of the policy file finds all of its tables here, in its order.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast, get_args

from msgspec import Meta, field

from ratelimit.algorithms import AlgorithmName
from ratelimit.core.request.scanner import MOST_PREFIXES
from ratelimit.facts.numbers import NumberFact
from ratelimit.facts.sources import reference_words
from ratelimit.features.steps import LENIENT, Step
from ratelimit.features.table import Table, with_facts, with_features
from ratelimit.policy.schema.events import TO_LOG, Events, events_of
from ratelimit.policy.schema.headers import DEFAULT as STANDARD_HEADERS
from ratelimit.policy.schema.headers import HeaderName, Headers, headers_of
from ratelimit.policy.schema.knowledge import Known
from ratelimit.policy.schema.storing import Store
from ratelimit.policy.schema.surroundings import CaseWord, Routing, Spelling, Trust
from ratelimit.policy.schema.surroundings import ForwardedHeader as ForwardedHeader
from ratelimit.policy.schema.tuning import Tuning
from ratelimit.usage.pricing import ModelPrice
from ratelimit.usage.tables import UsageTable

Missing = Literal["client", "shared", "skip", "refuse"]
Mode = Literal["enforce", "shadow"]
Certainty = Literal["certain", "likely", "young"]
Stance = Literal["local", "open", "closed"]
Event = Literal["request", "connect", "message"]
UsageShape = Literal["auto", "openai", "responses", "anthropic", "gemini", "bedrock"]
_LENIENT = "; ".join(f"`{step.name}`: {step.says}" for step in LENIENT)
_FORMS = ", ".join(f"`{form}`" for form in get_args(UsageShape))
WrittenStep = Step | Literal["cut"]
"""`cut` stands first alone: it refuses, and ends streams."""
Count = Annotated[int, Meta(ge=1)]
Amount = Annotated[float, Meta(gt=0, le=10**15)]
"""A whole number of units, or an amount of dollars: finite, and no more than any window counts."""
Cost = Annotated[int, Meta(ge=0)]
Budgets = Annotated[float, Meta(ge=1, le=1000)]
Grant = Annotated[str, Meta(pattern="^grant(:[A-Za-z_.]{1,64})?$")]
Share = Annotated[float, Meta(ge=0, le=1)]
_CLUSTERS: dict[str, Certainty] = {f"cluster:{each}": each for each in get_args(Certainty)}
Longest = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Identity(Table, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """One thing a request is known by. Only a keyed hash of its value is ever kept."""

    from_: Annotated[
        str | list[str],
        Meta(
            description=f"The source of the value: {reference_words()}. "
            "With the form the application reads: `path:id as int`, `as float`, `as uuid`, `as caseless`. "
            "In a list, the first that is present.",
            examples=[
                "header:x-api-key",
                ["header:x-ja4", "header:user-agent"],
                "path:id as int",
                "client/24/48",
            ],
        ),
    ]
    missing: Annotated[
        Missing | None,
        Meta(
            description="Without the value the client's address stands in, all such requests share one "
            "counter, the limits do not apply, or the request is refused. Default: `client`; "
            "`refuse` where the value is the client's address itself."
        ),
    ] = None
    cache: Annotated[
        str | None,
        Meta(
            description="For `resolver`: the source by which a worker keeps its answers, and for how long. "
            "Without a time, for a minute. Default: no answer is kept.",
            examples=["header:authorization for 5m"],
        ),
    ] = None


class Tier(Table, frozen=True, forbid_unknown_fields=True):
    """A limit's numbers for the holders of one plan."""

    rate: Annotated[str | None, Meta(description="Replaces the limit's `rate`.")] = None
    burst: Annotated[Amount | None, Meta(description="Replaces the limit's `burst`.")] = None
    concurrent: Annotated[Count | None, Meta(description="Replaces the limit's `concurrent`.")] = None


Plan = Tier | str
"""A plan's numbers, its rate alone, or `unlimited`."""
UNLIMITED = "unlimited"
_DISTINCT = "distinct:"
COSTLY = ":costly"
_EVENTS: dict[str, Event] = {"handshakes": "connect", "messages": "message"}


@with_features("LimitKeys")
class Limit(
    Table,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "except_": "except",
        "counted": "unit",
        "counting": "algorithm",
        "by_plan": "tiers",
        "steps": "on_refusal",
        "bounds": "exposure",
    },
):
    """One named rule: which requests, counted by which identity, and how many."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="Unique; printable ASCII. Appears in headers, metrics and explanations.",
            examples=["requests"],
        ),
    ]
    per: Annotated[
        str | list[str],
        Meta(
            description="The identity, or identities together, that have a counter of their own. "
            "`[]`: one counter for all requests. `cluster` binds members that are certain, "
            "`cluster:likely` likely ones, too. `cluster:young` is each budget of "
            "[a young actor](correlation.md#young-actors), which other limits then leave alone.",
            examples=["account", ["account", "ip"], "cluster:likely"],
        ),
    ]
    match: Annotated[
        str | list[str],
        Meta(
            description="Requests it applies to: `METHOD|METHOD /path/{parameter}/*`; any of a list. "
            '`[]`: routes that ask for it by name, as `limits("uploads")`.',
            examples=["POST /v1/*"],
        ),
    ] = "* /*"
    except_: Annotated[
        str | list[str],
        Meta(
            description="Requests it does not apply to; written like `match`.",
            examples=["GET /health"],
        ),
    ] = []
    model: Annotated[
        str | list[str],
        Meta(
            description="Requests it applies to, by the model that their JSON body names; `*` stands for "
            "anything. Default: any.",
            examples=["claude-opus-*"],
        ),
    ] = []
    rate: Annotated[
        str | None,
        Meta(
            description="Units in a period: `100/minute`, `10 per 5 minutes`, `1/second; 100/hour`. "
            "Dollars may have a fraction: `0.50/day`.",
            examples=["50/minute"],
        ),
    ] = None
    burst: Annotated[
        Amount | None,
        Meta(
            description="Token bucket: most units at one instant. Fixed window: most units of one window "
            "with what was left of the one before, up to twice the rate's. Default: the rate's amount."
        ),
    ] = None
    counting: Annotated[
        str | None,
        Meta(
            extra_json_schema={
                "anyOf": [{"enum": [*get_args(AlgorithmName)]}, {"pattern": "^calendar(:.+)?$"}]
            },
            description="The algorithm that counts units. `calendar`: fixed windows that follow the "
            "calendar, true months and midnights of UTC or of a time zone: `calendar:Europe/Berlin`. "
            "Default: `token-bucket`.",
        ),
    ] = None
    counted: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=80,
            description="The unit that is counted. `requests` are HTTP requests and WebSocket handshakes, "
            "`handshakes` these alone, `messages` those that a WebSocket client sends. Other units are "
            "settled afterwards. `distinct:NAME` counts different values of an identity: with "
            '`rate = "40/day"`, at most 40 of them a day.',
            examples=["output_tokens", "usd", "distinct:network"],
        ),
    ] = "requests"
    cost: Annotated[
        Cost | str | None,
        Meta(
            description="The units that one request takes. Default: 1 of `requests`, and 0 of other units. "
            "Those are taken on arrival, and corrected once the real cost is known. They may be a "
            "number, `declared`, `learned`, `header:NAME` or `state:NAME`.",
            examples=[5, "declared", "learned", "state:expected_tokens"],
        ),
    ] = None
    usage: Annotated[
        str | None,
        Meta(
            description="The form of the answers, from which the usage is read as they pass: "
            f"{_FORMS}, or the name of a table of `usage`. "
            "Default: answers are not read, and the application settles.",
        ),
    ] = None
    debt: Annotated[
        Cost | None,
        Meta(
            description="Most units that settling may charge beyond the limit; use beyond that is "
            "forgiven. Default: as much again as its burst, or its rate's amount; all with `exposure`.",
            examples=[20000],
        ),
    ] = None
    bounds: Annotated[
        Budgets | Grant | None,
        Meta(
            description="With `usage` or a cost by words, of output: how many budgets what was used and "
            "what requests in flight may use come to, at most. Default: 4. `grant`: with `usage`, a "
            "request's own maximum is lowered in its body to what is left, and it costs that. `grant:FIELD` "
            "says which maximum is inserted where a body has none.",
            examples=[8, "grant", "grant:max_tokens"],
        ),
    ] = None
    most: Annotated[
        Longest | None,
        Meta(
            description="With `exposure`: the most output tokens of any answer. A request counts as that in "
            "flight if it declares no maximum, or a higher one. Default: not known.",
            examples=[8192],
        ),
    ] = None
    concurrent: Annotated[
        Count | None, Meta(description="Instead of `rate`: most requests in flight at once.")
    ] = None
    steps: Annotated[
        list[WrittenStep],
        Meta(
            min_length=1,
            description="The first entry is the step for a request that the whole limit has no room for: "
            "`refuse`; `cut`: with `usage` also a stream that uses up the budget ends, with an "
            f"error event; {_LENIENT}. With `adaptive` further entries are what becomes of a request that "
            "only the lowered limit refuses, after the first strike, the second, and so on.",
            examples=[["cut"], ["degrade"], ["refuse", "observe", "wait", "degrade", "challenge", "refuse"]],
        ),
    ] = field(default_factory=lambda: ["refuse"])
    mode: Annotated[
        Mode | Share,
        Meta(
            description="`shadow` counts and reports, and never refuses. A share, as 0.1: it is enforced for "
            "so many of its keys, always the same ones; the others are as in `shadow`."
        ),
    ] = "enforce"
    on_store_error: Annotated[
        Stance,
        Meta(
            description="While the store fails: each host enforces its share (half of the limit beside "
            "other hosts), the limit does not apply, or it refuses."
        ),
    ] = "local"
    by_plan: Annotated[
        dict[str, dict[str, Plan]],
        Meta(
            description="The identity that holds the plan, and the numbers for each of its plans: a rate, "
            "`unlimited`, or a table. Other requests get the limit's own.",
            examples=[{"plan": {"pro": "600/minute", "team": {"rate": "6000/minute"}, "staff": "unlimited"}}],
        ),
    ] = {}

    @property
    def on(self) -> Event:
        """What is counted, or charged for other units."""
        return _EVENTS.get(self.counted, "request")

    @property
    def calendar(self) -> bool:
        """Whether fixed windows follow the calendar."""
        return self.counting is not None and self.counting.partition(":")[0] == "calendar"

    @property
    def algorithm(self) -> AlgorithmName | None:
        """The algorithm that counts units."""
        if self.calendar:
            return "fixed-window"
        return cast(AlgorithmName, self.counting) if self.counting in get_args(AlgorithmName) else None

    @property
    def distinct(self) -> str | None:
        """The identity whose different values are counted."""
        return self.counted.removeprefix(_DISTINCT) if self.counted.startswith(_DISTINCT) else None

    @property
    def unit(self) -> str:
        """The unit that is counted, as headers and metrics name it."""
        return self.counted if self.distinct is None and self.counted not in _EVENTS else "requests"

    @property
    def estimate(self) -> int | str | None:
        """The units that are taken on arrival and corrected afterwards."""
        return None if self.unit == "requests" and isinstance(self.cost, int) else self.cost

    @property
    def exposure(self) -> float | None:
        """How many budgets may be used and in flight, if the policy gives a number."""
        return None if isinstance(self.bounds, str) else self.bounds

    @property
    def grant(self) -> str | None:
        """The word for lowering a request's own maximum."""
        return self.bounds if isinstance(self.bounds, str) else None

    @property
    def zone(self) -> str | None:
        """The time zone of a calendar limit, if the policy names one."""
        return self.counting.partition(":")[2] or None if self.calendar and self.counting else None

    @property
    def cuts(self) -> bool:
        """Whether a stream that uses up the budget ends."""
        return self.steps[:1] == ["cut"]

    @property
    def on_refusal(self) -> list[Step]:
        """The steps; a limit that cuts streams refuses requests."""
        return [step if step != "cut" else "refuse" for step in self.steps]

    @property
    def enforce(self) -> float:
        """The share of keys that it is enforced for, where it is not in shadow."""
        return 1.0 if isinstance(self.mode, str) else self.mode

    @property
    def names(self) -> list[str]:
        """The identities that have a counter of their own, without what is said of a cluster's members."""
        listed = [self.per] if isinstance(self.per, str) else self.per
        return ["cluster" if name in _CLUSTERS else name for name in listed]

    @property
    def verdict(self) -> Certainty | None:
        """Of a limit per cluster, the members that it binds, if the policy says so."""
        listed = [self.per] if isinstance(self.per, str) else self.per
        return next((_CLUSTERS[name] for name in listed if name in _CLUSTERS), None)

    @property
    def tier(self) -> str | None:
        """The identity that holds the plan."""
        return next(iter(self.by_plan), None)

    @property
    def tiers(self) -> dict[str, Tier | None]:
        """The numbers of each plan; None for one that the limit does not apply to."""
        plans = next(iter(self.by_plan.values()), {})
        return {
            name: None if plan == UNLIMITED else Tier(rate=plan) if isinstance(plan, str) else plan
            for name, plan in plans.items()
        }


class Hashing(Table, frozen=True, forbid_unknown_fields=True):
    """The secret that identities are hashed with."""

    key: Annotated[
        str | None,
        Meta(
            description="`env:VARIABLE`, `file:PATH`, or 32 hexadecimal digits. "
            "Default: generated, and shared by the workers through the store.",
            examples=["env:RATELIMIT_KEY"],
        ),
    ] = None


@with_facts
class Correlation(Table, frozen=True, forbid_unknown_fields=True, rename={"families": "extra"}):
    """The evidence by which accounts are taken for one actor."""

    principal: Annotated[
        str | list[str] | None,
        Meta(
            description="The identity that budgets belong to, or several that make it together. "
            "Without it there is no correlation.",
            examples=["account", ["ip", "client"]],
        ),
    ] = None
    network: Annotated[
        str | list[str],
        Meta(
            description="Identities of the client's address, the narrowest first: the address, "
            "its network, and the block of one provider.",
            examples=[["ip", "network", "block"]],
        ),
    ] = []
    payment: Annotated[
        str | None, Meta(description="The identity of the payment method.", examples=["payment"])
    ] = None
    client: Annotated[
        str | None, Meta(description="The identity of the client program.", examples=["client"])
    ] = None
    families: Annotated[
        list[str],
        Meta(
            max_length=3,
            description="Up to three further identities that few should share: a device token, an e-mail "
            "domain. `NAME:costly` costs an attacker as much as a payment method; the others are only shown.",
            examples=[["email_domain", "device:costly"]],
        ),
    ] = []
    public: Annotated[
        list[str],
        Meta(
            max_length=7,
            description="Lists of ranges that anybody can rent or pass through: `cloud`, `relay`, `runner` "
            "(they ship, with a date), or `file:PATH` of your own. Nobody is at home there, and all of one "
            "list is one network. Where several have an address, the first counts.",
            examples=[["relay", "runner", "cloud"], ["file:clouds.txt"]],
        ),
    ] = []
    snapshot: Annotated[
        str | None,
        Meta(
            description="The file that keeps the correlator's memory over a restart; empty: no "
            "file. Default: beside the "
            "store's. With Redis it is kept there, and the file is read once, as a beginning."
        ),
    ] = None
    known: Annotated[Known, Meta(description="The operator's knowledge; it overrides inference.")] = Known()

    def source_of(self, fact: NumberFact) -> str | None:
        """Return the source of a fact of requests, as it is written; None without one."""
        source: str | None = getattr(self, fact.key)
        return source

    @property
    def extra(self) -> list[str]:
        """Further identities that few should share."""
        return [name.removesuffix(COSTLY) for name in self.families]

    @property
    def costly(self) -> list[str]:
        """Those of `extra` that cost an attacker as much as a payment method."""
        return [name.removesuffix(COSTLY) for name in self.families if name.endswith(COSTLY)]


@with_features("FileKeys")
class PolicyFile(
    Table,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"fields": "headers", "destinations": "events", "kinds": "spellings"},
):
    """The whole file."""

    version: Annotated[Literal[1], Meta(description="Version of this format: 1.")]
    strict: Annotated[
        bool,
        Meta(
            description="An application whose routes and limits do not fit each other does not start. "
            "Without this key the log says so: a limit that binds no route, a route without its limit."
        ),
    ] = False
    limit: Annotated[
        list[Limit], Meta(description="The limits; every one that matches a request applies.")
    ] = []
    identities: Annotated[
        dict[str, Identity],
        Meta(
            description='Identities of requests, by name. `ip = { from = "client" }` is there from the start.'
        ),
    ] = {}
    proxies: Annotated[
        list[str],
        Meta(
            description="Addresses and ranges of your own proxies; `unix` for a peer without an address. "
            "`X-Forwarded-For` is read from the right, past these only; with the word `forwarded`, "
            "`Forwarded` in its place. `nat64:PREFIX`: one of up to "
            f"{MOST_PREFIXES} prefixes of your own NAT64 or SIIT translators. A client behind it counts as "
            "its IPv4 address.",
            examples=[["10.0.0.0/8", "unix", "nat64:2001:db8:64::/96"]],
        ),
    ] = []
    allow: Annotated[
        dict[str, list[str]],
        Meta(
            description="Never limited: for each identity a list of values, "
            "or of ranges if it comes from `client`.",
            examples=[{"ip": ["192.0.2.0/24"]}],
        ),
    ] = {}
    deny: Annotated[
        dict[str, list[str]],
        Meta(description="Always refused; written like `allow`, which wins over it."),
    ] = {}
    root_paths: Annotated[
        list[str],
        Meta(
            max_length=8,
            description="Prefixes that the application or a proxy cuts from paths, as Django's "
            "`FORCE_SCRIPT_NAME`. Templates match with them and without.",
            examples=[["/api"]],
        ),
    ] = []
    kinds: Annotated[
        list[Spelling | CaseWord] | None,
        Meta(
            description="Spellings of a path that the application serves as well. `case`: `/V1/Chat` is "
            "`/v1/chat` to it; `exact-case`: it is not. Without these two the limits of both readings "
            "apply. Without any other, the middleware assumes none, and `ratelimit serve` and traces assume "
            "all; `[]`: there is none.",
            examples=[["case", "extension"]],
        ),
    ] = None
    store: Annotated[Store, Meta(description="Storage of counters.")] = Store()
    prices: Annotated[
        dict[str, ModelPrice],
        Meta(
            description="Prices of models, by name, for limits in the unit `usd`. A model without one costs "
            "as "
            'the dearest of the list, or what `"*"` has. `"*" = "refuse"` refuses it.',
            examples=[{"small": {"input": 1, "output": 5}, "*": "refuse"}],
        ),
    ] = {}
    usage: Annotated[
        dict[str, UsageTable],
        Meta(description="Forms of answers of your own, by name, for `usage` of a limit."),
    ] = {}
    fields: Annotated[
        list[HeaderName],
        Meta(
            description="Fields of responses. `ratelimit`: `RateLimit` and `RateLimit-Policy`. "
            "`x-ratelimit`: the older `X-RateLimit-Limit`, `-Remaining` and `-Reset`. `retry-after`: with a "
            "refusal. `abnormal-usage`: a refusal by a limit per actor has the type "
            "`abnormal-usage-detected` in place of `quota-exceeded`: a client sees that it was recognised.",
            examples=[["ratelimit", "x-ratelimit", "retry-after"]],
        ),
    ] = field(default_factory=lambda: list(STANDARD_HEADERS))
    hashing: Annotated[Hashing, Meta(description="The secret of the hashes.")] = Hashing()
    correlation: Annotated[Correlation, Meta(description="The evidence for actors.")] = Correlation()
    destinations: Annotated[
        list[str],
        Meta(
            description="Destinations of [events](events.md): `log`, a line each to the logger "
            "`ratelimit.events`; `stderr` or `file:PATH`, a JSON object each; an `https://…` that each is "
            "posted to, or `env:VARIABLE` that holds it.",
            examples=[["file:/var/log/ratelimit/events.ndjson", "env:RATELIMIT_WEBHOOK"]],
        ),
    ] = field(default_factory=lambda: [TO_LOG])

    tuning: Annotated[
        Tuning,
        Meta(
            description="A file beside the policy with [numbers](#tuning) that size memory and algorithms. "
            "Default: those that serve all deployments.",
            examples=["tuning.toml"],
        ),
    ] = Tuning()

    @property
    def trust(self) -> Trust:
        """The proxies that are believed."""
        return Trust(self.proxies)

    @property
    def routing(self) -> Routing:
        """The application's way to find routes."""
        return Routing(self.root_paths, self.kinds)

    @property
    def headers(self) -> Headers:
        """The fields of responses."""
        return headers_of(self.fields)

    @property
    def events(self) -> Events:
        """The destinations of events."""
        return events_of(self.destinations)
