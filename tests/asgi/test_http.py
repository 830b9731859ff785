"""The middleware as an HTTP client sees it: exactly as many requests as the limits allow, for each client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.asgi.driver import Client, Mounted, key, limit, mount, ok, rules

THREE = rules(limit(rate="3/minute"))


@pytest.fixture
def mounted() -> Mounted:
    return mount(THREE)


async def test_exactly_the_limit_is_admitted_and_the_wait_is_honoured(mounted: Mounted) -> None:
    assert await mounted.client.statuses(5, headers=key("a")) == [200, 200, 200, 429, 429]
    assert (await mounted.client(headers=key("b"))).status == 200
    refused = await mounted.client(headers=key("a"))
    mounted.clock.advance(int(refused.headers["retry-after"]) - 0.001)
    assert (await mounted.client(headers=key("a"))).status == 429
    mounted.clock.advance(0.001)
    assert await mounted.client.statuses(2, headers=key("a")) == [200, 429]


async def test_refused_request_charges_nothing() -> None:
    mounted = mount(rules(limit("tight", rate="1/minute"), limit("wide", rate="3/minute")))
    assert await mounted.client.statuses(50, headers=key("a")) == [200] + [429] * 49
    assert mounted.middleware.limiter.decide(identities={"account": "a"}).verdicts[1].remaining == 2


async def test_many_requests_in_one_packet_admit_exactly_the_limit(mounted: Mounted) -> None:
    arrived = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await arrived.wait()
        await ok(scope, receive, send)

    mounted.middleware.app = slow
    waiting = [asyncio.ensure_future(mounted.client(headers=key("a"))) for _ in range(40)]
    await asyncio.sleep(0)
    arrived.set()
    statuses = sorted(answer.status for answer in await asyncio.gather(*waiting))
    assert statuses == [200] * 3 + [429] * 37


async def test_rapid_reset_is_charged_on_arrival(mounted: Mounted) -> None:
    never = asyncio.Event()

    async def hanging(scope: Any, receive: Any, send: Any) -> None:
        await never.wait()

    mounted.middleware.app = hanging
    for _ in range(3):
        stream = asyncio.ensure_future(mounted.client(headers=key("a")))
        await asyncio.sleep(0)
        stream.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream
    mounted.middleware.app = ok
    assert (await mounted.client(headers=key("a"))).status == 429


async def test_forged_forwarded_headers_do_not_make_another_client() -> None:
    client = mount(rules(limit(per="ip", rate="2/minute"))).client
    statuses = []
    for number in range(4):
        forged = b"6.6.6.%d" % number
        headers = [
            (b"x-forwarded-for", forged),
            (b"forwarded", b"for=" + forged),
            (b"x_forwarded_for", forged),
        ]
        statuses.append((await client(headers=headers)).status)
    assert statuses == [200, 200, 429, 429]


async def test_declared_proxy_speaks_for_its_clients_and_only_it() -> None:
    policy = rules(limit(per="ip", rate="1/minute"), more='proxies = ["10.0.0.0/8"]')
    client = mount(policy).client
    for_one = [(b"x-forwarded-for", b"6.6.6.6, 198.51.100.1")]
    for_two = [(b"x-forwarded-for", b"6.6.6.6, 198.51.100.2")]
    assert await client.statuses(2, headers=for_one, peer="10.0.0.1") == [200, 429]
    assert await client.statuses(2, headers=for_two, peer="10.0.0.1") == [200, 429]
    # Another declared proxy on the way, another spelling, a port: still the same client.
    chained = [(b"x-forwarded-for", b"198.51.100.2:5000, 10.9.9.9")]
    assert (await client(headers=chained, peer="::ffff:10.0.0.2")).status == 429
    # The same words from an undeclared peer are that peer's own request.
    assert await client.statuses(2, headers=for_two, peer="198.51.100.77") == [200, 429]


@pytest.mark.parametrize("other", ["::ffff:192.0.2.1", "::ffff:c000:201"])
async def test_address_spelling_is_one_client(other: str) -> None:
    client = mount(rules(limit(per="ip", rate="1/minute"))).client
    assert (await client()).status == 200
    assert (await client(peer=other)).status == 429


async def test_ipv6_rotation_is_counted_per_prefix() -> None:
    wide = 'site = { from = "client/32/48" }'
    client = mount(
        rules(limit("ip", per="ip", rate="2/minute"), limit("site", per="site"), identities=wide)
    ).client
    assert await client.statuses(1, peer="2001:db8::1") == [200]
    assert await client.statuses(2, peer="2001:db8::2:3:4") == [200, 429]
    assert await client.statuses(2, peer="2001:db8:0:1::1") == [200, 429]
    assert await client.statuses(1, peer="2001:db8:1::1") == [200]


@pytest.mark.parametrize(
    ("missing", "statuses"), [("skip", [200] * 3), ("refuse", [403] * 3), ("shared", [200, 429, 429])]
)
async def test_unix_socket_follows_the_policy(missing: str, statuses: list[int]) -> None:
    identities = f'ip = {{ from = "client", missing = "{missing}" }}'
    client = mount(rules(limit(per="ip", rate="1/minute"), identities=identities)).client
    assert await client.statuses(3, peer=None) == statuses
    assert (await client()).status == 200


async def test_missing_key_does_not_open_a_fresh_budget() -> None:
    client = mount(rules(limit(rate="1/minute"))).client
    assert await client.statuses(2) == [200, 429]
    assert await client.statuses(2, headers=[(b"x-api-key", b"")]) == [429, 429]
    assert await client.statuses(1, headers=[(b"x-api-key", b"x" * 5000)]) == [429]
    assert await client.statuses(1, peer="192.0.2.2") == [200]


async def test_asserted_identity_of_a_victim_cannot_spend_its_budget() -> None:
    identities = 'account = { from = "state:account" }'

    async def as_victim(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["account"] = "victim"
        await mounted.middleware(scope, receive, send)

    mounted = mount(rules(limit(rate="2/minute"), identities=identities))
    forged = [(b"x-api-key", b"victim"), (b"account", b"victim")]
    assert await mounted.client.statuses(4, headers=forged) == [200, 200, 429, 429]
    assert await Client(as_victim).statuses(3) == [200, 200, 429]


async def test_insisted_identity_is_refused_only_where_a_limit_needs_it() -> None:
    identities = 'account = { from = "header:x-api-key", missing = "refuse" }'
    per_ip = limit("page", per="ip", match="/page", rate="1/minute")
    client = mount(rules(limit(match="/v1/*"), per_ip, identities=identities)).client
    assert await client.statuses(2, path="/page") == [200, 429]
    answer = await client(path="/v1/chat")
    assert answer.status == 403
    assert answer.problem["type"] == "about:blank"
    assert "x-api-key" not in answer.body.decode()
    assert (await client(path="/health")).status == 200
    assert (await client(path="/v1/chat", headers=key("a"))).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/", "//v1//chat", "/v1/./chat", "/v1/x/../chat"])
async def test_path_spelling_does_not_dodge_a_limit(path: str) -> None:
    client = mount(rules(limit(match="/v1/chat", rate="1/minute"))).client
    assert (await client(path="/v1/chat", headers=key("a"))).status == 200
    assert (await client(path=path, headers=key("a"))).status == 429


async def test_path_values_share_the_template_of_a_limit() -> None:
    client = mount(rules(limit(match="/users/{id}", rate="2/minute"))).client
    statuses = [(await client(path=f"/users/{number}", headers=key("a"))).status for number in range(4)]
    assert statuses == [200, 200, 429, 429]


async def test_path_below_a_root_path_is_the_one_the_application_routes() -> None:
    client = mount(rules(limit(match="/v1/chat", rate="1/minute"))).client
    assert (await client(path="/api/v1/chat", root_path="/api", headers=key("a"))).status == 200
    assert (await client(path="/api/v1/chat", root_path="/api", headers=key("a"))).status == 429
    # Quart, Django and BlackSheep cut the root path off where no slash follows it, too.
    assert (await client(path="/apiv1/chat", root_path="/api", headers=key("a"))).status == 429
    assert (await client(path="/v2/chat", root_path="/api", headers=key("a"))).status == 200


async def test_path_parameter_is_an_identity() -> None:
    identities = 'tenant = { from = "path:tenant" }'
    client = mount(
        rules(limit(match="/t/{tenant}/**", per="tenant", rate="1/minute"), identities=identities)
    ).client
    assert await client.statuses(2, path="/t/acme/a") == [200, 429]
    assert await client.statuses(1, path="/t/acme/b") == [429]
    assert await client.statuses(2, path="/t/other/a") == [200, 429]


async def test_head_of_a_limited_get_is_no_way_round() -> None:
    client = mount(rules(limit(match="GET /v1/chat", rate="1/minute"))).client
    assert (await client("GET", "/v1/chat", key("a"))).status == 200
    refused = await client("HEAD", "/v1/chat", key("a"))
    assert refused.status == 429
    assert refused.body == b""


async def test_invented_method_counts_like_any_other() -> None:
    client = mount(rules(limit(rate="3/minute"))).client
    statuses = [(await client(f"M{number}", "/", key("a"))).status for number in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


async def test_lists_come_before_limits() -> None:
    allow = '[allow]\nip = ["192.0.2.0/28"]\naccount = ["monitor"]\n'
    lists = allow + '[deny]\nip = ["203.0.113.0/24"]\naccount = ["bad"]'
    client = mount(rules(limit(rate="1/minute"), more=lists)).client
    elsewhere = {"peer": "198.51.100.1"}
    assert await client.statuses(3, headers=key("a")) == [200] * 3
    assert await client.statuses(3, headers=key("monitor"), **elsewhere) == [200] * 3
    assert await client.statuses(2, headers=key("a"), **elsewhere) == [200, 429]
    denied = await client(headers=key("bad"), **elsewhere)
    assert denied.status == 403
    assert denied.problem["status"] == 403
    assert "retry-after" not in denied.headers
    assert (await client(path="/anything", peer="203.0.113.9")).status == 403


async def test_tier_picks_the_numbers_by_the_identity_s_value() -> None:
    identities = 'account = { from = "header:x-api-key" }\nplan = { from = "state:plan", missing = "skip" }'
    tiers = 'tiers.plan = { pro = "3/minute", free = "unlimited" }'
    client = mount(rules(limit(rate="1/minute") + "\n" + tiers, identities=identities)).client
    assert await client.statuses(4, headers=key("a"), state={"plan": "pro"}) == [200] * 3 + [429]
    assert await client.statuses(2, headers=key("b")) == [200, 429]
    assert await client.statuses(2, headers=key("c"), state={"plan": "unheard of"}) == [200, 429]
    assert await client.statuses(4, headers=key("d"), state={"plan": "free"}) == [200] * 4


async def test_shadow_limit_counts_and_never_refuses() -> None:
    mounted = mount(rules(limit(rate="1/minute", mode="shadow")))
    answers = [await mounted.client(headers=key("a")) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert "ratelimit" not in answers[0].headers
    verdict = mounted.middleware.limiter.peek(identities={"account": "a"}).verdicts[0]
    assert (verdict.allowed, verdict.shadow) == (False, True)


async def test_scope_and_messages_pass_unchanged() -> None:
    seen = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)
        seen["body"] = await receive()
        await send({"type": "http.response.start", "status": 204, "headers": [], "trailers": True})
        await send({"type": "http.response.pathsend", "path": "/x"})
        await send({"type": "http.response.trailers", "headers": [(b"a", b"b")], "more_trailers": False})

    mounted = mount(THREE, app, extensions={"http.response.pathsend": {}})
    answer = await mounted.client(headers=key("a"), state={"mine": 1})
    assert seen["state"] == {"mine": 1}
    assert seen["body"]["type"] == "http.request"
    assert [message["type"].rpartition(".")[2] for message in answer.messages] == [
        "start",
        "pathsend",
        "trailers",
    ]
    assert answer.messages[0]["trailers"] is True
    assert answer.messages[1] == {"type": "http.response.pathsend", "path": "/x"}


@pytest.mark.parametrize("more", ["", 'headers = ["ratelimit", "x-ratelimit", "retry-after"]'])
async def test_message_and_headers_that_an_application_sends_again_do_not_grow(more: str) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    client = mount(rules(limit(), more=more), app).client
    answers = [await client(headers=key("a")) for _ in range(3)]
    assert [len(answer.headers) for answer in answers] == [6 if more else 3] * 3
    assert start["headers"] == [(b"content-type", b"text/plain")]


async def test_event_stream_is_passed_on_piece_by_piece() -> None:
    asked = asyncio.Queue[None]()
    sent: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        for piece in (b"data: 1\n\n", b"data: 2\n\n"):
            await asked.get()
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message.get("body", b"start"))

    mounted = mount(THREE, app)
    stream = asyncio.ensure_future(mounted.middleware(mounted.client.scope(headers=key("a")), None, send))
    await asyncio.sleep(0)
    assert sent == [b"start"]
    asked.put_nowait(None)
    await asyncio.sleep(0)
    assert sent == [b"start", b"data: 1\n\n"]
    asked.put_nowait(None)
    await stream
    assert sent[2:] == [b"data: 2\n\n", b""]


async def test_lifespan_and_unknown_scopes_are_left_alone() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], await receive(), "ratelimit" in scope))

    mounted = mount(THREE, app)

    async def receive() -> str:
        return "anything"

    for kind in ("lifespan", "something.new"):
        await mounted.middleware({"type": kind}, receive, None)
    assert seen == [("lifespan", "anything", False), ("something.new", "anything", False)]


async def test_application_s_exception_is_its_own() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await mount(THREE, app).client(headers=key("a"))
