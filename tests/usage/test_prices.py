"""Costs of answers, in whole micro-dollars, from prices that are exact."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.usage.prices import Price, PriceList, as_price, dearest_of
from ratelimit.usage.pricing import Price as Written
from ratelimit.usage.pricing import price_spec
from ratelimit.usage.report import Usage

SMALL = Price(150_000, 600_000, 75_000, 150_000, 150_000)
LARGE = Price(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000, 1_000)


@pytest.mark.parametrize(
    ("price", "usage", "micro"),
    [
        (SMALL, Usage(), 0),
        (SMALL, Usage(fresh_input=1), 1),
        (SMALL, Usage(fresh_input=1_000_000), 150_000),
        (SMALL, Usage(output=1_000_000), 600_000),
        (LARGE, Usage(1000, 300, 500, 100, 200), 3000 + 150 + 1500 + 375 + 1200 + 1),
        (LARGE, Usage(), 1),
    ],
)
def test_cost(price: Price, usage: Usage, micro: int) -> None:
    assert price.cost_micro(usage) == micro


@given(*(st.integers(0, 10**7) for _ in range(4)), st.decimals("0", "1000", places=4, allow_nan=False))
def test_cost_is_exact_and_rounded_up_once(
    fresh: int, write: int, read: int, output: int, dollars: Decimal
) -> None:
    price = as_price(price_spec(Written(input=float(dollars), output=float(dollars))))
    true = dollars * (fresh + write + read + output)
    assert price.cost_micro(Usage(fresh, write, read, output)) == int(true.to_integral_value(ROUND_CEILING))


def test_dearest_is_so_kind_by_kind() -> None:
    odd = Price(1, 90_000_000, 1, 1, 1)
    assert dearest_of([SMALL, LARGE, odd]) == Price(
        3_000_000, 90_000_000, 300_000, 3_750_000, 6_000_000, 1_000
    )
    assert dearest_of([]) == Price(0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("small", SMALL),
        ("small-2024-07-18", SMALL),
        ("small-20240718", SMALL),
        ("small@20240718", SMALL),
        ("small-latest", SMALL),
        ("small-20240718-v2:0", SMALL),
        ("small-pro", None),
        ("small-32", None),
        ("sma", None),
        ("", None),
        (None, None),
    ],
)
def test_model_is_found_by_its_name_or_its_name_without_a_date(
    model: str | None, found: Price | None
) -> None:
    prices = PriceList({"small": SMALL, "large": LARGE})
    assert prices.find(model) == found
    assert prices.find(model, "large") == (found or LARGE)


def test_dated_name_of_its_own_comes_first() -> None:
    assert PriceList({"small": SMALL, "small-latest": LARGE}).find("small-latest") == LARGE
