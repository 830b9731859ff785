"""A limiter that is closed while requests wait: each is answered at once, and has charged nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from ratelimit import Decision, Limiter, ManualClock, Policy, RateLimitMiddleware
from ratelimit.conduct.model.strikes import Strike
from ratelimit.decision import Reason
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.telemetry.cells import totals
from ratelimit.waiting.metrics import COUNTER_HOLDS, COUNTER_WAITS, HOLD_RESULTS, WAIT_RESULTS
from ratelimit.waiting.stage import WaitingPart
from ratelimit.wsgi.middleware import RateLimitMiddleware as WsgiMiddleware
from tests.asgi.driver import Answer, Client, echo, key, limit, ok, rules
from tests.conduct.test_refusal_steps import lowered, strike
from tests.load.held import POLICY, SECOND, Gateway, status
from tests.waiting.test_waiting import SLOTS, Queued, turns

REDUCED = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"


def assert_told(answer: Answer) -> None:
    assert answer.status == 503
    assert answer.problem["type"] == REDUCED
    assert int(answer.headers["retry-after"]) >= 1


async def test_limiter_is_closed_while_requests_are_held() -> None:
    gateway = Gateway()
    await gateway.saturate()
    tasks = [await gateway.begin(account) for account in "aab"]
    assert gateway.held == 3
    gateway.limiter.close()
    await turns()
    for task in tasks:
        assert task.done()
        assert task.exception() is None
        assert_told(gateway.answers[task.get_name()])
    assert gateway.load.queue.waiting == 0
    assert not gateway.reached
    # What is in the back end ends as always.
    for name in gateway.sent:
        await gateway.answer(name, 2)
        assert status(gateway, name) == 200


async def test_what_waited_when_the_limiter_was_closed_is_counted_and_charged_nothing() -> None:
    clock = ManualClock(1_700_000_000 * SECOND)
    store = EmbeddedStore.private(clock=clock)  # not the limiter's own, so it stays open
    # What waits for its limit waits for no room of the back end.
    text = POLICY.replace("[adaptive]\n", '[adaptive]\nexcept = "/v1/x"\n')
    limiter = Limiter(Policy.from_toml(text + "[[limit]]\n" + SLOTS), store=store, clock=clock)
    gateway = Gateway(limiter=limiter)
    await gateway.saturate()
    task = await gateway.begin("a")
    slots = [await limiter.adecide(path="/v1/x", identities={"account": "b"}) for _ in range(2)]
    waits = asyncio.ensure_future(limiter.adecide(path="/v1/x", identities={"account": "b"}))
    await turns()
    assert (gateway.held, limiter.runtime.part(WaitingPart).queue.waiting) == (1, 1)
    limiter.close()
    await asyncio.gather(task, waits)
    assert gateway.remaining == {"a": 200, "b": 198}
    assert totals(store.table, COUNTER_HOLDS, len(HOLD_RESULTS))[HOLD_RESULTS.index("closed")] == 1
    assert totals(store.table, COUNTER_WAITS, len(WAIT_RESULTS))[WAIT_RESULTS.index("closed")] == 1
    assert [each.allowed for each in (waits.result(), *slots)] == [False, True, True]
    store.close()


async def test_limiter_is_closed_between_the_turn_and_its_task() -> None:
    """Hazard: it was told that it is its turn, and has not run since."""
    gateway = Gateway()
    await gateway.saturate()
    task = await gateway.begin("a")
    running = next(name for name, answer in gateway.answers.items() if len(answer.messages) == 2)
    gateway._answers[running].set()
    for _ in range(20):
        await asyncio.sleep(0)
        if not gateway.load.queue.waiting:
            break
    assert not task.done()
    assert not gateway.reached
    gateway.limiter.close()
    await turns()
    assert task.exception() is None
    assert_told(gateway.answers[task.get_name()])


async def test_limiter_is_closed_while_requests_wait_for_limits() -> None:
    queued = Queued(SLOTS)
    first, _ = await queued.ask(), await queued.ask()
    waiting = [queued.ask() for _ in range(3)]
    turn = queued.ask("b"), queued.ask("b"), queued.ask("b")
    await turns()
    assert queued.waiting == 4
    first.release()  # the next has its turn, and has not run since
    queued.limiter.close()
    await turns()
    for asked in (*waiting, turn[2]):
        decision: Decision = asked.result()
        assert (decision.allowed, decision.reason) == (False, Reason.STORE)
    assert queued.waiting == 0


async def test_nothing_waits_in_a_process_that_is_about_to_end() -> None:
    queued = Queued(SLOTS)
    slots = [await queued.ask(), await queued.ask()]
    waits = queued.ask()
    await turns()
    queued.limiter.runtime.refuse_waiting()
    assert (await waits).reason is Reason.STORE
    late = await queued.ask()
    assert (late.allowed, late.reason, queued.waiting) == (False, Reason.LIMITS, 0)
    slots[0].release()
    assert (await queued.ask()).allowed
    queued.limiter.close()


async def test_limiter_is_closed_while_a_request_waits_for_a_slot_in_the_middleware() -> None:
    queued = Queued(SLOTS)
    _ = [await queued.ask(), await queued.ask()]
    answer = asyncio.ensure_future(queued.client("POST", "/v1/chat", key("a")))
    await turns()
    assert queued.waiting == 1
    queued.limiter.close()
    assert_told(await asyncio.wait_for(answer, 60))


async def test_limiter_is_closed_while_a_rising_account_is_held() -> None:
    policy = Policy.from_toml(rules(limit("requests", rate="1000/hour"), more='ramp = "10/hour"'))
    limiter = Limiter(policy, clock=ManualClock())
    client = Client(RateLimitMiddleware(ok, limiter=limiter, reload_interval_s=0))
    assert await client.statuses(11, headers=key("a")) == [200] * 11
    held = asyncio.ensure_future(client(headers=key("a")))
    await turns()
    assert limiter.runtime.part(WaitingPart).hold.waiting == 1
    limiter.close()
    assert_told(await asyncio.wait_for(held, 60))
    assert limiter.runtime.part(WaitingPart).hold.waiting == 0


async def test_limiter_is_closed_while_a_step_of_conduct_holds() -> None:
    clock = ManualClock()
    limiter = Limiter(Policy.from_toml(rules(lowered("wait"))), clock=clock)
    client = Client(RateLimitMiddleware(ok, limiter=limiter, reload_interval_s=0))
    strike(limiter, clock, len(Strike))
    statuses = await client.statuses(2, headers=key("a"))
    held = asyncio.ensure_future(client(headers=key("a")))
    await turns()
    assert (statuses, limiter.runtime.part(WaitingPart).hold.waiting) == ([200, 200], 1)
    limiter.close()
    assert_told(await asyncio.wait_for(held, 60))


async def test_limiter_is_closed_while_a_handshake_waits() -> None:
    connects = limit("sockets", rate="", unit="handshakes", concurrent=1, wait="1s")
    limiter = Limiter(Policy.from_toml(rules(connects)), clock=ManualClock())
    client = Client(RateLimitMiddleware(echo, limiter=limiter, reload_interval_s=0))
    async with client.websocket("/v1/x", key("a")) as first:
        assert (await first.receive())["type"] == "websocket.accept"
        async with client.websocket("/v1/x", key("a")) as second:
            await turns()
            assert limiter.runtime.part(WaitingPart).queue.waiting == 1
            limiter.close()
            assert (await second.receive())["type"] == "websocket.close"


ESTIMATES: list[dict[str, Any]] = [
    {},
    {"cost": 50},
    {"cost": "learned", "usage": "auto"},
    {"cost": "declared", "usage": "auto", "on_refusal": ["cut"]},
]


@pytest.mark.parametrize("more", ESTIMATES, ids=str)
async def test_limiter_is_closed_while_an_answer_is_under_way(more: dict[str, Any]) -> None:
    """Hazard: what the application settles then breaks its stream."""
    tokens = limit("tokens", rate="100000/day", unit="output_tokens", **more)
    slots = limit("slots", rate="", concurrent=3, wait="1s")
    limiter = Limiter(Policy.from_toml(rules(tokens, slots, more='[adaptive]\nfirst_byte = "1s"')))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        limiter.close()
        scope["ratelimit"].settle(output_tokens=5)
        body = b'{"usage": {"completion_tokens": 7}}'
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    client = Client(RateLimitMiddleware(application, limiter=limiter, reload_interval_s=0))
    answer = await client("POST", "/v1/chat", key("a"))
    assert (answer.status, len(answer.messages)) == (200, 3)


async def test_limiter_is_closed_by_another_thread() -> None:
    gateway = Gateway()
    await gateway.saturate()
    task = await gateway.begin("a")
    closing = threading.Thread(target=gateway.limiter.close)
    closing.start()
    closing.join()
    await asyncio.wait_for(task, 60)
    assert_told(gateway.answers[task.get_name()])


def test_event_loop_was_closed_before_the_limiter_and_left_requests_in_its_lines() -> None:
    """Hazard: what it is told by is closed, too."""
    queued = Queued(SLOTS)
    loop = asyncio.new_event_loop()
    for _ in range(3):
        asked = loop.create_task(queued.limiter.adecide(identities={"account": "a"}))
    loop.run_until_complete(turns())
    assert queued.waiting == 1
    asked._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    queued.limiter.close()


def test_limiter_is_closed_while_a_thread_of_a_wsgi_server_waits() -> None:
    limiter = Limiter(Policy.from_toml(rules(limit("slots", rate="", concurrent=1, wait="60s"))))
    answers: list[str] = []
    begun, refused, go_on = threading.Event(), threading.Event(), threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        begun.set()
        go_on.wait(60)
        start_response("200 OK", [])
        return [b"ok"]

    middleware = WsgiMiddleware(application, limiter=limiter)

    def call() -> None:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v1/x", "HTTP_X_API_KEY": "a"}
        list(middleware(environ, lambda status, headers: answers.append(status)))
        refused.set()

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    for _ in range(3000):
        if limiter.runtime.part(WaitingPart).queue.waiting:
            break
        refused.wait(0.01)
    limiter.close()
    assert refused.wait(60)
    assert answers == ["503 Service Unavailable"]
    go_on.set()
    for thread in threads:
        thread.join(30)
