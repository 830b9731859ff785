"""The columns that the correlator reads out of a row of identities."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.core.clusters.sighting import Columns
from ratelimit.identity.fact import ABSENT, REFUSED

NOTHING = (-1,) * 8


@pytest.mark.parametrize(
    ("principal", "kinds"),
    [
        ((), NOTHING),
        ((0, 1, 2, 3, 4), NOTHING),
        ((-1,), NOTHING),
        ((0, -1), NOTHING),
        ((0,), NOTHING[1:]),
        ((0,), (*NOTHING, -1)),
    ],
)
def test_columns_that_cannot_be(principal: tuple[int, ...], kinds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1 to 4 positions"):
        Columns(principal, kinds)


@pytest.mark.parametrize(
    ("principal", "kinds", "highest"),
    [((0,), NOTHING, 0), ((3, 1), NOTHING, 3), ((0,), (1, 2, 7, -1, -1, -1, -1, 4), 7)],
)
def test_highest_position_looked_at(principal: tuple[int, ...], kinds: tuple[int, ...], highest: int) -> None:
    assert Columns(principal, kinds).highest == highest


@pytest.mark.parametrize(
    ("principal", "row", "has_key"),
    [
        ((0,), [5], True),
        ((0,), [2**64 - 2], True),
        ((0,), [ABSENT], False),
        ((0,), [REFUSED], False),
        ((0,), [0], False),  # no hash is 0
        ((0, 1), [5, 6], True),
        ((0, 1), [5, ABSENT], False),
        ((0, 1), [ABSENT, 6], False),
    ],
)
def test_a_row_without_a_part_has_no_principal(
    principal: tuple[int, ...], row: list[int], has_key: bool
) -> None:
    assert (Columns(principal, NOTHING).key_of(row) is not None) == has_key


def test_one_identity_is_its_own_key() -> None:
    assert Columns((1,), NOTHING).key_of([3, 77]) == 77


def test_parts_of_a_principal_are_told_apart_by_their_places() -> None:
    both = Columns((0, 1), NOTHING)
    keys = {both.key_of(row) for row in ([1, 2], [2, 1], [1, 1], [2, 2], [3, 0])}
    assert len(keys) == 5


@pytest.mark.parametrize("row", [[], [1], (1,)])
def test_a_row_too_short(row: Any) -> None:
    with pytest.raises(ValueError, match="identity 1"):
        Columns((0,), (1, *NOTHING[1:])).key_of(row)


@pytest.mark.parametrize("row", [None, 3, 1.5])
def test_a_row_that_is_none(row: Any) -> None:
    with pytest.raises(TypeError):
        Columns((0,), NOTHING).key_of(row)
