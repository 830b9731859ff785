"""A cost that an application computes of a request: what is no number is told, or cut, at each door."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from ratelimit import UsageError
from ratelimit.integrations.requirement import amount_by
from tests.asgi.driver import limit, rules
from tests.doors.asked import ASKED
from tests.doors.doors import STORE

POLICY = rules(limit("chat", per="ip", rate="3/year", match=[]), identities="", more=STORE)
WRONG = [1.0, "2", True, None, {"requests": 1.5}]
CALLER = ("GET", "/asked", "192.0.2.1")


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize(
    ("cost", "served"),
    [
        (1, [True, True, True, False]),
        (-5, [True] * 4),
        ({"requests": -1}, [True] * 4),
        (2**40, [False] * 4),
        ({"requests": 2**64}, [False] * 4),
    ],
)
def test_computed_cost_that_is_out_of_range_is_cut(name: str, cost: Any, served: list[bool]) -> None:
    serve = ASKED[name](POLICY, lambda request: cost)
    assert [serve(CALLER) for _ in range(4)] == served


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("cost", WRONG)
def test_request_is_not_served_for_a_computed_cost_that_is_no_whole_number(name: str, cost: Any) -> None:
    serve = ASKED[name](POLICY, lambda request: cost)
    with suppress(UsageError):  # some frameworks answer with 500 by themselves
        assert not serve(CALLER)


@pytest.mark.parametrize("cost", WRONG)
def test_cost_that_is_no_whole_number_is_told(cost: Any) -> None:
    with pytest.raises(UsageError, match="a computed cost must be a whole number, not ") as caught:
        amount_by(cost)
    assert caught.value.code == "cost-type"
