"""A policy file changes under a running application: atomically, or not at all."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from ratelimit import RateLimitMiddleware
from ratelimit.worker.upkeep import Upkeep, _run
from tests.asgi.driver import Mounted, echo, key, limit, mount, ok, rules

PRIVATE = '[store]\nmemory = "private"'


def text(rate: str = "3/minute", more: str = PRIVATE, **changes: Any) -> str:
    return rules(limit(rate=rate, **changes), more=more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(text())
    return path


@pytest.fixture
def mounted(path: Path) -> Mounted:
    return mount("", policy=path)


async def test_raised_limit_is_in_force_and_counters_carry_over(mounted: Mounted, path: Path) -> None:
    assert await mounted.client.statuses(4, headers=key("a")) == [200, 200, 200, 429]
    path.write_text(text("10/minute"))
    reload = mounted.middleware.limiter.reload_if_changed()
    assert reload is not None
    assert reload.result == "applied"
    answer = await mounted.client(headers=key("a"))
    assert answer.headers["ratelimit-policy"] == '"requests";q=10;w=60'
    # A fresh bucket would say 9.
    assert int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0]) < 9


async def test_lowered_limit_does_not_hand_out_a_fresh_budget(mounted: Mounted, path: Path) -> None:
    assert await mounted.client.statuses(3, headers=key("a")) == [200] * 3
    path.write_text(text("2/minute"))
    mounted.middleware.limiter.reload()
    assert await mounted.client.statuses(1, headers=key("a")) == [429]
    assert await mounted.client.statuses(3, headers=key("b")) == [200, 200, 429]


MISTAKEN = b"version = 1\n[[limit]]\nname = 'x'\nper = 'nobody'\nrate = 'often'\n"
HUGE = b"version = 1\n# " + b"x" * (1 << 20)
SLOW = b"version = 1\nx = " + b"[" * 50_000
HOSTILE = b"version = 1\n[[limit]]\nname = \"x\\n\\u001b[31mERROR\"\nper = 'ip'\nrate = '1/day'\n"


@pytest.mark.parametrize(
    "bad",
    [MISTAKEN, HUGE, SLOW, HOSTILE, b"\xff\xfe", b"version = 1\x00"],
    ids=["mistaken", "huge", "slow", "hostile", "no text", "zero byte"],
)
async def test_bad_reload_changes_nothing_and_says_so(
    bad: bytes, mounted: Mounted, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await mounted.client(headers=key("a"))
    path.write_bytes(bad)
    limiter = mounted.middleware.limiter
    reload = limiter.reload_if_changed()
    assert reload is not None
    assert reload.result == "rejected"
    assert limiter.last_reload is reload
    assert [record.levelno for record in caplog.records if "old policy stays" in record.message] == [
        logging.ERROR
    ]
    assert limiter.generation == 1
    assert await mounted.client.statuses(3, headers=key("a")) == [200, 200, 429]
    # It is said once a change, not every two seconds.
    assert limiter.reload_if_changed() is None


async def test_bad_reload_is_followed_by_a_good_one(mounted: Mounted, path: Path) -> None:
    limiter = mounted.middleware.limiter
    path.write_text("nonsense")
    limiter.reload_if_changed()
    path.write_text(text("1/minute"))
    reload = limiter.reload_if_changed()
    assert reload is not None
    assert (reload.result, limiter.generation) == ("applied", 2)
    assert await mounted.client.statuses(2, headers=key("a")) == [200, 429]


async def test_file_that_is_gone_for_a_moment_is_no_change(mounted: Mounted, path: Path) -> None:
    path.unlink()
    assert mounted.middleware.limiter.reload_if_changed() is None
    path.write_text(text())
    reload = mounted.middleware.limiter.reload_if_changed()
    assert reload is not None
    assert reload.result == "unchanged"


async def test_request_under_way_settles_under_the_policy_it_began_with(path: Path) -> None:
    def tokens(rate: str) -> str:
        return rules(
            limit("tokens", rate=rate, unit="tokens", cost=5, algorithm="fixed-window"), more=PRIVATE
        )

    path.write_text(tokens("100/hour"))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path.write_text(tokens("200/hour"))
        limiter.reload()
        scope["ratelimit"].settle(tokens=50)
        await ok(scope, receive, send)

    mounted = mount("", app, policy=path)
    limiter = mounted.middleware.limiter
    answer = await mounted.client(headers=key("a"))
    assert answer.headers["ratelimit-policy"] == '"tokens";q=100;w=3600;qu="tokens"'
    verdict = limiter.peek(identities={"account": "a"}).verdicts[0]
    assert (verdict.quota, verdict.remaining) == (200, 150)


async def test_slot_held_across_a_reload_is_given_back(path: Path) -> None:
    def slots(more: str) -> str:
        return rules(limit(rate="", concurrent=1), more=more + PRIVATE)

    path.write_text(slots(""))
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await ok(scope, receive, send)

    mounted = mount("", app, policy=path)
    held = asyncio.ensure_future(mounted.client(headers=key("a")))
    await asyncio.sleep(0)
    path.write_text(slots('headers = ["retry-after"]\n'))
    assert mounted.middleware.limiter.reload().result == "applied"
    assert (await mounted.client(headers=key("a"))).status == 429
    go.set()
    await held
    assert (await mounted.client(headers=key("a"))).status == 200


async def test_open_connection_is_limited_by_the_policy_in_force(path: Path) -> None:
    path.write_text(text("2/minute", unit="messages"))
    mounted = mount("", echo, policy=path)
    async with mounted.client.websocket(headers=key("a")) as socket:
        await socket.receive()
        await socket.send("one")
        assert (await socket.receive())["text"] == "one"
        path.write_text(text("1/minute", unit="messages"))
        mounted.middleware.limiter.reload()
        await socket.send("two")
        assert (await socket.receive())["type"] == "websocket.close"


async def test_open_connection_stays_who_it_is_when_identities_move(path: Path) -> None:
    counted = limit("messages", rate="2/minute", unit="messages")
    account = 'account = { from = "header:x-api-key" }'
    path.write_text(rules(counted, more=PRIVATE, identities=account))
    mounted = mount("", echo, policy=path)
    async with mounted.client.websocket(headers=key("a")) as socket:
        await socket.receive()
        await socket.send("one")
        await socket.receive()
        # Another identity takes the first position.
        path.write_text(
            rules(
                counted,
                limit("others", per="other"),
                more=PRIVATE,
                identities='other = { from = "header:x-other" }\n' + account,
            )
        )
        assert mounted.middleware.limiter.reload().result == "applied"
        for text in ("two", "three"):
            await socket.send(text)
        assert [(await socket.receive())["type"] for _ in range(2)] == ["websocket.send", "websocket.close"]


async def test_reload_under_load_loses_and_mints_nothing(mounted: Mounted, path: Path) -> None:
    path.write_text(text("50/minute"))
    mounted.middleware.limiter.reload()
    admitted = 0
    for number in range(100):
        admitted += (await mounted.client(headers=key("a"))).status == 200
        if number % 10 == 0:
            headers = "[]" if number % 20 else '["ratelimit"]'
            silent = f"headers = {headers}\n{PRIVATE}"
            path.write_text(text("50/minute", more=silent))
            mounted.middleware.limiter.reload()
    assert admitted == 50


def test_upkeep_puts_a_changed_file_in_force_and_ends_cleanly(mounted: Mounted, path: Path) -> None:
    limiter = mounted.middleware.limiter
    upkeep = Upkeep(limiter, 0.001)
    upkeep.start()
    upkeep.start()
    assert upkeep.is_running
    path.write_text(text("7/minute"))
    deadline = 5_000
    while limiter.generation == 1 and deadline:
        upkeep.tick()
        deadline -= 1
    assert limiter.generation == 2
    upkeep.stop()
    assert upkeep.is_running  # it was started twice: another middleware relies on it
    upkeep.stop()
    assert not upkeep.is_running
    upkeep.stop()


async def test_lifespan_starts_and_ends_the_upkeep(path: Path) -> None:
    running: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        running.append(upkeep.is_running)
        if scope["type"] == "http":
            await ok(scope, receive, send)

    middleware = RateLimitMiddleware(app, path, reload_interval_s=60)
    upkeep = middleware._upkeep
    assert upkeep is not None
    assert not upkeep.is_running
    await middleware({"type": "lifespan"}, None, None)
    assert running == [True]
    assert not upkeep.is_running
    # A server that goes on without lifespan wakes it again.
    mounted = mount("", policy=path)
    await middleware(mounted.client.scope(headers=key("a")), None, _ignore)
    assert running == [True, True]
    upkeep.stop()


async def test_connections_are_opened_before_the_application_starts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append("application")

    async def opened() -> None:
        seen.append("connections")

    middleware = RateLimitMiddleware(app, path, reload_interval_s=60)
    monkeypatch.setattr(middleware.limiter, "aopen_connections", opened)
    await middleware({"type": "lifespan"}, None, None)
    assert seen == ["connections", "application"]


async def test_all_has_ended_before_the_server_hears_that_the_application_has(path: Path) -> None:
    # It may end the process then, as uvicorn does: what comes after that is never done.
    ended: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    async def send(message: Any) -> None:
        ended.append(not upkeep.is_running)

    middleware = RateLimitMiddleware(app, path, reload_interval_s=60)
    upkeep = middleware._upkeep
    assert upkeep is not None
    other = RateLimitMiddleware(ok, path, reload_interval_s=60)
    assert other._upkeep is upkeep
    await middleware({"type": "lifespan"}, None, send)
    assert ended == [False, True]
    upkeep.start()
    await middleware({"type": "lifespan"}, None, send)
    assert ended == [False, True, False, False]  # one of two that are served by it
    assert upkeep.is_running
    upkeep.stop()


async def _ignore(message: Any) -> None:
    pass


def test_failing_upkeep_says_so_and_goes_on(mounted: Mounted, caplog: pytest.LogCaptureFixture) -> None:
    limiter = mounted.middleware.limiter
    upkeep = Upkeep(limiter, 0.001)
    calls: list[int] = []

    class Ended:
        def wait(self, seconds: float) -> bool:
            calls.append(1)
            return len(calls) > 3

    limiter.reload_if_changed = lambda: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    _run(ref(upkeep), Ended(), 0.001)  # type: ignore[arg-type]
    assert caplog.text.count("tried again") == 3
