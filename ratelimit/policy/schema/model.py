"""The policy file as types: one frozen struct for each table of the file.

These types are the only place where the file's keys, their defaults and their
meaning are written down. The JSON Schema, the tables in `docs/policy.md` and
the shape checks are all derived from them. What one field says about another
is not said here but in `checks` and `expansion`.

Keys and tables that one feature reads are written down in its folder (`schema`), and added here.

In one file, since a reader of the policy file finds all of its tables here, in its order.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta, field

from ratelimit.algorithms import AlgorithmName
from ratelimit.correlation.settings import Settings
from ratelimit.features.table import Table, with_features
from ratelimit.policy.schema.events import Events
from ratelimit.policy.schema.headers import Headers
from ratelimit.policy.schema.knowledge import Known
from ratelimit.policy.schema.storing import Store
from ratelimit.policy.schema.surroundings import ForwardedHeader as ForwardedHeader
from ratelimit.policy.schema.surroundings import Routing, Trust
from ratelimit.usage.pricing import Price
from ratelimit.usage.tables import UsageTable

Missing = Literal["client", "shared", "skip", "refuse"]
Mode = Literal["enforce", "shadow"]
Certainty = Literal["certain", "likely", "young"]
Stance = Literal["local", "open", "closed"]
Event = Literal["request", "connect", "message"]
UsageShape = Literal["auto", "openai", "responses", "anthropic", "gemini", "bedrock"]
_FORMS = ", ".join(f"`{form}`" for form in get_args(UsageShape))
FirstStep = Literal["refuse", "degrade", "challenge"]
"""What becomes of a request that the whole limit has no room for."""
Step = Literal["observe", "wait", "degrade", "challenge", "refuse"]
"""What becomes of a request that only bad conduct leaves no room for, from the mildest."""
WrittenStep = Step | Literal["cut"]
"""`cut` stands first alone: it refuses, and ends streams."""
UnknownModel = Literal["refuse", "dearest"]
Count = Annotated[int, Meta(ge=1)]
Cost = Annotated[int, Meta(ge=0)]
Budgets = Annotated[float, Meta(ge=1, le=1000)]
Grant = Annotated[str, Meta(pattern="^grant(:[A-Za-z_.]{1,64})?$")]
Share = Annotated[float, Meta(ge=0, le=1)]
_CLUSTERS: dict[str, Certainty] = {f"cluster:{each}": each for each in get_args(Certainty)}
Longest = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Prefix(Table, frozen=True, forbid_unknown_fields=True):
    """The part of a client address that counts as one identity."""

    v4: Annotated[int, Meta(ge=0, le=32, description="Leading bits of an IPv4 address that count.")] = 32
    v6: Annotated[int, Meta(ge=0, le=128, description="Leading bits of an IPv6 address that count.")] = 64


class Cache(Table, frozen=True, forbid_unknown_fields=True):
    """The time and the number of a resolver's answers that each worker keeps."""

    ttl: Annotated[
        str | int, Meta(description="The time for which an answer is used: seconds, or `90s`, `5m`, `1h`.")
    ] = "60s"
    size: Annotated[int, Meta(ge=0, le=1_000_000, description="Most answers kept; the oldest go first.")] = (
        10_000
    )


class Identity(Table, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """One thing a request is known by. Only a keyed hash of its value is ever kept."""

    from_: Annotated[
        str | list[str],
        Meta(
            description="The source of the value: `client` (the client's address), `header:NAME`, "
            "`cookie:NAME`, `path:PARAMETER` (of the matched template), `state:NAME` "
            '(`scope["state"]`), `resolver:NAME` or `resolver:package.module:attribute`. '
            "With the form the application reads: `path:id as int`, `as float`, `as uuid`, `as caseless`. "
            "In a list, the first that is present.",
            examples=["header:x-api-key", ["header:x-ja4", "header:user-agent"], "path:id as int"],
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
    prefix: Annotated[
        Prefix, Meta(description="For `client`: the leading bits that count, IPv4 and IPv6.")
    ] = Prefix()
    cache: Annotated[Cache | None, Meta(description="For `resolver`: the cache of its answers.")] = None
    key: Annotated[
        str | None,
        Meta(
            description="For `resolver`: the key of cached answers, written like `from`. "
            "Default: no caching.",
            examples=["header:authorization"],
        ),
    ] = None


class Tier(Table, frozen=True, forbid_unknown_fields=True):
    """A limit's numbers for the holders of one plan."""

    rate: Annotated[str | None, Meta(description="Replaces the limit's `rate`.")] = None
    burst: Annotated[Count | None, Meta(description="Replaces the limit's `burst`.")] = None
    concurrent: Annotated[Count | None, Meta(description="Replaces the limit's `concurrent`.")] = None
    debt: Annotated[Cost | None, Meta(description="Replaces the limit's `debt`.")] = None


Plan = Tier | str
"""A plan's numbers, its rate alone, or `unlimited`."""
UNLIMITED = "unlimited"
_DISTINCT = "distinct:"


@with_features("LimitKeys")
class Limit(
    Table,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "except_": "except",
        "counted": "unit",
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
            "[a young cluster](correlation.md#young-clusters), which other limits then leave alone.",
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
        Count | None,
        Meta(description="Token bucket: most units at one instant. Default: the rate's amount."),
    ] = None
    algorithm: Annotated[
        AlgorithmName | None,
        Meta(description="The algorithm that counts units. Default: `token-bucket`."),
    ] = None
    counted: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=80,
            description="The unit that is counted. Units other than `requests` are settled afterwards. "
            '`distinct:NAME` counts different values of an identity: with `rate = "40/day"`, at most 40 of '
            "them a day.",
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
    unknown_model: Annotated[
        UnknownModel | float | None,
        Meta(
            description="For `usd`, a model without a price costs as the dearest of the list, or so many "
            "dollars a million tokens. Or it is refused. Default: `dearest`."
        ),
    ] = None
    calendar: Annotated[
        bool | str,
        Meta(
            description="Fixed windows follow the calendar: true months, local midnights. The time zone, or "
            "`true` for UTC.",
            examples=["Europe/Berlin"],
        ),
    ] = False
    concurrent: Annotated[
        Count | None, Meta(description="Instead of `rate`: most requests in flight at once.")
    ] = None
    lease: Annotated[
        str | int | None,
        Meta(
            description="For `concurrent`: silence of a worker after which its slots lapse. Default: `60s`."
        ),
    ] = None
    steps: Annotated[
        list[WrittenStep],
        Meta(
            min_length=1,
            description="The first entry is the step for a request that the whole limit has no room for: "
            "`refuse`; `cut`: with `usage` also a stream that uses up the budget ends, with an "
            "error event; `challenge`: the application demands a step-up; or `degrade`. That lets it pass, "
            'uncharged, and the application reads `scope["ratelimit"].degrade`. With `adaptive` further '
            "entries are what becomes of a request that only the lowered limit refuses, after the first "
            "strike, the second, and so on.",
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
    on: Annotated[
        Event,
        Meta(
            description="What is counted: `request` (HTTP requests and WebSocket handshakes), "
            "`connect` (handshakes only), `message` (messages a WebSocket client sends)."
        ),
    ] = "request"
    by_plan: Annotated[
        dict[str, dict[str, Plan]],
        Meta(
            description="The identity that holds the plan, and the numbers for each of its plans: a rate, "
            "`unlimited`, or a table. Other requests get the limit's own.",
            examples=[{"plan": {"pro": "600/minute", "team": {"rate": "6000/minute"}, "staff": "unlimited"}}],
        ),
    ] = {}

    @property
    def distinct(self) -> str | None:
        """The identity whose different values are counted."""
        return self.counted.removeprefix(_DISTINCT) if self.counted.startswith(_DISTINCT) else None

    @property
    def unit(self) -> str:
        """The unit that is counted, as headers and metrics name it."""
        return self.counted if self.distinct is None else "requests"

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
        return self.calendar if isinstance(self.calendar, str) else None

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


class Correlation(Table, frozen=True, forbid_unknown_fields=True):
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
    extra: Annotated[
        list[str],
        Meta(
            max_length=3,
            description="Up to three further identities that few should share: "
            "a device token, an e-mail domain.",
            examples=[["device"]],
        ),
    ] = []
    costly: Annotated[
        list[str],
        Meta(
            max_length=3,
            description="Those of `extra` that cost an attacker as much as a payment method. "
            "The others are only shown.",
            examples=[["device"]],
        ),
    ] = []
    created: Annotated[
        str | None,
        Meta(
            description="When the account was created, in seconds since 1970: `state:NAME`, "
            "`header:NAME` or `resolver:NAME`. Traces have it as `account_created`. "
            "Default: an account is as old as its first request.",
            examples=["state:account_created"],
        ),
    ] = None
    paid: Annotated[
        str | None,
        Meta(
            description="Dollars that the account's payer has paid in the last 30 days, refunds and "
            "charge-backs taken off: `state:NAME`, `header:NAME` or `resolver:NAME`. Traces have it as "
            "`paid_usd`. For limits with `earned`; 0 is nothing paid, an absent value is not known.",
            examples=["state:paid_usd"],
        ),
    ] = None
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
    correlator: Annotated[
        Literal["workers", "process"],
        Meta(
            description="With Redis, the correlator of all hosts: an elected worker, "
            "or a process of its own, `ratelimit correlator`."
        ),
    ] = "workers"
    known: Annotated[Known, Meta(description="The operator's knowledge; it overrides inference.")] = Known()
    tuning: Annotated[
        Settings,
        Meta(
            description="A file with the correlator's [numbers](correlation.md#the-numbers), beside the "
            "policy, or a table of them. Default: those that serve all deployments.",
            examples=["tuning.toml"],
        ),
    ] = Settings()


@with_features("FileKeys")
class PolicyFile(Table, frozen=True, forbid_unknown_fields=True):
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
    trust: Annotated[Trust, Meta(description="Proxies that are believed.")] = Trust()
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
    routing: Annotated[Routing, Meta(description="Path routing of the application.")] = Routing()
    store: Annotated[Store, Meta(description="Storage of counters.")] = Store()
    prices: Annotated[
        dict[str, Price], Meta(description="Prices of models, by name, for limits in the unit `usd`.")
    ] = {}
    usage: Annotated[
        dict[str, UsageTable],
        Meta(description="Forms of answers of your own, by name, for `usage` of a limit."),
    ] = {}
    headers: Annotated[Headers, Meta(description="Header fields of responses.")] = Headers()
    hashing: Annotated[Hashing, Meta(description="The secret of the hashes.")] = Hashing()
    correlation: Annotated[Correlation, Meta(description="The evidence for clusters.")] = Correlation()
    events: Annotated[Events, Meta(description="Destinations of events.")] = Events()
