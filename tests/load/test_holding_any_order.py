"""Requests that come, wait, hang up, fail, end and are cancelled in any order: nothing is left of them."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.load.model.controller import Bounds
from ratelimit.telemetry import names
from ratelimit.telemetry.cells import totals
from ratelimit.waiting.metrics import COUNTER_HOLDS, HOLD_RESULTS
from ratelimit.waiting.stage import WaitingPart
from tests.load.held import POLICY, Gateway
from tests.waiting.test_waiting import turns

CLASSES = """
[[class]]
name = "interactive"
match = "POST /chat"
[[class]]
name = "batch"
match = "POST /batch"
[[limit]]"""
BY_CLASS = POLICY.replace("[[limit]]", CLASSES, 1)
WAITING = """
[[limit]]
name = "slots"
match = "/*"
per = "account"
concurrent = 3
wait = "1s"
[[limit]]
name = "tokens"
match = "/chat"
per = "account"
unit = "tokens"
rate = "1000/minute"
cost = 50
wait = "2s"
"""


class BackEndFailed(Exception):
    """The application raised."""


class Fragile(Gateway):
    """A gateway before a back end that may fail anywhere; each request says where."""

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        name, fails = scope["name"], scope["fails"]
        self.reached.append(name)
        self.sent.append(name)
        goes_on = self._answers.setdefault(name, asyncio.Event())
        await goes_on.wait()
        if fails == "silent":
            return
        if fails == "before":
            raise BackEndFailed
        await send({"type": "http.response.start", "status": scope["code"], "headers": []})
        if fails == "begun":
            raise BackEndFailed
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        goes_on.clear()
        await goes_on.wait()
        if fails == "after":
            raise BackEndFailed
        await send({"type": "http.response.body", "body": b"last"})


COMES = st.tuples(
    st.just("comes"),
    st.sampled_from("abc"),
    st.sampled_from(["/chat", "/batch", "/other"]),
    st.sampled_from(["", "", "", "silent", "before", "begun", "after"]),
    st.sampled_from([200, 200, 404, 503]),
)
STEPS = st.lists(
    st.one_of(
        COMES,
        COMES,
        st.tuples(
            st.sampled_from(["cancel", "hang up", "answer", "answer"]), st.integers(0, 40), st.booleans()
        ),
        st.tuples(st.just("time"), st.sampled_from([0.001, 0.05, 0.3, 1.0, -0.2])),
    ),
    max_size=60,
)


async def play(gateway: Fragile, steps: list[tuple[Any, ...]]) -> list[asyncio.Task[None]]:
    tasks: list[asyncio.Task[None]] = []
    for what, *how in steps:
        if what == "comes":
            account, path, fails, code = how
            tasks.append(await gateway.begin(account, path, fails=fails, code=code))
        elif what == "time":
            gateway.clock.advance(how[0])
            for queue in (gateway.load.queue, gateway.limiter.runtime.part(WaitingPart).queue):
                queue.here().tick(gateway.clock.now_ns())
            await turns()
        elif what == "answer" and gateway.sent:
            gateway._answers[gateway.sent[how[0] % len(gateway.sent)]].set()
        elif what == "cancel" and tasks:
            tasks[how[0] % len(tasks)].cancel()
        elif what == "hang up" and tasks:
            tasks[how[0] % len(tasks)].hang_up()  # type: ignore[attr-defined]
        # Half of the time the next step is before anything has run.
        await turns(8 if how[-1] else 1)
    return tasks


async def finish(gateway: Fragile, tasks: list[asyncio.Task[None]], how: str) -> list[BaseException]:
    """Let all end in one way; return what other than the back end's own failures they raised."""
    for _ in range(8):
        for task in tasks:
            if how == "cancelled":
                task.cancel()
            elif how == "hung up":
                task.hang_up()  # type: ignore[attr-defined]
        gateway.clock.advance(0.5)
        for queue in (gateway.load.queue, gateway.limiter.runtime.part(WaitingPart).queue):
            queue.here().tick(gateway.clock.now_ns())
        for name in list(gateway.sent):
            gateway._answers[name].set()
        await turns(20)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await turns()
    expected = BackEndFailed, asyncio.CancelledError
    return [each for each in results if each is not None and not isinstance(each, expected)]


def left(gateway: Gateway) -> dict[str, int]:
    """Return what is left that is not 0."""
    limiter, load = gateway.limiter, gateway.load
    rooms = [queue.here().room for queue in (load.queue, limiter.runtime.part(WaitingPart).queue)]
    in_flight, unanswered = load.flight.counts(gateway.clock.now_ns())
    found: dict[str, int] = {
        "in flight": in_flight,
        "without a first byte": unanswered,
        "held": gateway.held,
        "waiting": sum(room.size for room in rooms),
        "lines": sum(len(room.lines) for room in rooms),
        "principals that wait": sum(len(room._waiting) for room in rooms),
        "bytes": gateway.middleware._mount.metering.held.size,
        "estimates": sum(limiter.unsettled_units.values()),
    }
    for account in "abc":
        verdicts = limiter.peek(method="POST", path="/other", identities={"account": account}).verdicts
        slots = [verdict for verdict in verdicts if verdict.limit == "slots"]
        found[f"slots of {account}"] = sum(3 - verdict.remaining for verdict in slots)
    return {what: count for what, count in found.items() if count}


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from(["cancelled", "hung up", "answered"]))
async def test_nothing_is_left_of_requests_however_they_end(steps: list[tuple[Any, ...]], how: str) -> None:
    gateway = Fragile(BY_CLASS + WAITING, Bounds(400, 4, 2, full_from=2, places=2))
    tasks = await play(gateway, steps)
    assert await finish(gateway, tasks, how) == []
    assert left(gateway) == {}
    gateway.limiter.close()


@settings(max_examples=40, deadline=None)
@given(STEPS)
async def test_answers_that_clients_see_are_what_is_counted(steps: list[tuple[Any, ...]]) -> None:
    """Each request that came is counted once, as what it was told."""
    gateway = Fragile(BY_CLASS, Bounds(400, 4, 2, full_from=2, places=2))
    tasks = await play(gateway, [step for step in steps if step[0] != "cancel"])
    assert await finish(gateway, tasks, "answered") == []
    table = gateway.limiter.table
    allowed, refused, *others = totals(table, names.COUNTER_REQUESTS, names.REQUESTS_WIDTH)
    shed = totals(table, names.COUNTER_RUNTIME, len(names.RuntimeColumn))[names.CAPACITY_COLUMN]
    held = dict(zip(HOLD_RESULTS, totals(table, COUNTER_HOLDS, len(HOLD_RESULTS)), strict=False))
    assert not any(others)
    assert allowed + refused + shed + held["left"] == len(tasks)
    told = [
        answer.status
        for name, answer in gateway.answers.items()
        if answer.messages and name not in gateway.sent
    ]
    # One that hung up in the instant in which it was shed is counted, and hears nothing.
    hung_up = sum(step[0] == "hang up" for step in steps)
    assert told.count(503) <= shed <= told.count(503) + hung_up
    assert told.count(429) <= refused
    assert sum(gateway.load.state().shed.values()) == shed
    gateway.limiter.close()
