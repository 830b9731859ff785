"""Requests that wait for room, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from ratelimit import Decision, Limiter, ManualClock, Policy, RateLimitMiddleware
from ratelimit.decision import Reason
from ratelimit.waiting.stage import WaitingPart
from tests.asgi.driver import Answer, Client, key, limit, ok, rules
from tests.support.policy_lines import tuned

SLOTS = limit("slots", rate="", concurrent=2, wait="1s")


async def turns(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Queued:
    """A limiter in virtual time."""

    def __init__(self, *limits: str, more: str = "", identities: str | None = None, tuning: str = "") -> None:
        self.clock = ManualClock()
        named = {} if identities is None else {"identities": identities}
        policy = Policy.from_toml(tuned(rules(*limits, more=more, **named), tuning))
        self.limiter = Limiter(policy, clock=self.clock)
        self.client = Client(RateLimitMiddleware(ok, limiter=self.limiter, reload_interval_s=0))

    def ask(self, account: str = "a", **more: Any) -> asyncio.Future[Decision]:
        asked: Awaitable[Decision] = self.limiter.adecide(
            identities={"account": account, **more.pop("identities", {})}, client="192.0.2.1", **more
        )
        return asyncio.ensure_future(asked)

    async def pass_by(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.limiter.runtime.part(WaitingPart).queue.here().tick(self.clock.now_ns())
        await turns()

    @property
    def waiting(self) -> int:
        return self.limiter.runtime.part(WaitingPart).queue.waiting


def results(limiter: Limiter) -> dict[str, int]:
    from ratelimit.telemetry.cells import totals
    from ratelimit.waiting.metrics import COUNTER_WAITS, WAIT_RESULTS

    return {
        name: count
        for name, count in zip(WAIT_RESULTS, totals(limiter.table, COUNTER_WAITS), strict=False)
        if count
    }


async def test_waits_for_a_slot_and_is_told_how_long() -> None:
    queued = Queued(SLOTS)
    first, second = await queued.ask(), await queued.ask()
    third = queued.ask()
    await turns()
    assert queued.waiting == 1
    queued.clock.advance(0.25)
    first.release()
    decision = await third
    assert decision.allowed
    assert decision.waited_ns == 250_000_000
    assert second.waited_ns == 0
    assert results(queued.limiter) == {"admitted": 1}


async def test_waits_for_units_until_they_are_there() -> None:
    queued = Queued(limit("requests", rate="10/second", burst=1, wait="1s"))
    assert (await queued.ask()).allowed
    second = queued.ask()
    await turns()
    await queued.pass_by(0.099)
    assert not second.done()
    await queued.pass_by(0.001)
    assert (await second).allowed
    assert second.result().waited_ns == 100_000_000


async def test_refused_when_it_has_waited_for_as_long_as_it_may() -> None:
    queued = Queued(SLOTS)
    held = [await queued.ask(), await queued.ask()]
    third = queued.ask()
    await turns()
    await queued.pass_by(0.999)
    assert not third.done()
    await queued.pass_by(0.001)
    assert not (await third).allowed
    assert third.result().limit == "slots"
    held[0].release()
    assert (await queued.ask()).allowed  # what expired has charged nothing
    assert results(queued.limiter) == {"expired": 1}


async def test_refused_at_arrival_when_the_wait_would_be_too_long() -> None:
    queued = Queued(limit("requests", rate="1/minute", wait="1s"))
    assert (await queued.ask()).allowed
    second = await queued.ask()
    assert not second.allowed
    assert second.retry_after_ns == 60_000_000_000
    assert results(queued.limiter) == {"too-long": 1}


async def test_more_than_a_limit_ever_holds_does_not_wait() -> None:
    queued = Queued(limit("tokens", rate="10/second", unit="tokens", wait="1s"))
    decision = await queued.ask(costs={"tokens": 11})
    assert not decision.allowed
    assert decision.retry_after_ns is None
    assert queued.waiting == 0


async def test_a_limit_that_lets_none_wait_refuses_at_once() -> None:
    queued = Queued(SLOTS, limit("requests", rate="2/minute"))
    assert (await queued.ask()).allowed
    assert (await queued.ask()).allowed
    refused = await queued.ask()
    assert not refused.allowed
    assert queued.waiting == 0


async def test_in_shadow_nothing_waits_and_it_is_counted() -> None:
    queued = Queued(limit("slots", rate="", concurrent=1, wait="1s", mode="shadow"))
    assert [(await queued.ask()).allowed for _ in range(3)] == [True] * 3
    assert results(queued.limiter) == {"shadow": 2}


BY_ACCOUNT = 'fair_by = "account"'
SHARED = limit("requests", per="", rate="10/second", burst=1, wait="1s")


async def test_a_newcomer_does_not_overtake() -> None:
    queued = Queued(SHARED, more=BY_ACCOUNT)
    assert (await queued.ask("a")).allowed
    waits = queued.ask("b")
    await turns()
    queued.clock.advance(0.1)  # there is room, and `b` is not awake yet
    late = queued.ask("c")
    await turns()
    assert not late.done()
    await queued.pass_by(0)
    assert (await waits).allowed
    assert not late.done()
    await queued.pass_by(0.1)
    assert (await late).allowed


async def test_a_newcomer_that_finds_its_line_full_is_told_to_come_back() -> None:
    queued = Queued(SHARED, more=BY_ACCOUNT, tuning="waiting_each = 1\n")
    assert (await queued.ask("a")).allowed
    waits = queued.ask("b")
    await turns()
    queued.clock.advance(0.1)
    answer = await queued.client(headers=key("b"))
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    late = await queued.ask("b")
    assert late.reason is Reason.QUEUE
    await queued.pass_by(0)
    assert (await waits).allowed
    assert results(queued.limiter) == {"admitted": 1, "principal-full": 2}


async def test_one_actor_with_many_accounts_gets_one_share() -> None:
    """By the identity that the policy names here; by the cluster, where the correlator found one."""
    identities = 'account = { from = "header:x-api-key" }\norganisation = { from = "header:x-org" }'
    queued = Queued(
        limit("slots", per="", rate="", concurrent=1, wait="60s"),
        more='fair_by = "organisation"',
        tuning="waiting_each = 1000\n",
        identities=identities,
    )
    held = await queued.ask("z", identities={"organisation": "z"})
    many = [queued.ask(f"a{number}", identities={"organisation": "harvester"}) for number in range(300)]
    few = [queued.ask(who, identities={"organisation": who}) for who in ("b", "c", "d") for _ in range(20)]
    await turns()
    order = []
    named = {id(one): "harvester" for one in many} | {
        id(one): "bcd"[number // 20] for number, one in enumerate(few)
    }
    left = [*many, *few]
    for _ in range(80):
        held.release()
        await turns()
        (done,) = [one for one in left if one.done()]
        left.remove(done)
        order.append(named[id(done)])
        held = done.result()
    assert order.count("harvester") <= 1.05 * 80 / 4
    assert queued.limiter.runtime.part(WaitingPart).queue.fairness > 0.99
    for one in left:
        one.cancel()
    await turns()
    assert queued.waiting == 0


async def test_one_wake_up_a_release() -> None:
    queued = Queued(limit("slots", per="", rate="", concurrent=1, wait="60s"), tuning="waiting_each = 9999\n")
    held = await queued.ask()
    waits = [queued.ask() for _ in range(500)]
    await turns()
    asked = 0
    hall = queued.limiter.runtime.part(WaitingPart).queue.here()
    before = hall._try

    def counting(pending: Any, rest: Any) -> Any:
        nonlocal asked
        asked += 1
        return before(pending, rest)

    hall._try = counting  # type: ignore[method-assign]
    held.release()
    await turns()
    assert asked == 1
    assert sum(one.done() for one in waits) == 1
    for one in waits:
        one.cancel()
    await turns()


async def test_cancelled_while_waiting_leaves_nothing() -> None:
    queued = Queued(SLOTS)
    held = [await queued.ask(), await queued.ask()]
    third, fourth = queued.ask(), queued.ask()
    await turns()
    third.cancel()
    await turns()
    assert queued.waiting == 1
    held[0].release()
    assert (await fourth).allowed
    assert results(queued.limiter) == {"left": 1, "admitted": 1}


async def test_cancelled_with_the_turn_passes_it_on() -> None:
    queued = Queued(SLOTS)
    held = [await queued.ask(), await queued.ask()]
    third, fourth = queued.ask(), queued.ask()
    await turns()
    held[0].release()
    third.cancel()
    assert (await fourth).allowed


async def test_units_that_are_given_back_wake_the_next() -> None:
    queued = Queued(limit("tokens", rate="100/minute", unit="tokens", wait="30s", cost=50))
    first = await queued.ask(costs={"tokens": 100})
    second = queued.ask(costs={"tokens": 40})
    await turns()
    assert not second.done()
    first.settle(tokens=10)
    assert (await second).allowed


async def test_higher_class_waits_less() -> None:
    more = '[[class]]\nname = "chat"\nmatch = "GET /chat"\n[[class]]\nname = "rest"\nmatch = "* /*"'
    queued = Queued(limit("slots", per="", rate="", concurrent=1, wait="1s"), more=more)
    held = await queued.ask()
    batch, chat = queued.ask(path="/batch"), queued.ask(path="/chat")
    await turns()
    held.release()
    assert (await chat).allowed
    assert not batch.done()
    chat.result().release()
    assert (await batch).allowed


async def test_waits_for_one_limit_after_another() -> None:
    queued = Queued(
        limit("own", rate="", concurrent=1, wait="1s"), limit("all", per="", rate="", concurrent=2, wait="1s")
    )
    own, other = await queued.ask("a"), await queued.ask("b")
    third = queued.ask("a")
    await turns()
    fourth = queued.ask("c")
    await turns()
    own.release()  # room for `a` in its own limit: but `c` was first to wait for all
    await turns()
    assert fourth.done() != third.done()
    other.release()
    await turns()
    fourth.result().release() if fourth.done() else third.result().release()
    assert (await third).allowed
    assert (await fourth).allowed


async def test_released_in_another_thread() -> None:
    queued = Queued(SLOTS)
    held = [await queued.ask(), await queued.ask()]
    third = queued.ask()
    await turns()
    await asyncio.to_thread(held[0].release)
    assert (await asyncio.wait_for(third, 60)).allowed


class Visitor:
    """A client that sends its body in pieces and may hang up."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.answer = Answer()
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.received: list[dict[str, Any]] = []

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.received = [await receive() for _ in range(2)]
        await ok(scope, receive, send)

    async def visit(self) -> None:
        async def send(message: Any) -> None:
            self.answer.messages.append(message)

        await self.client.app(self.client.scope("POST", "/", key("a")), self.inbox.get, send)


async def test_client_that_hangs_up_while_waiting_is_gone_at_once() -> None:
    queued = Queued(SLOTS)
    held = [await queued.ask(), await queued.ask()]
    visitor = Visitor(queued.client)
    visit = asyncio.ensure_future(visitor.visit())
    await turns()
    assert queued.waiting == 1
    visitor.inbox.put_nowait({"type": "http.request", "body": b"x", "more_body": True})
    visitor.inbox.put_nowait({"type": "http.disconnect"})
    await turns()
    assert queued.waiting == 0
    await visit
    assert visitor.answer.messages == []  # there is no client to answer
    held[0].release()
    assert (await queued.ask()).allowed


async def test_application_finds_the_body_that_came_while_it_waited() -> None:
    queued = Queued(SLOTS)
    visitor = Visitor(queued.client)
    visitor.client = Client(RateLimitMiddleware(visitor.app, limiter=queued.limiter, reload_interval_s=0))
    held = [await queued.ask(), await queued.ask()]
    visit = asyncio.ensure_future(visitor.visit())
    await turns()
    visitor.inbox.put_nowait({"type": "http.request", "body": b"first", "more_body": True})
    await turns()
    held[0].release()
    await turns()
    visitor.inbox.put_nowait({"type": "http.request", "body": b"second", "more_body": False})
    await visit
    assert visitor.answer.status == 200
    assert [message["body"] for message in visitor.received] == [b"first", b"second"]


async def test_refused_request_is_answered_after_its_wait() -> None:
    queued = Queued(SLOTS)
    held = [await queued.ask(), await queued.ask()]
    visitor = Visitor(queued.client)
    visit = asyncio.ensure_future(visitor.visit())
    await turns()
    await queued.pass_by(1)
    await visit
    assert visitor.answer.status == 429
    assert visitor.answer.problem["violated-policies"] == ["slots"]
    held[0].release()


async def test_middleware_frees_slots_and_wakes_those_that_wait() -> None:
    queued = Queued(SLOTS)
    answers = await asyncio.gather(*(queued.client(headers=key("a")) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert queued.limiter.peek(identities={"account": "a"}, client="192.0.2.1").verdicts[0].remaining == 2


async def test_metrics_say_who_waits() -> None:
    pytest.importorskip("prometheus_client")
    from ratelimit.telemetry.collector import RateLimitCollector

    queued = Queued(SLOTS)
    held = [await queued.ask(), await queued.ask()]
    third = queued.ask()
    await turns()
    families = {family.name: family for family in RateLimitCollector(queued.limiter).collect()}
    assert families["ratelimit_queue_waiting"].samples[0].value == 1
    held[0].release()
    await third
    families = {family.name: family for family in RateLimitCollector(queued.limiter).collect()}
    assert families["ratelimit_queue_waiting"].samples[0].value == 0
    assert families["ratelimit_queue_requests"].samples[0].value == 1
    assert families["ratelimit_queue_wait_seconds"].samples[-2].value == 1
    assert families["ratelimit_queue_fairness"].samples[0].value == 1


async def test_a_client_that_hangs_up_during_its_turn_does_not_wait_on() -> None:
    """Hazard: a request without a client takes a place in line for as long as it might have waited."""
    queued = Queued(limit("slots", per="", rate="", concurrent=1, wait="60s"))
    await queued.ask()
    waiting = queued.ask()
    await turns()
    lines = queued.limiter.runtime.part(WaitingPart).queue.here()
    (line,) = lines.room.lines.values()
    head = line.head()
    assert head is not None
    lines.wake(line)
    lines.left(head)  # its turn is under way, and finds no room
    await turns()
    assert queued.waiting == 0
    assert waiting.done()


async def test_as_many_are_held_as_the_queue_says_whatever_limits_wait() -> None:
    text = rules(limit("requests", rate="9/hour", adaptive=True), more='ramp = "3/hour"')
    policy = tuned(text, "waiting = 5\n")
    limiter = Limiter(Policy.from_toml(policy), clock=ManualClock())
    lines = limiter.runtime.part(WaitingPart).hold.here()
    assert lines.room.total == 5
    limiter.close()


@pytest.mark.parametrize("says_usage", [True, False])
async def test_long_answers_take_no_larger_share_than_short_ones(says_usage: bool) -> None:
    """Hazard: shares that go by guesses on arrival give long answers many times the units of short ones."""
    # Without usage the estimate of 100 stays where less was seen.
    tokens = {b"long": 1000, b"short": 50 if says_usage else 100}
    used = dict.fromkeys(tokens, 0)

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        account = dict(scope["headers"])[b"x-api-key"]
        used[account] += tokens[account]
        content = "w" * (tokens[account] * 7 // 2)
        document: dict[str, Any] = {"choices": [{"index": 0, "message": {"content": content}}]}
        if says_usage:
            document["usage"] = {"prompt_tokens": 1, "completion_tokens": tokens[account]}
        start = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})

    words = {"unit": "output_tokens", "usage": "auto", "cost": 100, "wait": "5m"}
    queued = Queued(
        limit("tokens", per="", rate="60000/minute", burst=1000, **words),
        tuning="waiting_each = 1000\n",
    )
    queued.client.app.app = answering
    asked = [
        asyncio.ensure_future(queued.client("POST", headers=key(account)))
        for account, count in (("long", 40), ("short", 400))
        for _ in range(count)
    ]
    await turns(40)
    for _ in range(200):
        await queued.pass_by(0.1)
    assert queued.waiting > 40
    assert sum(used.values()) > 15_000
    # They differ by the largest, and by the answers that were under way when it was let through.
    assert 0.8 < used[b"long"] / used[b"short"] < 1.25
    for one in asked:
        one.cancel()
    await turns()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_thousands_that_wait_and_hang_up_leave_nothing() -> None:
    """Hazard: a crowd fills the line, and places of those that left stay taken."""
    text = limit("slots", per="", rate="", concurrent=1, wait="60s")
    queued = Queued(text, tuning="waiting = 4000\nwaiting_each = 4000\n")
    held = await queued.ask("first")
    crowd = [queued.ask(f"a{number % 25}") for number in range(4_001)]
    await turns(2)
    assert queued.waiting == 4_000
    assert [one.result().allowed for one in crowd if one.done()] == [False]
    for one in crowd[1:]:
        one.cancel()
    await turns(2)
    assert queued.waiting == 1
    held.release()
    await turns()
    assert crowd[0].result().allowed
    assert queued.waiting == 0
    crowd[0].result().release()
    assert (await queued.ask("last")).allowed
