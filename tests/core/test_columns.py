"""Columns: values become the hashes that they have alone, and columns that do not fit are refused."""

from __future__ import annotations

from array import array

import pytest

from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.replay.columns import (
    address_column,
    amount_column,
    columns_of,
    fill_absent,
    hash_column,
    put_row,
    refuse,
    said,
    zero_column,
)
from ratelimit.errors import UsageError
from tests.support.cores import KEY

HASHER = Hasher(KEY)
ALL_ONES = 2**64 - 1


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


def test_rows_become_columns_and_a_refused_place_is_a_bit() -> None:
    columns, refused = columns_of([[1, -1, -2], [-2, 5, 2**64 - 2]], 3)
    assert [list(column) for column in columns] == [[1, ALL_ONES], [ALL_ONES, 5], [ALL_ONES, 2**64 - 2]]
    assert list(refused) == [0b100, 0b001]
    put_row(columns, refused, 0, [7, 8, 9])
    assert [column[0] for column in columns] == [7, 8, 9]
    assert list(refused) == [0, 0b001]
    refuse(refused, 1, [0])
    assert list(refused) == [0b010, 0b001]


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        fill_absent(array("Q", [1]), array("Q"))
    for row in ([1], [1, 2, 3]):
        with pytest.raises(IndexError):
            columns_of([row], 2)
    columns = [array("Q", [1]), array("Q")]
    with pytest.raises(IndexError):
        put_row(columns, zero_column(1), 0, [1, 2])
    with pytest.raises(IndexError):
        refuse(zero_column(1), 0, [1])
    with pytest.raises(TypeError):
        put_row([array("I", [1])], zero_column(1), 0, [1])
