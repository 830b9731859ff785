"""The application's own resolvers: asked once, never for long, and never fatal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ratelimit import UsageError
from ratelimit.events import NullObserver
from tests.asgi.driver import key, limit, mount, rules

CACHED = 'user = { from = "resolver:user", cache = "header:x-api-key" }'
KEYED = 'account = { from = "header:x-api-key" }'
UNCACHED = 'user = { from = "resolver:user" }'
PER_USER = limit(per="user", rate="2/minute")


class Faults(NullObserver):
    def __init__(self) -> None:
        self.names: list[str] = []
        self.codes: list[str] = []

    def resolver_failed(self, name: str, error: BaseException) -> None:
        self.names.append(f"{name}: {type(error).__name__}")

    def diagnosed(self, code: str, message: str) -> None:
        self.codes.append(code)


class Directory:
    """Knows the account behind a key; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    def now(self, scope: Any) -> str | None:
        self.asked += 1
        keys = [value.decode() for name, value in scope["headers"] if name == b"x-api-key"]
        return keys[0].partition("-")[0] if keys else None

    async def later(self, scope: Any) -> str | None:
        found = self.now(scope)
        await self.open.wait()
        return found


@pytest.mark.parametrize("kind", ["now", "later"])
@pytest.mark.parametrize("identities", [CACHED, UNCACHED], ids=["cached", "uncached"])
async def test_keys_of_one_user_share_its_budget(kind: str, identities: str) -> None:
    user = getattr(Directory(), kind)
    client = mount(rules(PER_USER, identities=identities), resolvers={"user": user}).client
    statuses = [(await client(headers=key(f"ann-{number}"))).status for number in range(3)]
    assert statuses == [200, 200, 429]
    assert (await client(headers=key("bob-1"))).status == 200


async def test_answer_is_remembered_for_its_time_only() -> None:
    directory = Directory()
    mounted = mount(rules(PER_USER, identities=CACHED), resolvers={"user": directory.later})
    await mounted.client.statuses(3, headers=key("ann-1"))
    assert directory.asked == 1
    mounted.clock.advance(59)
    await mounted.client(headers=key("ann-1"))
    assert directory.asked == 1
    mounted.clock.advance(1)
    await mounted.client(headers=key("ann-1"))
    assert directory.asked == 2


async def test_without_a_key_nothing_is_remembered() -> None:
    directory = Directory()
    mounted = mount(rules(PER_USER, identities=UNCACHED), resolvers={"user": directory.later})
    await mounted.client.statuses(3, headers=key("ann-1"))
    assert directory.asked == 3


async def test_concurrent_misses_ask_once_and_a_hang_up_takes_nothing_from_the_others() -> None:
    directory = Directory()
    directory.open.clear()
    client = mount(rules(PER_USER, identities=CACHED), resolvers={"user": directory.later}).client
    waiting = [asyncio.ensure_future(client(headers=key("ann-1"))) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    directory.open.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert sorted(answer.status for answer in answers[1:]) == [200, 200, 429, 429]  # type: ignore[union-attr]
    assert directory.asked == 1


async def test_resolver_is_asked_only_where_something_looks_at_its_answer() -> None:
    users, plans, listed = Directory(), Directory(), Directory()
    toml = rules(
        limit("users", per="user", rate="2/minute", match="/users"),
        limit("plans", per="ip", rate="9/minute", match="/plans") + '\ntiers.plan.pro.rate = "1/minute"',
        limit("others", per="ip", rate="9/minute", match="/others"),
        identities='user = { from = "resolver:user" }\nplan = { from = "resolver:plan", missing = "skip" }',
    )
    client = mount(toml, resolvers={"user": users.now, "plan": plans.now}).client
    asked = []
    for path in ("/users", "/plans", "/others", "/elsewhere"):
        await client.statuses(2, path=path, headers=key("pro-1"))
        asked.append((users.asked, plans.asked))
    assert asked == [(2, 0), (2, 2), (2, 2), (2, 2)]
    assert (await client(path="/plans", headers=key("pro-1"))).status == 429
    assert (await client(path="/users", headers=key("pro-1"))).status == 429

    # A list looks at every request.
    toml = rules(limit(match="/users"), identities=f"{KEYED}\n{UNCACHED}", more='[deny]\nuser = ["eve"]')
    client = mount(toml, resolvers={"user": listed.now}).client
    assert (await client(path="/elsewhere", headers=key("eve-1"))).status == 403
    assert (await client(path="/elsewhere", headers=key("ann-1"))).status == 200
    assert listed.asked == 2


async def test_several_resolvers_are_asked_at_once() -> None:
    here, there = asyncio.Event(), asyncio.Event()

    async def first(scope: Any) -> str:
        here.set()
        await there.wait()
        return "a"

    async def second(scope: Any) -> str:
        there.set()
        await here.wait()
        return "b"

    identities = 'one = { from = "resolver:first" }\ntwo = { from = "resolver:second" }'
    toml = rules('name = "pairs"\nper = ["one", "two"]\nrate = "1/minute"', identities=identities)
    client = mount(toml, resolvers={"first": first, "second": second}).client
    assert await client.statuses(2) == [200, 429]
    assert (await client(peer="192.0.2.9")).status == 429


async def test_resolver_that_raises_leaves_the_identity_missing() -> None:
    faults = Faults()

    async def broken(scope: Any) -> str:
        raise ConnectionError

    client = mount(rules(PER_USER, identities=CACHED), resolvers={"user": broken}, observer=faults).client
    # Missing counts per client: another key from the same address gets no fresh budget.
    statuses = [(await client(headers=key(f"k{number}"))).status for number in range(3)]
    assert statuses == [200, 200, 429]
    assert faults.names == ["user: ConnectionError"] * 3


async def test_resolver_that_hangs_is_waited_for_only_so_long() -> None:
    faults = Faults()
    directory = Directory()
    directory.open.clear()
    client = mount(
        rules(PER_USER, identities=CACHED),
        resolvers={"user": directory.later},
        resolver_timeout_s=0.01,
        observer=faults,
    ).client
    assert (await asyncio.wait_for(client(headers=key("ann-1")), 60)).status == 200
    assert faults.names == ["user: TimeoutError"]
    # A failure is not an answer: the next request asks again.
    directory.open.set()
    await client(headers=key("ann-1"))
    assert directory.asked == 2


async def test_calls_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ratelimit.asgi.resolving.MOST_UNDER_WAY", 4)
    faults = Faults()
    directory = Directory()
    directory.open.clear()
    mounted = mount(rules(PER_USER, identities=CACHED), resolvers={"user": directory.later}, observer=faults)
    waiting = [asyncio.ensure_future(mounted.client(headers=key(f"u{number}-1"))) for number in range(7)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert directory.asked == 4
    assert faults.codes == ["resolver-busy"]
    directory.open.set()
    statuses = sorted(answer.status for answer in await asyncio.gather(*waiting))
    assert statuses == [200] * 4 + [503] * 3


async def test_user_of_an_unusable_type_counts_as_missing() -> None:
    faults = Faults()
    client = mount(
        rules(PER_USER, identities=UNCACHED), resolvers={"user": lambda scope: object()}, observer=faults
    ).client
    assert await client.statuses(3, headers=key("a")) == [200, 200, 429]
    assert faults.codes == ["identity-type"]


def test_resolver_that_nobody_passed_is_told_at_the_start() -> None:
    with pytest.raises(UsageError, match="user") as caught:
        mount(rules(PER_USER, identities=UNCACHED))
    assert caught.value.code == "resolver-unknown"
    with pytest.raises(UsageError) as caught:
        mount(rules(PER_USER, identities=UNCACHED), resolvers={"user": "not callable"})  # type: ignore[dict-item]
    assert caught.value.code == "resolver-not-callable"


async def test_resolver_by_import_path() -> None:
    identities = 'user = { from = "resolver:tests.asgi.test_resolving:imported" }'
    client = mount(rules(PER_USER, identities=identities)).client
    statuses = [(await client(headers=key(f"k{number}"))).status for number in range(3)]
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize("name", ["tests.asgi.test_resolving:missing", "tests.nowhere:imported"])
def test_resolver_that_is_nowhere_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        mount(rules(PER_USER, identities=f'user = {{ from = "resolver:{name}" }}'))
    assert caught.value.code == "resolver-unknown"


def imported(scope: Any) -> str:
    return "one for all"
