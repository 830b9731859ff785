"""Requests held in the gateway for the back end: order, bounds, ends, and no charge meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.load.model.controller import Bounds
from ratelimit.load.model.holding import longest_ns
from ratelimit.load.model.shedding import KEPT_FREE, ShedPriority
from ratelimit.serving.deciding import CallDecider
from ratelimit.telemetry.cells import totals
from ratelimit.waiting.metrics import COUNTER_HOLDS, HOLD_RESULTS
from ratelimit.waiting.stage import WaitingPart
from tests.load.held import KIND, POLICY, SECOND, Gateway, Targeted, end, status
from tests.support.policy_lines import tuned
from tests.waiting.test_waiting import turns


async def test_what_the_back_end_has_no_room_for_is_held_and_nothing_charged():
    gateway = Gateway()
    await gateway.saturate()
    task = await gateway.begin("a")
    assert (gateway.held, gateway.reached) == (1, [])
    assert gateway.remaining["a"] == 200
    await gateway.make_room()
    assert (gateway.held, gateway.reached) == (0, [task.get_name()])
    assert gateway.remaining["a"] == 199
    await gateway.answer(task.get_name(), 2)
    await task
    assert status(gateway, task.get_name()) == 200


async def test_one_of_an_account_with_one_is_next_whatever_others_hold():
    """An account with many requests does not stand before one that has one."""
    gateway = Gateway()
    await gateway.saturate()
    for _ in range(30):
        await gateway.begin("a")
    await gateway.begin("b")
    assert gateway.held == 31
    await gateway.make_room()
    await gateway.make_room()
    assert [name[0] for name in gateway.reached].count("b") == 1


async def test_principals_that_wait_are_served_alike():
    gateway = Gateway()
    await gateway.saturate()
    for account in ["a"] * 20 + ["b"] * 4:
        await gateway.begin(account)
    for _ in range(8):
        await gateway.make_room()
    served = "".join(name[0] for name in gateway.reached)
    assert served.count("b") == 4
    assert served.count("a") == 4


BY_CLASS = POLICY.replace(
    "[[limit]]",
    """
[[class]]
name = "interactive"
match = "POST /chat"
[[class]]
name = "batch"
match = "POST /batch"
[[limit]]""",
    1,
)


async def test_class_is_before_principal():
    gateway = Gateway(BY_CLASS, Bounds(400, 2, 2, full_from=1))
    await gateway.saturate("/chat")
    low = [await gateway.begin("a", "/batch") for _ in range(3)]
    high = [await gateway.begin("a", "/chat") for _ in range(3)]
    assert gateway.held == 6
    for _ in range(8):
        await gateway.begin_next()
    assert gateway.reached == [task.get_name() for task in (*high, *low)]


async def test_first_class_that_is_shed_has_more_places_kept_free_from_then_on():
    """Hazard: lower classes leave a fixed part of the places free, and it is too little for this back end."""
    gateway = Gateway(BY_CLASS, Bounds(400, 40, 40, full_from=40, places=40))
    flight = gateway.load.flight
    for path, count in (("/batch", 4), ("/chat", 12)):
        for account in range(count):
            await gateway.begin(f"{path}{account} ", path)
    assert flight.counts(gateway.limiter.now_ns()) == (16, 16)
    gateway.load._admission.reserve.step(gateway.limiter.now_ns())
    assert gateway.load.state().kept_free == KEPT_FREE
    gateway.load._admission.adapt(Targeted(bounds=Bounds(400, 1, 1, full_from=40, places=40)), kind=KIND)
    task = await gateway.begin("a", "/batch")
    await gateway.pass_by(1.0)
    await task
    assert gateway.load.state().kept_free == KEPT_FREE  # none is below the last class
    task = await gateway.begin("a", "/chat")
    await gateway.pass_by(1.0)
    await task
    assert status(gateway, task.get_name()) == 503
    assert gateway.load.state().kept_free > KEPT_FREE


async def test_waiting_for_too_long_is_503():
    gateway = Gateway()
    await gateway.saturate()
    task = await gateway.begin("a")
    await gateway.pass_by(longest_ns(SECOND) / 1e9 - 0.001)
    assert not task.done()
    await gateway.pass_by(0.001)
    await task
    answer = gateway.answers[task.get_name()]
    assert answer.status == 503
    assert answer.problem["type"].endswith("#temporary-reduced-capacity")
    assert int(answer.headers["retry-after"]) >= 1
    assert gateway.held == 0
    assert gateway.remaining["a"] == 200
    assert gateway.load.state().shed == {"all": 1}


async def test_hang_up_of_a_held_request_leaves_nothing():
    gateway = Gateway()
    await gateway.saturate()
    before = gateway.load.flight.counts(gateway.clock.now_ns())
    task = await gateway.begin("a")
    task.hang_up()  # type: ignore[attr-defined]
    await turns()
    await task
    assert gateway.answers[task.get_name()].messages == []
    assert gateway.load.flight.counts(gateway.clock.now_ns()) == before
    assert (gateway.held, gateway.load.queue.waiting, gateway.remaining["a"]) == (0, 0, 200)


@pytest.mark.parametrize("late", [False, True])
async def test_cancelled_request_leaves_nothing(late: bool):
    """Hazard: one that is cancelled after it was told that it is its turn, and before it ran."""
    gateway = Gateway()
    await gateway.saturate()
    before = gateway.load.flight.counts(gateway.clock.now_ns())
    task, other = await gateway.begin("a"), await gateway.begin("b")
    if late:
        running = next(name for name, answer in gateway.answers.items() if len(answer.messages) == 2)
        gateway._answers[running].set()
        for _ in range(20):
            await asyncio.sleep(0)
            if gateway.load.queue.waiting == 1:
                break
        before = (before[0] - 1, before[1])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await turns()
    if late:
        assert gateway.reached == [other.get_name()]
    await end(gateway, [other])
    assert gateway.load.flight.counts(gateway.clock.now_ns()) == before
    assert (gateway.held, gateway.load.queue.waiting, gateway.remaining["a"]) == (0, 0, 200)


TIGHT = POLICY.replace('rate = "1000/minute"\nburst = 200', 'rate = "2/minute"\nburst = 2')


def spends(gateway: Gateway) -> bool:
    """Charge an account by another door, which takes no part in what follows the load."""
    return CallDecider(gateway.limiter).decide_named("GET", "/", None, {"account": "a"}, None).allowed


async def test_what_limits_refuse_is_never_held():
    gateway = Gateway(TIGHT)
    await gateway.saturate()
    for _ in range(2):
        assert spends(gateway)
    task = await gateway.begin("a")
    await task
    assert status(gateway, task.get_name()) == 429
    assert gateway.load.queue.waiting == 0


BROAD = tuned(POLICY, "waiting_each = 100\n")


async def test_refusal_at_the_turn_passes_it_on():
    gateway = Gateway(TIGHT)
    await gateway.saturate()
    first, second = await gateway.begin("a"), await gateway.begin("b")
    assert gateway.held == 2
    for _ in range(2):
        assert spends(gateway)
    await gateway.make_room()
    await first
    assert status(gateway, first.get_name()) == 429
    assert gateway.reached == [second.get_name()]


WAITING = TIGHT.replace("2/minute", "1/second") + 'wait = "5s"\n'


async def test_place_is_given_back_while_limits_let_it_wait():
    """Hazard: a request with the turn that waits for its own limits, before an idle back end."""
    gateway = Gateway(WAITING)
    await gateway.saturate()
    first, second = await gateway.begin("a"), await gateway.begin("b")
    for _ in range(2):
        assert spends(gateway)
    await gateway.make_room()
    assert not first.done()
    assert gateway.reached == [second.get_name()]
    await end(gateway, [first, second])


async def test_what_would_wait_for_its_limits_is_shed_while_there_is_no_room():
    """Hazard: it goes on when its limits have room, whether the back end has any or not."""
    gateway = Gateway(WAITING.replace("burst = 2", "burst = 1"))
    await gateway.saturate()
    assert spends(gateway)
    task = await gateway.begin("a")
    await task
    assert (gateway.held, gateway.limiter.runtime.part(WaitingPart).queue.waiting) == (0, 0)
    assert status(gateway, task.get_name()) == 503


async def test_bounds_of_the_queue_hold():
    gateway = Gateway(tuned(POLICY, "waiting_each = 2\nwaiting = 3\n"))
    await gateway.saturate()
    tasks = [await gateway.begin(account) for account in "aaabb"]
    refused = [task for task in tasks if task.done()]
    assert [task.get_name()[0] for task in refused] == ["a", "b"]
    assert [status(gateway, task.get_name()) for task in refused] == [503, 503]
    assert gateway.held == 3


async def test_flood_of_a_lower_class_does_not_keep_the_first_class_out():
    """Hazard: it takes all places of the line, and the first class is shed while it is held."""
    gateway = Gateway(tuned(BY_CLASS, "waiting = 30\n"), Bounds(400, 2, 2, full_from=1))
    await gateway.saturate("/chat")
    low = [await gateway.begin(str(number), "/batch") for number in range(40)]
    assert gateway.held == 30
    high = [await gateway.begin(account, "/chat") for account in "abc"]
    assert not any(task.done() for task in high)
    assert gateway.held == 30
    shed = [task for task in low if task.done()]
    assert len(shed) == 13
    assert {status(gateway, task.get_name()) for task in shed} == {503}
    await end(gateway, [*low, *high])
    assert (gateway.held, gateway.load.queue.waiting) == (0, 0)


async def test_flood_of_some_accounts_does_not_keep_others_out():
    gateway = Gateway(tuned(POLICY, "waiting = 30\n"))
    await gateway.saturate()
    flood = [await gateway.begin(f"flood{number % 3} ") for number in range(36)]
    assert gateway.held == 30
    others = [await gateway.begin(account) for account in "abcdefgh"]
    assert not any(task.done() for task in others)
    assert gateway.held == 30
    await gateway.make_room()
    await gateway.make_room()
    await end(gateway, [*flood, *others])
    assert (gateway.held, gateway.load.queue.waiting) == (0, 0)


async def test_clock_that_steps_back_holds_no_request_for_longer():
    """Hazard: a clock of one's own steps back by an hour, and what is held waits for an hour."""
    gateway = Gateway()
    await gateway.saturate()
    early = await gateway.begin("a")
    await gateway.pass_by(0.1)
    gateway.clock.advance(-3600)
    gateway.load.queue.here()._ring()
    late = await gateway.begin("b")
    await gateway.pass_by(0.2)
    assert (early.done(), late.done()) == (False, False)  # what it waited before is not known any more
    await gateway.pass_by(0.05)
    await asyncio.gather(early, late)
    assert [status(gateway, task.get_name()) for task in (early, late)] == [503, 503]
    assert (gateway.held, gateway.load.queue.waiting) == (0, 0)


async def test_newcomer_does_not_overtake():
    gateway = Gateway()
    await gateway.saturate()
    held = await gateway.begin("a")
    # There is room, and no event that says so.
    gateway.load._admission.adapt(Targeted(bounds=Bounds(400, 60, 60)), kind=KIND)
    late = await gateway.begin("b")
    assert gateway.held == 2
    await gateway.pass_by(0.005)
    assert gateway.reached == [held.get_name(), late.get_name()]


async def test_the_longer_it_was_held_the_shorter_is_the_queue_that_it_may_join():
    gateway = Gateway(bounds=Bounds(400, 40, 8, full_from=2, places=2))
    await gateway.saturate()
    first = await gateway.begin("a")
    await gateway.pass_by(0.2)  # of a second: a fifth of the queue has to be gone
    for _ in range(2):
        await gateway.begin_next()
        assert not gateway.reached
    await gateway.begin_next()
    assert gateway.reached == [first.get_name()]


async def test_those_in_doubt_come_after_all_others_of_their_class(monkeypatch: pytest.MonkeyPatch):
    gateway = Gateway()
    await gateway.saturate()
    priority = gateway.load.shed_priority

    def in_doubt(rank: int, now_ns: int, bound: BoundPolicy, row: Sequence[int], units: int) -> ShedPriority:
        return replace(priority(rank, now_ns, bound, row, units), verdict="likely")

    monkeypatch.setattr(gateway.load, "shed_priority", in_doubt)
    doubted = await gateway.begin("a")
    monkeypatch.undo()
    other = await gateway.begin("b")
    await gateway.make_room()
    assert gateway.reached == [other.get_name()]
    for _ in range(2):
        await gateway.begin_next()
    assert gateway.reached == [other.get_name(), doubted.get_name()]


async def test_one_whose_turn_would_come_too_late_is_shed_at_once():
    gateway = Gateway(BROAD)
    await gateway.saturate()
    for _ in range(40):
        await gateway.begin("a")
    for _ in range(4):  # four a second
        await gateway.pass_by(0.05)
        await gateway.begin_next()
    late = await gateway.begin("a")
    assert status(gateway, late.get_name()) == 503
    early = await gateway.begin("b")
    assert not early.done()
    assert results(gateway)["too-long"] == 1


@pytest.mark.parametrize(
    ("line", "held", "shadowed"), [('mode = "shed"', 0, 0), ('mode = "shadow"', 0, 3), ("", 3, 0)]
)
async def test_switch_and_shadow(line: str, held: int, shadowed: int):
    gateway = Gateway(POLICY.replace("[adaptive]\n", f"[adaptive]\n{line}\n"))
    for _ in range(2):
        await gateway.begin("running")
        await gateway.answer(gateway.reached[-1])
    for _ in range(5):
        await gateway.begin("a")
    assert gateway.held == held
    assert results(gateway).get("shadow", 0) == shadowed


def results(gateway: Gateway) -> dict[str, int]:
    cells = totals(gateway.limiter.table, COUNTER_HOLDS, len(HOLD_RESULTS))
    return {name: cell for name, cell in zip(HOLD_RESULTS, cells, strict=False) if cell}


async def test_what_became_of_each_is_counted():
    gateway = Gateway()
    await gateway.saturate()
    admitted, left, expired = [await gateway.begin("a") for _ in range(3)]
    left.hang_up()  # type: ignore[attr-defined]
    await turns()
    await gateway.make_room()
    assert gateway.reached == [admitted.get_name()]
    await gateway.pass_by(1)
    await expired
    assert results(gateway) == {"admitted": 1, "left": 1, "expired": 1}
