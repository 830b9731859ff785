"""Resolvers that fail in every way there is, and answers that must not become another request's.

In one file, since each resolver that fails is asked in the same ways, at the same doors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ratelimit import RateLimitMiddleware, UsageError
from ratelimit.clock import ManualClock
from tests.asgi.driver import Client, key, limit, mount, ok, rules
from tests.asgi.test_resolving import CACHED, PER_USER, UNCACHED, Directory, Faults

BY_TOKEN = 'user = { from = "resolver:user", cache = "header:authorization", missing = "refuse" }'
USERS = {b"Bearer a": "ann", b"Bearer b": "bob"}


def lines(*values: bytes) -> list[tuple[bytes, bytes]]:
    """Return headers with these lines of Authorization."""
    return [(b"authorization", value) for value in values]


def last_line(scope: Any) -> str | None:
    """Read the request as `dict` does: the last line of a header wins."""
    return USERS.get(dict(scope["headers"]).get(b"authorization", b""))


def first_line(scope: Any) -> str | None:
    return next((USERS.get(value) for name, value in scope["headers"] if name == b"authorization"), None)


async def test_second_line_of_a_header_is_not_remembered_for_requests_with_one() -> None:
    client = mount(rules(PER_USER, identities=BY_TOKEN), resolvers={"user": last_line}).client
    assert (await client(headers=lines(b"Bearer a", b"junk"))).status == 403
    assert await client.statuses(3, headers=lines(b"Bearer a")) == [200, 200, 429]


async def test_order_and_number_of_lines_tell_answers_apart() -> None:
    client = mount(rules(PER_USER, identities=BY_TOKEN), resolvers={"user": first_line}).client
    assert await client.statuses(3, headers=lines(b"Bearer a", b"Bearer b")) == [200, 200, 429]
    # A caller told by the first line is the same, however many follow: never a fresh budget.
    for more in ([], [b"Bearer b"], [b"x"], [b"x", b"y"], [b""]):
        assert (await client(headers=lines(b"Bearer a", *more))).status == 429
    assert await client.statuses(3, headers=lines(b"Bearer b", b"Bearer a")) == [200, 200, 429]
    assert (await client(headers=lines(b"Bearer b"))).status == 429


async def test_documented_example_counts_a_caller_that_says_its_token_twice_as_itself() -> None:
    page = (Path(__file__).parents[2] / "docs" / "middleware.md").read_text()
    example = (
        page.split("### Resolvers")[1].split("```python")[1].split("```")[0].split("app.add_middleware")[0]
    )

    class Session:
        def __init__(self, user_id: str) -> None:
            self.user_id = user_id

    class Sessions:
        async def load(self, token: str | None) -> Session | None:
            known = USERS.get((token or "").encode())
            return Session(known) if known else None

    names: dict[str, Any] = {"sessions": Sessions()}
    exec(example, names)
    client = mount(rules(PER_USER, identities=BY_TOKEN), resolvers={"user": names["user"]}).client
    assert await client.statuses(2, headers=lines(b"Bearer a", b"junk")) == [200, 200]
    assert (await client(headers=lines(b"Bearer a"))).status == 429
    assert (await client(headers=lines(b"Bearer a", b"Bearer b"))).status == 429
    assert (await client(headers=[])).status == 403


async def test_every_cookie_of_the_name_is_part_of_the_key() -> None:
    identities = 'user = { from = "resolver:user", cache = "cookie:sid", missing = "refuse" }'

    def by_first(scope: Any) -> str | None:
        text = b";".join(value for name, value in scope["headers"] if name == b"cookie")
        found = [part.strip()[4:] for part in text.split(b";") if part.strip().startswith(b"sid=")]
        return found[0].decode() if found else None

    client = mount(rules(PER_USER, identities=identities), resolvers={"user": by_first}).client
    assert await client.statuses(3, headers=[(b"cookie", b"sid=x; sid=ann")]) == [200, 200, 429]
    assert (await client(headers=[(b"cookie", b"sid=ann")])).status == 200
    assert (await client(headers=[(b"cookie", b"other=1; sid=x")])).status == 429


async def test_nobody_is_not_remembered() -> None:
    known: dict[bytes, str] = {}
    asked = []

    def user(scope: Any) -> str | None:
        asked.append(1)
        return known.get(dict(scope["headers"])[b"x-api-key"])

    identities = CACHED.replace("}, size", "}, size").replace("cache =", 'missing = "refuse", cache =')
    client = mount(rules(PER_USER, identities=identities), resolvers={"user": user}).client
    assert (await client(headers=key("k"))).status == 403
    known[b"k"] = "ann"
    assert await client.statuses(3, headers=key("k")) == [200, 200, 429]
    assert len(asked) == 2


async def test_request_without_the_key_shares_no_answer() -> None:
    calls = []

    async def user(scope: Any) -> str:
        calls.append(1)
        return f"visitor {len(calls)}"

    client = mount(rules(PER_USER, identities=BY_TOKEN), resolvers={"user": user}).client
    for headers in ([], lines(b""), lines(b"  "), []):
        await client(headers=headers)
    await client(headers=lines(b"Bearer a"))
    assert len(calls) >= 4


POLICY = """\
version = 1
[identities]
{identities}
[[limit]]
name = "requests"
per = "user"
rate = "2/minute"
"""
ONE = 'user = { from = "resolver:user", cache = "header:x-api-key", missing = "refuse" }'
OTHER = 'plan = { from = "resolver:user", cache = "header:x-api-key", missing = "skip" }'
ACCOUNT = 'account = { from = "header:x-api-key" }'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ONE, f"{ACCOUNT}\n{ONE}"),
        (f"{ACCOUNT}\n{ONE}", ONE),
        (f"{OTHER}\n{ONE}", f"{ONE}\n{OTHER}\n{ACCOUNT}"),
        (ONE, f"{OTHER}\n{ACCOUNT}\n{ONE}"),
        (ONE.replace("x-api-key", "x-tenant"), ONE),
    ],
)
async def test_remembered_answer_is_not_read_by_another_policys_positions(
    tmp_path: Path, before: str, after: str
) -> None:
    """Hazard: an identity that a reload adds moves the others; a caller became another, or none (403)."""
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(identities=before))
    middleware = RateLimitMiddleware(
        ok,
        path,
        clock=ManualClock(),
        reload_interval_s=0,
        resolvers={"user": lambda scope: dict(scope["headers"])[b"x-api-key"].decode()},
    )
    client = Client(middleware)
    headers = [*key("ann"), (b"x-tenant", b"bob")]
    assert (await client(headers=headers)).status == 200
    path.write_text(POLICY.format(identities=after))
    assert middleware.limiter.reload().result == "applied"
    # The counter is carried over, so it is known which caller asks: one of two was used.
    assert await client.statuses(2, headers=headers) == [200, 429]
    assert await client.statuses(3, headers=[*key("bob"), (b"x-tenant", b"ann")]) == [200, 200, 429]
    middleware.limiter.close()


async def test_reload_while_a_resolver_is_awaited_leaves_both_requests_their_own_identity(
    tmp_path: Path,
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(identities=ONE))
    directory = Directory()
    directory.open.clear()
    middleware = RateLimitMiddleware(
        ok, path, clock=ManualClock(), reload_interval_s=0, resolvers={"user": directory.later}
    )
    client = Client(middleware)
    before = asyncio.ensure_future(client(headers=key("ann-1")))
    await turns()
    path.write_text(POLICY.format(identities=f"{ACCOUNT}\n{ONE}"))
    assert middleware.limiter.reload().result == "applied"
    after = asyncio.ensure_future(client(headers=key("ann-1")))
    await turns()
    directory.open.set()
    assert [(await before).status, (await after).status] == [200, 200]
    assert (await client(headers=key("ann-1"))).status == 429
    assert (await client(headers=key("bob-1"))).status == 200
    middleware.limiter.close()


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def timed_out_task(scope: Any) -> str:
    """Wait for a task of the application's that something cancelled."""
    task = asyncio.ensure_future(asyncio.Event().wait())
    task.cancel()
    await task
    raise AssertionError


async def cancels_itself(scope: Any) -> str:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    raise AssertionError


async def raises_cancelled(scope: Any) -> str:
    raise asyncio.CancelledError


def raises_cancelled_at_once(scope: Any) -> str:
    raise asyncio.CancelledError


def cancelled_future(scope: Any) -> Any:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


class Fatal(BaseException):
    """Not an `Exception`, as several libraries' own cancellations are not."""


async def raises_fatal(scope: Any) -> str:
    raise Fatal


def raises_stop(scope: Any) -> str:
    raise StopIteration("x")


async def recurses(scope: Any) -> str:
    return await recurses(scope)


def raises_generator_exit(scope: Any) -> str:
    raise GeneratorExit


class Liar(str):
    """Text that raises when it is read."""

    def encode(self, *how: Any) -> bytes:
        raise RuntimeError


class Odd:
    """Raises when it is asked what it is."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


FAILURES: list[Callable[[Any], Any]] = [
    timed_out_task,
    cancels_itself,
    raises_cancelled,
    raises_cancelled_at_once,
    cancelled_future,
    raises_fatal,
    raises_stop,
    recurses,
    raises_generator_exit,
]
UNUSABLE: list[Any] = [
    object(), [], {}, 1.5, True, float("nan"), ("a",), "x" * 4097, b"y" * 5000, "", b"", 10**5000,
    -(10**9000), Liar("x"), type, lambda: "x", Exception("x"), bytearray(b"x"), memoryview(b"x"),
    {"sub": "ann"},
]  # fmt: skip


@pytest.mark.parametrize("identities", [CACHED, UNCACHED], ids=["cached", "uncached"])
@pytest.mark.parametrize("resolver", FAILURES, ids=lambda resolver: resolver.__name__)
async def test_resolver_that_fails_in_its_own_way_fails_no_request(
    resolver: Callable[[Any], Any], identities: str
) -> None:
    faults = Faults()
    client = mount(
        rules(PER_USER, identities=identities), resolvers={"user": resolver}, observer=faults
    ).client
    # By the stance: the address stands in, for all keys of it.
    statuses = [(await client(headers=key(f"k{number}"))).status for number in range(3)]
    assert statuses == [200, 200, 429]
    assert len(faults.names) == 3
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


@pytest.mark.parametrize("identities", [CACHED, UNCACHED], ids=["cached", "uncached"])
@pytest.mark.parametrize("answer", UNUSABLE, ids=lambda answer: type(answer).__name__)
async def test_answer_that_is_no_identity_follows_the_stance_and_is_asked_again(
    answer: Any, identities: str
) -> None:
    answers = [answer, answer, "ann", "ann", "ann"]

    def user(scope: Any) -> Any:
        return answers.pop(0)

    refusing = identities.replace('"resolver:user"', '"resolver:user", missing = "refuse"')
    client = mount(rules(PER_USER, identities=refusing), resolvers={"user": user}).client
    assert await client.statuses(5, headers=key("k")) == [403, 403, 200, 200, 429]


async def test_answer_that_raises_when_it_is_asked_what_it_is_follows_the_stance() -> None:
    client = mount(rules(PER_USER, identities=UNCACHED), resolvers={"user": lambda scope: Odd()}).client
    assert await client.statuses(3, headers=key("k")) == [200, 200, 429]


@pytest.mark.parametrize("identities", [CACHED, UNCACHED], ids=["cached", "uncached"])
async def test_cancellation_of_the_request_itself_goes_on_up(identities: str) -> None:
    directory, faults = Directory(), Faults()
    directory.open.clear()
    mounted = mount(
        rules(PER_USER, identities=identities), resolvers={"user": directory.later}, observer=faults
    )
    asking = asyncio.ensure_future(mounted.client(headers=key("ann-1")))
    await turns()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not faults.names
    directory.open.set()
    assert await mounted.client.statuses(3, headers=key("ann-1")) == [200, 200, 429]


async def test_resolver_that_will_not_be_cancelled_is_left_behind() -> None:
    over = asyncio.Event()

    async def stubborn(scope: Any) -> str:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    faults = Faults()
    client = mount(
        rules(PER_USER, identities=CACHED),
        resolvers={"user": stubborn},
        resolver_timeout_s=0.01,
        observer=faults,
    ).client
    async with asyncio.timeout(60):
        assert await client.statuses(2, headers=key("a")) == [200, 200]
    assert faults.names == ["user: TimeoutError"] * 2
    over.set()
    await turns()


async def test_calls_left_behind_and_without_a_key_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ratelimit.asgi.resolving.MOST_UNDER_WAY", 4)
    directory, faults = Directory(), Faults()
    directory.open.clear()
    mounted = mount(
        rules(PER_USER, identities=UNCACHED), resolvers={"user": directory.later}, observer=faults
    )
    waiting = [asyncio.ensure_future(mounted.client(headers=key(f"u{number}-1"))) for number in range(7)]
    await turns()
    assert directory.asked == 4
    assert faults.codes == ["resolver-busy"]
    directory.open.set()
    assert sorted(answer.status for answer in await asyncio.gather(*waiting)) == [200] * 4 + [503] * 3


@pytest.mark.parametrize("identities", [CACHED, UNCACHED], ids=["cached", "uncached"])
async def test_resolver_that_asks_through_the_same_middleware_comes_to_an_end(
    monkeypatch: pytest.MonkeyPatch, identities: str
) -> None:
    monkeypatch.setattr("ratelimit.asgi.resolving.MOST_UNDER_WAY", 20)

    async def user(scope: Any) -> str:
        await mounted.client(headers=scope["headers"])
        return "ann"

    mounted = mount(
        rules(limit(per="user", rate="50/minute"), identities=identities),
        resolvers={"user": user},
        resolver_timeout_s=0.1,
    )
    async with asyncio.timeout(60):
        assert (await mounted.client(headers=key("a"))).status in (200, 429)


async def test_call_of_an_event_loop_that_has_gone_is_waited_for_by_none() -> None:
    directory = Directory()
    directory.open.clear()
    mounted = mount(rules(PER_USER, identities=CACHED), resolvers={"user": directory.later})
    asking = asyncio.ensure_future(mounted.client(headers=key("ann-1")))
    await turns()
    answers = []

    def elsewhere() -> None:
        directory.open.set()
        answers.append(asyncio.run(mounted.client(headers=key("ann-1"))).status)

    await asyncio.to_thread(elsewhere)
    await turns()
    asking.cancel()
    assert answers == [200]


def test_resolver_whose_module_does_not_run_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {
        "bad_syntax": "def",
        "bad_run": "1 / 0",
        "bad_attribute": "class A:\n    b = 1",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(UsageError) as caught:
            mount(rules(PER_USER, identities=f'user = {{ from = "resolver:{name}:A.c" }}'))
        assert caught.value.code == "resolver-unknown"


async def test_resolver_that_counts_as_false_is_one() -> None:
    class Empty(dict[str, str]):
        def __call__(self, scope: Any) -> str:
            return "ann"

    client = mount(rules(PER_USER, identities=UNCACHED), resolvers={"user": Empty()}).client
    assert await client.statuses(3) == [200, 200, 429]
