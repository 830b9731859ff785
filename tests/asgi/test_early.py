"""A limit that the head of a request decides ends it before a resolver is asked, or a body read."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.core.memory.refusals import refusals_in
from tests.asgi.driver import Answer, Mounted, echo, limit, mount, ok, rules
from tests.asgi.metered import posting, reading_back

USER = 'user = { from = "resolver:user", missing = "refuse" }\nip = { from = "client" }'
PER_IP = limit("by-address", per="ip", rate="5/minute", algorithm="fixed-window")
PER_USER = limit("by-user", per="user", rate="3/minute", algorithm="fixed-window")
TOKENS = {"unit": "output_tokens", "usage": "auto", "algorithm": "fixed-window"}


class Directory:
    """A look-up in a database: the user of a bearer token, and how often that was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Any) -> str | None:
        self.asked += 1
        found = dict(scope["headers"]).get(b"authorization")
        return None if found is None else found.decode()


def bearer(token: str, **more: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"authorization", token.encode()),
        *((name.encode(), value.encode()) for name, value in more.items()),
    ]


def verdicts(mounted: Mounted, limit_name: str) -> list[int]:
    """Return what a limit's counter says: allowed, refused."""
    table = mounted.middleware.limiter.runtime.table
    return list(table.totals(table.counter(limit_name)))[:2]


def remaining(mounted: Mounted, name: str, **identities: str) -> int:
    decision = mounted.middleware.limiter.peek(
        method="GET", path="/", client="192.0.2.1", identities=identities
    )
    return next(one.remaining for one in decision.verdicts if one.limit == name)


async def test_caller_far_above_its_limit_by_address_costs_no_look_up() -> None:
    directory = Directory()
    mounted = mount(rules(PER_IP, PER_USER, identities=USER), resolvers={"user": directory})
    answers = [await mounted.client(headers=bearer(f"user {number}")) for number in range(500)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 495
    assert directory.asked == 5
    assert verdicts(mounted, "by-address") == [5, 495]
    assert verdicts(mounted, "by-user") == [5, 0]
    last = answers[-1]
    assert last.problem["violated-policies"] == ["by-address"]
    assert int(last.headers["retry-after"]) <= 60
    assert last.headers["ratelimit-policy"] == '"by-address";q=5;w=60'
    # From elsewhere the same users are served: their own budgets were not touched.
    elsewhere = [
        (await mounted.client(headers=bearer("user 400"), peer="198.51.100.9")).status for _ in range(4)
    ]
    assert elsewhere == [200] * 3 + [429]


async def test_whom_the_deny_list_refuses_before_the_resolver_is_noted_once() -> None:
    """Hazard: refusals that are counted as requests, and are of nobody in the lists of callers."""
    directory = Directory()
    text = rules(PER_IP, PER_USER, identities=USER) + '\n[deny]\nip = ["192.0.2.0/24"]\n'
    mounted = mount(text, resolvers={"user": directory})
    answers = [await mounted.client(headers=bearer("user 1"), peer="192.0.2.7") for _ in range(3)]
    assert [answer.status for answer in answers] == [403] * 3
    assert directory.asked == 0
    limiter = mounted.middleware.limiter
    ((_, _, refused, *_),) = refusals_in(limiter.runtime.table, limiter.now_ns())
    assert refused == 3


async def test_what_the_second_stage_refuses_is_charged_nowhere() -> None:
    directory = Directory()
    mounted = mount(rules(PER_IP, PER_USER, identities=USER), resolvers={"user": directory})
    statuses = [(await mounted.client(headers=bearer("ann"))).status for _ in range(5)]
    assert statuses == [200] * 3 + [429] * 2
    assert remaining(mounted, "by-address", user="ann") == 2
    assert [(await mounted.client(headers=bearer("bob"))).status for _ in range(3)] == [200, 200, 429]


async def test_limit_with_another_ending_is_not_asked_before_the_resolver() -> None:
    """One in shadow refuses nothing, and of what waits or is degraded a refusal is not the last word."""
    steps = {"adaptive": True, "on_refusal": ["refuse", "observe"]}
    for words in ({"mode": "shadow"}, {"on_refusal": ["degrade"]}, {"wait": "1ms"}, steps):
        directory = Directory()
        early = limit("by-address", per="ip", rate="1/minute", algorithm="fixed-window", **words)
        mounted = mount(rules(early, PER_USER, identities=USER), resolvers={"user": directory})
        assert mounted.middleware.limiter.current.match("GET", "/").before_resolvers is None
        assert (await mounted.client(headers=bearer("ann"))).status == 200
        assert directory.asked == 1


async def test_caller_on_the_allow_list_by_what_a_resolver_says_is_refused_by_no_address() -> None:
    directory = Directory()
    more = '[allow]\nuser = ["ann"]\n'
    text = rules(PER_IP, PER_USER, identities=USER).replace("[identities]", f"{more}[identities]")
    mounted = mount(text, resolvers={"user": directory})
    assert await mounted.client.statuses(9, headers=bearer("ann")) == [200] * 9


async def test_answer_that_is_remembered_needs_no_early_look() -> None:
    directory = Directory()
    identities = USER.replace('missing = "refuse"', 'cache = "header:x-token"')
    mounted = mount(rules(PER_IP, PER_USER, identities=identities), resolvers={"user": directory})
    headers = [*bearer("ann"), (b"x-token", b"ann's")]
    assert await mounted.client.statuses(4, headers=headers) == [200] * 3 + [429]
    assert directory.asked == 1
    assert verdicts(mounted, "by-user") == [3, 1], "the whole decision was made"


async def test_tier_that_the_head_names_is_asked_and_one_of_a_resolver_is_not() -> None:
    directory = Directory()
    identities = USER + '\nplan = { from = "header:x-plan", missing = "skip" }'
    by_plan = limit("by-address", per="ip", rate="5/minute", algorithm="fixed-window")
    tiers = '[limit.tiers.plan.large]\nrate = "7/minute"'
    mounted = mount(
        rules(f"{by_plan}\n{tiers}", PER_USER, identities=identities), resolvers={"user": directory}
    )
    headers = [bearer(f"user {number}") for number in range(10)]
    large = [[*each, (b"x-plan", b"large")] for each in headers]
    assert [(await mounted.client(headers=each)).status for each in large] == [200] * 7 + [429] * 3
    assert directory.asked == 7
    by_user = tiers.replace(".plan.", ".user.")
    mounted = mount(
        rules(f"{by_plan}\n{by_user}", PER_USER, identities=identities), resolvers={"user": directory}
    )
    assert mounted.middleware.limiter.current.match("GET", "/").before_resolvers is None


class Upload:
    """A client that sends a body in pieces, and how many of them were taken."""

    def __init__(self, mounted: Mounted, pieces: int = 4) -> None:
        self.mounted = mounted
        self.pieces = [b'{"max_tokens": 10, "pad": "', *[b"x" * 1000] * pieces, b'"}']
        self.taken = 0

    async def __call__(self, account: str = "a", **more: Any) -> Answer:
        answer, pieces = Answer(), list(self.pieces)

        async def receive() -> Any:
            self.taken += 1
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            answer.messages.append(message)

        length = str(sum(map(len, self.pieces))).encode()
        headers = [(b"x-api-key", account.encode()), (b"content-length", length)]
        await self.mounted.middleware(
            self.mounted.client.scope("POST", "/v1/chat", headers, **more), receive, send
        )
        return answer


ACCOUNT = 'account = { from = "header:x-api-key" }'


async def test_body_of_a_caller_that_is_refused_anyway_is_not_read() -> None:
    per_account = limit("requests", rate="2/minute", algorithm="fixed-window")
    tokens = limit("tokens", rate="100000/hour", cost="declared", **TOKENS)
    mounted = mount(rules(per_account, tokens, identities=ACCOUNT), reading_back)
    upload = Upload(mounted)
    assert [(await upload()).status for _ in range(6)] == [200, 200, 429, 429, 429, 429]
    assert upload.taken == 2 * len(upload.pieces)
    assert verdicts(mounted, "requests") == [2, 4]
    # The others are read.
    assert (await upload("b")).status == 200


@pytest.mark.parametrize("estimate", ["declared", "learned"])
async def test_budget_that_is_used_up_is_known_before_the_body(estimate: str) -> None:
    tokens = limit("tokens", rate="10/hour", cost=estimate, **TOKENS)
    mounted = mount(rules(tokens, identities=ACCOUNT), ok)
    upload = Upload(mounted)
    first = await upload()
    assert first.status == 200
    for _ in range(9):
        await upload()  # a guess takes a part of the budget
    before = upload.taken
    refused = await upload()
    assert refused.status == 429
    assert upload.taken == before
    assert refused.problem["violated-policies"] == ["tokens"]


async def test_budget_with_room_for_a_little_is_decided_by_the_body() -> None:
    tokens = limit("tokens", rate="25/hour", cost="declared", **TOKENS)
    mounted = mount(rules(tokens, identities=ACCOUNT), ok)
    upload = Upload(mounted)
    assert [(await upload()).status for _ in range(3)] == [200, 200, 429]
    assert upload.taken == 3 * len(upload.pieces), "five are left, so what the body declares decides"


async def test_free_model_is_served_from_a_budget_that_is_used_up() -> None:
    prices = '[prices."dear"]\ninput = 1\noutput = 1000\n[prices."free"]\ninput = 0\noutput = 0\n'
    spend = limit("spend", rate="1/hour", unit="usd", cost="declared", usage="auto", algorithm="fixed-window")
    text = rules(spend, identities=ACCOUNT, more=prices)
    mounted = mount(text, ok)
    dear = {"model": "dear", "max_tokens": 1000}
    statuses = [(await posting(mounted).post(dear)).status for _ in range(3)]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    assert (await posting(mounted).post({"model": "free", "max_tokens": 1000})).status == 200


async def test_limit_of_certain_models_is_asked_once_the_model_is_known() -> None:
    large = limit("large", rate="1/hour", algorithm="fixed-window", model=["large"])
    mounted = mount(rules(large, identities=ACCOUNT), ok)
    assert [(await posting(mounted).post({"model": "large"})).status for _ in range(2)] == [200, 429]
    assert (await posting(mounted).post({"model": "small"})).status == 200


async def test_handshake_is_refused_before_the_resolver() -> None:
    directory = Directory()
    handshakes = PER_IP + '\nunit = "handshakes"'
    users = PER_USER + '\nunit = "handshakes"'
    mounted = mount(rules(handshakes, users, identities=USER), echo, resolvers={"user": directory})
    kinds = []
    for number in range(9):
        async with mounted.client.websocket(headers=bearer(f"user {number}")) as socket:
            kinds.append((await socket.receive())["type"])
    assert kinds == ["websocket.accept"] * 5 + ["websocket.close"] * 4
    assert directory.asked == 5


async def test_room_that_is_made_between_look_and_charge_leaves_nothing_charged() -> None:
    """A look refuses, and by the time of the charge there is room: then the whole decision follows."""
    directory = Directory()
    mounted = mount(rules(PER_IP, PER_USER, identities=USER), resolvers={"user": directory})
    limiter = mounted.middleware.limiter
    bound = limiter.current
    early = bound.match("GET", "/").before_resolvers
    assert early is not None
    row = bound.extractor.extract([], "192.0.2.1")
    now_ns = limiter.now_ns()
    plan = early.plan_for(row)
    assert plan is not None

    class Racing:
        """The plan, with a look that lags behind."""

        def __init__(self) -> None:
            self.here = self
            self.away = None

        def __getattr__(self, name: str) -> Any:
            return getattr(plan, name)

        def peek(self, *asked: Any) -> Any:
            assert plan is not None
            assert plan.here is not None
            row, now, _ = asked
            return plan.here.peek(row, now, [99])

        def decide(self, *asked: Any) -> Any:
            assert plan is not None
            assert plan.here is not None
            return plan.here.decide(*asked[:2], [1])

    class Head:
        is_crowded = False

        def plan_for(self, row: Any) -> Any:
            return Racing()

    assert limiter.runtime.early(bound, Head(), bound.early.without_late(row), now_ns) is None  # type: ignore[arg-type]
    assert remaining(mounted, "by-address", user="ann") == 5


CORRELATED = (
    '[correlation]\nprincipal = "{principal}"\nnetwork = ["ip"]\n[hashing]\nkey = "' + "ab" * 16 + '"\n'
)
PER_CLUSTER = limit("by-actor", per="cluster", rate="5/minute", algorithm="fixed-window")
KNOWN_EARLY = USER + '\naccount = { from = "header:x-api-key" }'


def early_names(mounted: Mounted) -> tuple[list[str], list[str]]:
    """Return the limits that are asked before resolvers, and those of the whole decision."""
    matched = mounted.middleware.limiter.current.match("GET", "/")
    early = matched.before_resolvers
    names = [] if early is None or early.plan is None else [rule.name for rule in early.plan.rules]
    assert matched.plan is not None
    return names, [rule.name for rule in matched.plan.rules if not rule.is_twin]


@pytest.mark.parametrize(("principal", "is_early"), [("account", True), ("user", False)])
async def test_limit_per_actor_is_asked_early_where_its_accounts_are_known(
    principal: str, is_early: bool
) -> None:
    directory = Directory()
    text = rules(PER_IP, PER_USER, PER_CLUSTER, identities=KNOWN_EARLY)
    mounted = mount(text + CORRELATED.format(principal=principal), resolvers={"user": directory})
    names, every = early_names(mounted)
    assert every == ["by-address", "by-user", "by-actor"]
    assert names == (["by-address", "by-actor"] if is_early else ["by-address"])


@pytest.mark.parametrize(("principal", "seen"), [("account", 8), ("user", 5)])
async def test_early_refusal_is_shown_to_the_correlator_where_its_account_is_known(
    principal: str, seen: int
) -> None:
    """No stand-in for a user that was not looked up is evidence of anything."""
    directory = Directory()
    text = rules(PER_IP, PER_USER, identities=KNOWN_EARLY)
    mounted = mount(text + CORRELATED.format(principal=principal), resolvers={"user": directory})
    for number in range(8):
        await mounted.client(headers=[*bearer(f"user {number}"), (b"x-api-key", b"key %d" % number)])
    watch = mounted.middleware.limiter.current.watch
    assert watch is not None
    numbers = watch.ring.board.stats()
    assert numbers["waiting"] + numbers["taken"] == seen
