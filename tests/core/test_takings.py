"""What callers took: exact for those that take most, whatever else is taken, and never too much."""

from __future__ import annotations

import random
from collections import Counter

from ratelimit.core.decision.engine import Plan
from ratelimit.core.memory.refusals import refusals_in
from ratelimit.core.memory.table import Table
from ratelimit.core.memory.takings import MOST_TAKERS, takings_in
from tests.support.cores import compiled_rule
from tests.support.memory import attach, private
from tests.support.rule import EPOCH, HOUR, SECOND, RuleSpec

HOUR_NUMBER = EPOCH // HOUR
START = HOUR_NUMBER * HOUR + HOUR // 2
QUOTA = 1_000_000


def plans(*quotas: int, shadow: bool = False) -> tuple[Table, list[Plan]]:
    table = attach(private(20_000))
    table.join(1, 1, START)
    found = []
    for number, quota in enumerate(quotas):
        rule = compiled_rule(RuleSpec("token-bucket", quota, HOUR, shadow=shadow, name=f"limit {number}"))
        found.append(Plan(table, [rule], [[0]], None, [0]))
    return table, found


def taken(table: Table, plan: int = 0, hour: int = HOUR_NUMBER) -> dict[int, int]:
    counter = table.counter(f"limit {plan}")
    return {who: units for limit, who, units in takings_in(table, hour) if limit == counter}


def test_units_are_those_that_were_admitted_and_settled() -> None:
    """Hazard: an estimate that counts as taken, or a refused request that does."""
    table, (plan,) = plans(100)
    outcome = plan.decide([7], START, [30])
    assert taken(table) == {7: 30}
    outcome.settle_rule(0, 12, START)
    assert taken(table) == {7: 12}
    outcome.settle_rule(0, 50, START)
    assert taken(table) == {7: 50}
    assert not plan.decide([7], START, [60]).allowed
    assert plan.decide([7], START, [0]).allowed
    assert plan.peek([7], START, [10]).allowed
    assert taken(table) == {7: 50}
    outcome.undo(START)
    assert taken(table) == {}


def test_what_a_limit_in_shadow_would_refuse_is_not_taken() -> None:
    table, (plan,) = plans(100, shadow=True)
    assert plan.decide([7], START, [90]).allowed
    assert plan.decide([7], START, [90]).allowed
    assert taken(table) == {7: 90}


def test_an_hour_ends_and_is_there_for_one_more() -> None:
    table, (plan,) = plans(100)
    outcome = plan.decide([7], START, [30])
    plan.decide([7], START + HOUR, [5])
    outcome.settle_rule(0, 40, START + HOUR)  # of the hour of its request
    assert taken(table) == {7: 40}
    assert taken(table, hour=HOUR_NUMBER + 1) == {7: 5}
    plan.decide([7], START + 2 * HOUR, [1])
    assert taken(table) == {}
    assert taken(table, hour=HOUR_NUMBER + 2) == {7: 1}


def test_those_that_take_most_stay_in_a_flood_of_others() -> None:
    """Hazard: fresh callers push out those that an analyst looks for."""
    table, (plan,) = plans(QUOTA)
    source = random.Random(5)
    heavy = {source.getrandbits(63): 2000 + 100 * number for number in range(10)}
    left, true = Counter(heavy), Counter(heavy)
    while left:
        who = source.choice(list(left))
        units = min(100, left[who])
        plan.decide([who], START, [units])
        left[who] -= units
        left += Counter()
        for _ in range(40):
            other = source.getrandbits(63)
            plan.decide([other], START, [1])
            true[other] += 1
    found = taken(table)
    assert len(found) <= MOST_TAKERS
    assert all(units <= true[who] for who, units in found.items())
    assert [who for who, _ in Counter(found).most_common(10)] == [
        who for who, _ in Counter(heavy).most_common()
    ]
    assert sum(found[who] for who in heavy) >= 0.99 * sum(heavy.values())


def test_a_limit_of_dollars_does_not_push_out_callers_of_one_of_requests() -> None:
    """Hazard: millionths of a dollar are many units, and not much."""
    table, (requests, dollars) = plans(60, 50_000_000)
    source = random.Random(6)
    heavy = [source.getrandbits(63) for _ in range(5)]
    for number in range(8000):
        dollars.decide([source.getrandbits(63)], START, [20_000])
        if number % 200 == 0:
            for who in heavy:
                requests.decide([who], START, [1])
    assert taken(table, 0) == dict.fromkeys(heavy, 40)


def test_several_workers_add_to_one_sum() -> None:
    memory = private(100)
    tables = [attach(memory) for _ in range(2)]
    for number, table in enumerate(tables):
        table.join(100 + number, 1, START)
        rule = compiled_rule(RuleSpec("token-bucket", 10, HOUR, name="limit 0"))
        plan = Plan(table, [rule], [[0]], None, [0])
        plan.decide([7], START + number * SECOND, [4])
    assert taken(tables[0]) == taken(tables[1]) == {7: 8}


def test_of_a_table_that_nobody_asks_callers_are_not_noted() -> None:
    """Hazard: limits themselves or their counters go by who is noted; a replay has no use for it."""
    table, (plan,) = plans(100)
    noting, (other,) = plans(100)
    table.forget_callers()
    for number in range(20):
        seen = [one.decide([number % 3], START + number, [30]) for one in (plan, other)]
        assert seen[0].allowed == seen[1].allowed
        seen[0].settle_rule(0, 40, START + number)
        seen[1].settle_rule(0, 40, START + number)
    assert refusals_in(noting, START)
    assert taken(noting)
    assert not refusals_in(table, START)
    assert not taken(table)
    assert table.totals(table.counter("limit 0")) == noting.totals(noting.counter("limit 0"))
    table.join(1, 1, START)
    plan.decide([9], START, [1])
    assert taken(table) == {9: 1}
