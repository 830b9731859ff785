"""Effective requests: the method that takes effect, and the operations that a request carries."""

from __future__ import annotations

from typing import Any

from tests.asgi.driver import Client, key, limit, mount, ok, rules


async def test_method_override_counts_as_the_effective_method() -> None:
    mounted = mount(rules(limit("deletions", rate="2/minute", match="DELETE /notes/*")))

    async def overriding(scope: Any, receive: Any, send: Any) -> None:
        """Do as the middleware outside ours does that honours X-HTTP-Method-Override."""
        wanted = dict(scope["headers"]).get(b"x-http-method-override")
        await mounted.client.app({**scope, "method": wanted.decode()} if wanted else scope, receive, send)

    client = Client(overriding)
    disguised = [*key("a"), (b"x-http-method-override", b"DELETE")]
    plain = [await client("POST", "/notes/1", headers=key("a")) for _ in range(3)]
    assert [answer.status for answer in plain] == [200, 200, 200]
    answers = [await client("POST", "/notes/1", headers=disguised) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert (await client("DELETE", "/notes/1", headers=key("a"))).status == 429


async def test_override_that_nobody_honours_changes_nothing() -> None:
    mounted = mount(rules(limit("writes", rate="1/minute", match="POST /notes")))
    disguised = [*key("a"), (b"x-http-method-override", b"GET")]
    answers = [await mounted.client("POST", "/notes", headers=disguised) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]


async def test_graphql_aliases_count_as_the_operations_they_are() -> None:
    async def graphql(scope: Any, receive: Any, send: Any) -> None:
        """Count its operations once the query is parsed, as an application does."""
        aliases = int(dict(scope["headers"])[b"x-aliases"])
        scope["ratelimit"].settle(requests=aliases)
        await ok(scope, receive, send)

    mounted = mount(rules(limit(rate="10/minute")), graphql)

    async def status(aliases: int) -> int:
        headers = [*key("a"), (b"x-aliases", b"%d" % aliases)]
        return (await mounted.client("POST", "/graphql", headers=headers)).status

    assert [await status(6), await status(1), await status(2)] == [200, 200, 200]
    assert [await status(5), await status(1)] == [
        200,
        429,
    ]  # 9 used; a request of five is one too many for later.
    # However many a request claims, the debt is one quota. Two minutes later its owner is served again.
    mounted.clock.advance(120)
    assert await status(2**31 - 1) == 200
    mounted.clock.advance(125)
    assert await status(1) == 200
