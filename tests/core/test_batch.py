"""Batches: records decided by columns come out as they do one by one, and bad columns are refused."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.replay.batch import (
    address_column,
    amount_column,
    decide_batch,
    fill_absent,
    hash_column,
    said,
)
from ratelimit.errors import UsageError
from tests.support.cores import COMPILED, KEY, reading
from tests.support.rule import EPOCH, SECOND, RuleSpec

HASHER = Hasher(KEY)
ALL_ONES = 2**64 - 1
SPECS = (RuleSpec("token-bucket", 3, SECOND), RuleSpec("fixed-window", 4, SECOND), RuleSpec("concurrency", 1))
RECORDS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([ALL_ONES, 1, 2]),
        st.sampled_from([5, 6]),
        st.sampled_from([0, 1, SECOND // 3, SECOND]),
        st.one_of(st.none(), st.integers(0, 4)),
    ),
    max_size=25,
)


def plans(table: Any) -> list[Any]:
    """Return two plans that share a rule's counters, and none."""
    return [
        COMPILED.plan(table, SPECS[:2], [[0], [1]], None, [0, -1]),
        COMPILED.plan(table, SPECS[1:], [[1], [0]], None, [-1, -1]),
        None,
    ]


@given(RECORDS)
def test_batch_decides_as_one_by_one(records: list[tuple[int, int, int, int, int | None]]) -> None:
    together, apart = plans(COMPILED.table()), plans(COMPILED.table())
    times = []
    now_ns = EPOCH
    for record in records:
        now_ns += record[3]
        times.append(now_ns)
    columns = [array("Q", [record[at] for record in records]) for at in (1, 2)]
    kinds = [[(plan, (1,), (1,), None) for plan in together][record[0]] for record in records]
    taken = amount_column([record[4] for record in records])
    refused, unlimited = decide_batch(kinds, columns, times, [columns[1], taken])
    expected = []
    for at, (which, first, second, _, cost) in enumerate(records):
        plan = apart[which]
        if plan is None:
            continue
        ids = [-1 if first == ALL_ONES else first, second]
        outcome = plan.decide(ids, times[at], (1 if cost is None else cost,))
        if outcome.allowed:
            outcome.release(times[at])
        else:
            expected.append((at, outcome.binding, reading(outcome, outcome.binding)))
    assert [(at, one.binding, reading(one, one.binding)) for at, one in refused] == expected
    assert unlimited == sum(record[0] == 2 for record in records)


def test_values_become_the_hashes_they_have_alone() -> None:
    def other(value: object) -> int:
        return {5: 77, "": -1, "é": 78, "x" * 10: -1}[value]  # type: ignore[index]

    column, absent = hash_column(HASHER, 9, ["a", None, 5, "", "é", "x" * 10], 9, other)
    assert list(column) == [HASHER.identity(9, "a"), ALL_ONES, 77, ALL_ONES, 78, ALL_ONES]
    assert absent == 3
    column, absent = address_column(HASHER, 9, 24, 48, ["192.0.2.7", None, 5], other)
    assert list(column) == [HASHER.identity(9, b"\x18\xc0\x00\x02\x00"), ALL_ONES, 77]
    assert absent == 1


def test_what_was_taken_is_a_cost_or_nothing() -> None:
    assert list(amount_column([0, None, 2**31 - 1])) == [0, ALL_ONES, 2**31 - 1]
    with pytest.raises(UsageError, match="cost"):
        amount_column([2**31])


def test_places_are_told_where_something_stands() -> None:
    assert said(array("Q", [ALL_ONES, 0, ALL_ONES, 7])) == [1, 3]
    assert said(array("Q")) == []


def test_gaps_are_filled_and_what_is_left_is_counted() -> None:
    column = array("Q", [1, ALL_ONES, ALL_ONES])
    assert fill_absent(column, array("Q", [7, 8, ALL_ONES])) == 1
    assert list(column) == [1, 8, ALL_ONES]


def test_columns_that_do_not_fit_are_refused_before_any_charge() -> None:
    table = COMPILED.table()
    plan = COMPILED.plan(table, SPECS[:1], [[1]])
    kind = (plan, (), (), None)
    priced = (COMPILED.plan(table, SPECS[:1], [[1]], None, [0]), (1,), (), None)
    wrong: list[tuple[Any, ...]] = [
        ([kind], [array("Q", [1])], [EPOCH]),
        ([kind], [array("Q", [1]), array("Q", [1, 2])], [EPOCH]),
        ([kind], [array("Q", [1])] * 65, [EPOCH]),
        ([kind, kind], [array("Q", [1])] * 2, [EPOCH]),
        ([kind], [array("Q", [1])] * 2, [EPOCH], [array("Q")]),
        ([priced], [array("Q", [1])] * 2, [EPOCH], [array("Q", [1])]),
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match="column"):
            decide_batch(*arguments)
    for column in (array("I", [1]), array("q", [1])):
        with pytest.raises(TypeError):
            decide_batch([kind], [array("Q", [1]), column], [EPOCH])
    with pytest.raises(TypeError):
        decide_batch([[plan, ()]], [array("Q", [1])] * 2, [EPOCH])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="length"):
        fill_absent(array("Q", [1]), array("Q"))
    assert plan.decide([0, 1], EPOCH).remaining(0) == 2
