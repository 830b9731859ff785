"""FastAPI's dependencies and decorators, as a client sees them."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse

from ratelimit import Limiter, Policy, RateLimitMiddleware, UsageError
from ratelimit.clock import ManualClock
from ratelimit.integrations.fastapi import exempt, limit, limits
from tests.asgi.driver import Client, Mounted, key, rules
from tests.asgi.driver import limit as row

ACCOUNT = 'account = { from = "state:account" }'
ANONYMOUS = 'account = { from = "state:account", missing = "client" }'


def authenticate(request: Request) -> str:
    """Find out which user is calling, as applications do: in a dependency."""
    account = request.headers.get("x-api-key", "")
    if account:
        request.state.account = account
    return account


Caller = Annotated[str, Depends(authenticate)]


def mounted(app: FastAPI, *tables: str, identities: str = ACCOUNT, **more: Any) -> Mounted:
    """Put an application behind a policy, in virtual time."""
    clock = ManualClock()
    toml = rules(*(tables or [row("elsewhere", "ip", match="/elsewhere")]), identities=identities)
    app.add_middleware(
        RateLimitMiddleware, policy=Policy.from_toml(toml), clock=clock, reload_interval_s=0, **more
    )
    return Mounted(Client(app), clock, app)  # type: ignore[arg-type]


async def test_dependency_sees_who_another_dependency_found_out() -> None:
    app = FastAPI()

    @app.get("/search", dependencies=[Depends(authenticate), Depends(limit("2/minute", per="account"))])
    async def search() -> str:
        return "found"

    client = mounted(app).client
    assert await client.statuses(3, "GET", "/search", key("a")) == [200, 200, 429]
    assert await client.statuses(3, "GET", "/search", key("b")) == [200, 200, 429]


async def test_refusal_is_answered_like_one_of_the_middleware() -> None:
    app = FastAPI()

    @app.get("/search", dependencies=[Depends(limit("1/minute"))])
    async def search() -> str:
        return "found"

    client = mounted(app).client
    allowed = await client("GET", "/search")
    assert allowed.headers["ratelimit"] == '"1/minute per ip";r=0;t=60'
    assert allowed.headers["ratelimit-policy"] == '"1/minute per ip";q=1;w=60'
    refused = await client("GET", "/search")
    assert refused.status == 429
    assert refused.headers["retry-after"] == "60"
    assert refused.headers["ratelimit"] == '"1/minute per ip";r=0;t=60'
    assert refused.problem["violated-policies"] == ["1/minute per ip"]


async def test_decorator_needs_no_request_in_the_handler_and_takes_one() -> None:
    app = FastAPI()

    @app.get("/plain/{number}")
    @limit("1/minute")
    async def plain(number: int, q: str = "") -> dict[str, Any]:
        return {"number": number, "q": q}

    @app.get("/asking")
    @limit("1/minute")
    def asking(request: Request) -> str:
        return request.url.path

    client = mounted(app).client
    answers = [await client("GET", "/plain/7", query_string=b"q=x") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
    assert answers[0].body == b'{"number":7,"q":"x"}'
    answers = [await client("GET", "/asking") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
    assert answers[0].body == b'"/asking"'
    assert "ratelimit_request" not in str(app.openapi())


async def test_each_route_has_its_own_budget_unless_they_share_a_name() -> None:
    app = FastAPI()
    own, shared = limit("1/minute"), limit("1/minute", name="shared")

    @app.get("/a", dependencies=[Depends(own)])
    @app.get("/b", dependencies=[Depends(own)])
    @app.get("/c", dependencies=[Depends(shared)])
    @app.get("/d", dependencies=[Depends(limit("1/minute", name="shared"))])
    async def handler() -> None: ...

    client = mounted(app).client
    assert [(await client("GET", path)).status for path in ("/a", "/b", "/a", "/b")] == [200, 200, 429, 429]
    assert [(await client("GET", path)).status for path in ("/c", "/d")] == [200, 429]


async def test_limits_of_the_policy_are_asked_for_by_name_with_costs_of_each_route() -> None:
    app = FastAPI()

    @app.post("/small", dependencies=[Depends(limits("budget"))])
    @app.post("/large", dependencies=[Depends(limits("budget", cost=5))])
    @app.post("/own", dependencies=[Depends(limits("budget", cost=lambda r: int(r.headers["x-cost"])))])
    async def handler() -> None: ...

    async def awaited(request: Request) -> int:
        return len(await request.body()) + 3

    @app.post("/awaited", dependencies=[Depends(limits("budget", cost=awaited))])
    async def reading(request: Request) -> None: ...

    client = mounted(app, row("budget", "ip", "20/minute", match=[])).client

    async def left(path: str, *headers: tuple[bytes, bytes]) -> tuple[int, str]:
        answer = await client("POST", path, headers)
        return answer.status, answer.headers["ratelimit"].split(";")[1]

    assert await left("/small") == (200, "r=19")
    assert await left("/large") == (200, "r=14")
    assert await left("/own", (b"x-cost", b"9")) == (200, "r=5")
    assert await left("/awaited") == (200, "r=2")
    assert await left("/large") == (429, "r=2")
    # What a client says is cut to what can be counted, and never gives anything back.
    assert await left("/own", (b"x-cost", b"-7")) == (200, "r=2")
    assert await left("/own", (b"x-cost", b"99999999999999")) == (429, "r=2")


async def test_refused_by_a_route_nothing_is_charged_by_path_either() -> None:
    app = FastAPI()

    @app.get("/search", dependencies=[Depends(limit("3/minute", name="first")), Depends(limits("second"))])
    async def search() -> None: ...

    by_path = row("by path", "ip", "10/minute")
    client = mounted(app, by_path, row("second", "ip", "1/minute", match=[])).client
    assert await client.statuses(4, "GET", "/search") == [200, 429, 429, 429]
    told = (await client("GET", "/search")).headers["ratelimit"]
    assert told == '"by path";r=9;t=6, "first";r=2;t=20, "second";r=0;t=60'


async def test_settling_reaches_what_a_dependency_charged() -> None:
    app = FastAPI()

    @app.post("/chat")
    async def chat(request: Request, asked: Annotated[Any, Depends(limits("tokens", cost=60))]) -> int:
        request.scope["ratelimit"].settle(tokens=25)
        return int(asked.decision.verdicts[0].cost)

    client = mounted(app, row("tokens", "ip", "100/minute", unit="tokens", match=[])).client
    answer = await client("POST", "/chat")
    assert answer.body == b"25"
    assert '"tokens";r=75' in answer.headers["ratelimit"]


async def test_estimates_that_routes_take_are_in_flight_until_the_response_has_ended() -> None:
    app = FastAPI()
    seen: list[dict[str, int]] = []
    limiters: list[Limiter] = []

    @app.post("/chat", dependencies=[Depends(limits("tokens", cost=60))])
    async def chat(request: Request) -> None:
        limiters.append(request.scope["ratelimit"].door.limiter)
        seen.append(dict(limiters[0].unsettled_units))

    table = row("by path", "ip", "500/minute", unit="tokens", cost=30)
    client = mounted(app, table, row("tokens", "ip", "100/minute", unit="tokens", match=[])).client
    # The second is refused by the route, and what it took by path is given back.
    assert await client.statuses(2, "POST", "/chat") == [200, 429]
    assert seen == [{"by path": 30, "tokens": 60}]
    assert limiters[0].unsettled_units == {}


async def test_slots_are_free_when_the_response_has_ended_however_it_ends() -> None:
    app = FastAPI()

    @app.get("/fails", dependencies=[Depends(limit(concurrent=1, name="slots"))])
    async def fails() -> None:
        raise ZeroDivisionError

    inner: list[int] = []

    @app.get("/works", dependencies=[Depends(limit(concurrent=1, name="slots"))])
    async def works() -> None:
        inner.append((await client("GET", "/works")).status)

    client = mounted(app).client
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await client("GET", "/fails")
    assert (await client("GET", "/works")).status == 200
    assert inner == [429]
    assert (await client("GET", "/works")).status == 200


async def test_exempt_handler_is_not_bound_by_its_router() -> None:
    app = FastAPI()
    router = APIRouter(dependencies=[Depends(limit("1/minute", name="all"))])

    @router.get("/health")
    @exempt
    async def health() -> None: ...

    @router.get("/other")
    async def other() -> None: ...

    app.include_router(router)
    client = mounted(app).client
    assert await client.statuses(3, "GET", "/health") == [200] * 3
    assert await client.statuses(2, "GET", "/other") == [200, 429]


async def test_responder_and_own_handlers_answer_refusals_of_routes_too() -> None:
    async def responder(scope: Any, decision: Any) -> JSONResponse:
        return JSONResponse({"limit": decision.limit}, 429)

    app = FastAPI()

    @app.get("/search", dependencies=[Depends(limit("1/minute", name="mine"))])
    async def search() -> None: ...

    client = mounted(app, responder=responder).client
    await client("GET", "/search")
    refused = await client("GET", "/search")
    assert (refused.status, refused.body, refused.headers["retry-after"]) == (429, b'{"limit":"mine"}', "60")


async def test_handshake_is_refused_by_a_dependency() -> None:
    app = FastAPI()

    @app.websocket("/live")
    async def live(socket: WebSocket, _: Annotated[Any, Depends(limit("1/minute"))]) -> None:
        await socket.accept()
        await socket.close()

    client = mounted(app).client
    async with client.websocket("/live") as socket:
        assert (await socket.receive())["type"] == "websocket.accept"
    async with client.websocket("/live") as socket:
        message = await socket.receive()
        assert (message["type"], message["code"]) == ("websocket.close", 1008)


async def test_limit_matched_by_path_as_well_is_charged_once_and_said() -> None:
    said: list[str] = []

    class Watching:
        def diagnosed(self, code: str, message: str) -> None:
            said.append(code)

        def reloaded(self, *_: Any) -> None: ...

    app = FastAPI()

    @app.get("/search", dependencies=[Depends(limits("both"))])
    async def search() -> None: ...

    client = mounted(app, row("both", "ip", "2/minute"), observer=Watching()).client
    assert await client.statuses(3, "GET", "/search") == [200, 200, 429]
    assert said == ["limit-asked-twice"]


async def test_without_the_middleware_the_error_says_what_to_write() -> None:
    app = FastAPI()

    @app.get("/x", dependencies=[Depends(limit("1/minute"))])
    async def handler() -> None: ...

    with pytest.raises(UsageError, match=r"app\.add_middleware") as raised:
        await Client(app)("GET", "/x")
    assert raised.value.code == "limit-unmounted"


async def test_state_that_is_set_too_late_is_said_once_with_its_name() -> None:
    said: list[tuple[str, str]] = []

    class Watching:
        def diagnosed(self, code: str, message: str) -> None:
            said.append((code, message))

        def reloaded(self, *_: Any) -> None: ...

    app = FastAPI()

    @app.get("/search", dependencies=[Depends(authenticate)])
    async def search() -> None: ...

    client = mounted(app, row("by path", "account", "100/minute"), observer=Watching()).client
    for number in range(45):
        await client("GET", "/search", key(f"account {number}"))
    assert [code for code, _ in said] == ["state-outside", "state-absent"]
    assert "They are: `by path` (state:account)" in said[0][1]
    assert said[1][1].startswith("`state:account` was never present when it was read; ")


async def test_state_that_comes_after_the_limit_is_said_within_four_requests() -> None:
    said: list[str] = []

    class Watching:
        def diagnosed(self, code: str, message: str) -> None:
            said.append(code)

        def reloaded(self, *_: Any) -> None: ...

    app = FastAPI()
    late = [Depends(limit("100/minute", per="account")), Depends(authenticate)]

    @app.get("/late", dependencies=late)
    async def handler() -> None: ...

    by_path = row("by path", "ip", "100/minute")
    client = mounted(app, by_path, identities=ANONYMOUS, observer=Watching()).client
    for number in range(3):
        await client("GET", "/late", key(f"account {number}"))
    assert said == []
    await client("GET", "/late", key("account 4"))
    assert said == ["state-absent"]


async def test_anonymous_requests_are_not_said_to_be_late() -> None:
    said: list[str] = []

    class Watching:
        def diagnosed(self, code: str, message: str) -> None:
            said.append(code)

        def reloaded(self, *_: Any) -> None: ...

    app = FastAPI()

    @app.get("/x", dependencies=[Depends(limit("100/minute", per="account"))])
    async def handler() -> None: ...

    by_path = row("by path", "ip", "100/minute")
    client = mounted(app, by_path, identities=ANONYMOUS, observer=Watching()).client
    for _ in range(12):
        await client("GET", "/x")
    assert said == []


async def test_routes_count_by_the_reloaded_policy_and_keep_what_it_lacks(tmp_path: Any) -> None:
    said: list[str] = []

    class Watching:
        def diagnosed(self, code: str, message: str) -> None:
            said.append(code)

        def reloaded(self, *_: Any) -> None: ...

    path = tmp_path / "policy.toml"
    private = '[store]\nmemory = "private"\n'
    budget = row("budget", "ip", "5/hour", match=[], algorithm="fixed-window")

    def write(*tables: str) -> None:
        path.write_text(rules(*tables, row("all", "ip", "1000/minute"), more=private))

    write(budget)
    limiter = Limiter(path, clock=ManualClock(), observer=Watching())
    app = FastAPI()

    @app.get("/named", dependencies=[Depends(limits("budget"))])
    async def named() -> None: ...

    @app.get("/coded", dependencies=[Depends(limit("2/hour", per="ip", algorithm="fixed-window"))])
    async def coded() -> None: ...

    app.add_middleware(RateLimitMiddleware, limiter=limiter, reload_interval_s=0)
    client = Client(app)
    assert await client.statuses(4, "GET", "/named") == [200] * 4
    assert await client.statuses(3, "GET", "/coded") == [200, 200, 429]
    write(budget.replace("5/hour", "7/hour"))
    limiter.reload()
    assert await client.statuses(4, "GET", "/named") == [200, 200, 200, 429], "what was used stays used"
    assert await client.statuses(1, "GET", "/coded") == [429]
    write()
    limiter.reload()
    assert await client.statuses(1, "GET", "/named") == [429]
    assert await client.statuses(1, "GET", "/coded") == [429]
    assert said == ["limit-asked-gone"]
    write(budget.replace("5/hour", "8/hour"))
    limiter.reload()
    assert await client.statuses(2, "GET", "/named") == [200, 429]
    limiter.close()


async def test_a_request_that_waits_in_a_dependency_says_how_long() -> None:
    """Hazard: a wait that a route's limit caused is in no decision, and in no span."""
    app = FastAPI()
    asked: list[int] = []

    @app.get("/search", dependencies=[Depends(limits("slow"))])
    async def search(request: Request) -> str:
        exchange = request.scope["ratelimit"]
        asked.extend(one.decision.waited_ns for one in exchange.asked)
        return "found"

    toml = rules(row("slow", "account", rate="10/second", burst=1, wait="2s", match=[]))
    app.add_middleware(RateLimitMiddleware, policy=Policy.from_toml(toml), reload_interval_s=0)  # real time
    client = Client(app)  # type: ignore[arg-type]
    assert await client.statuses(2, "GET", "/search", key("a")) == [200, 200]
    assert asked[0] == 0
    assert 20_000_000 < asked[1] < 2_000_000_000
