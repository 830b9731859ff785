"""A class that is not first has its weight of what goes on, however many of the first wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ratelimit import Policy, PolicyError
from ratelimit.load.model.controller import Bounds
from ratelimit.load.model.weights import MOST, Weights
from ratelimit.waiting.model.line import Line, Waiter
from tests.load.held import POLICY, Gateway

CLASSES = """
[[class]]
name = "paid"
match = "POST /chat"
[[class]]
name = "free"
match = "POST /batch"
{weight}
"""


def policy(weight: str, hold: str = "") -> str:
    return POLICY.replace("[[limit]]", CLASSES.format(weight=weight) + "[[limit]]").replace(
        "[adaptive]\n", f"[adaptive]\n{hold}\n"
    )


async def goes_on(weight: str, rounds: int = 60) -> dict[str, int]:
    """Have both classes wait all the time; return how many of each went on."""
    gateway = Gateway(policy(weight), Bounds(400, 2, 2, full_from=1))
    await gateway.saturate("/chat")
    gone = 0
    for _ in range(3):
        await gateway.begin("paid", "/chat")
        await gateway.begin("free", "/batch")
    while len(gateway.reached) < rounds:
        await gateway.begin_next()
        for name in gateway.reached[gone:]:  # each that went on has another in its place
            path = "/chat" if name.startswith("paid") else "/batch"
            await gateway.begin(name[:4], path)
        gone = len(gateway.reached)
        gateway.clock.advance(0.001)
    return {kind: sum(name.startswith(kind) for name in gateway.reached) for kind in ("paid", "free")}


async def test_last_class_has_its_weight_while_the_first_waits_all_the_time():
    """Hazard: classes were strict, so the last one got nothing for as long as the first waited."""
    assert (await goes_on("weight = 25"))["free"] == pytest.approx(15, abs=3)
    assert 2 <= (await goes_on(""))["free"] <= 5


async def test_policy_may_want_the_last_class_to_wait_for_all_others():
    assert (await goes_on("weight = 0"))["free"] == 0


async def test_what_is_not_held_has_its_weight_too():
    gateway = Gateway(policy("weight = 20", 'mode = "shed"'), Bounds(400, 2, 2, full_from=1))
    await gateway.saturate("/chat")
    free = 0
    for _ in range(60):
        await gateway.begin_next()
        before = len(gateway.reached)
        await gateway.begin("free", "/batch")
        free += len(gateway.reached) - before
        await gateway.begin("paid", "/chat")
    assert 5 <= free <= 16


def test_class_that_was_away_has_no_right_to_a_burst():
    weights = Weights([0.0, 0.5])
    assert weights.is_due(1, 10_000)
    for _ in range(int(MOST)):
        weights.take(1)
    assert not weights.is_due(1, 10_000)
    assert not weights.is_due(1, 10_001)
    assert weights.is_due(1, 10_002)
    assert not weights.is_due(0, 20_000)
    assert not weights.is_due(7, 20_000)


def order(weights: tuple[float, ...], costs: tuple[int, ...]) -> Iterator[int]:
    """Serve a line whose classes have always one of each waiting; yield the class of each."""
    line = Line(1, 0, weights)
    for rank, cost in enumerate(costs):
        line.join(Waiter("a", cost, rank, 0, 10**12))
    while (head := line.head()) is not None:
        line.serve(head, 0)
        line.join(Waiter("a", costs[head.rank], head.rank, 0, 10**12))
        yield head.rank


@pytest.mark.parametrize("costs", [(1, 1, 1), (1, 30, 1), (8000, 100, 5)])
def test_line_gives_each_class_its_weight_of_the_units_that_are_served(costs: tuple[int, ...]):
    units = [0, 0, 0]
    served = order((0.0, 0.2, 0.1), costs)
    for _ in range(3_000):
        rank = next(served)
        units[rank] += costs[rank]
    parts = [each / sum(units) for each in units]
    assert parts == pytest.approx([0.7, 0.2, 0.1], abs=0.02)


def test_line_without_weights_is_strict():
    served = order((), (1, 1))
    assert {next(served) for _ in range(100)} == {0}


def test_weights_that_leave_nothing_for_the_first_class_are_told():
    classes = "".join(
        f'[[class]]\nname = "c{number}"\nmatch = "/{number}"\nweight = 50\n' for number in range(3)
    )
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(f"version = 1\n[adaptive]\n{classes}")
    assert [problem.code for problem in caught.value.problems] == ["class-weights"]
