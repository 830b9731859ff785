"""Costs of answers, in whole micro-dollars, from prices that are exact."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.usage.prices import PLAIN, Price, PriceList, as_price, dearest_of
from ratelimit.usage.prices import RATES as RATE_NAMES
from ratelimit.usage.pricing import PLAIN_TIERS, price_spec
from ratelimit.usage.pricing import Price as Written
from ratelimit.usage.report import Usage


def price(fresh: int, output: int, read: int, write: int, hour: int, request: int = 0, **more: Any) -> Price:
    """Return a price where sounds and pictures cost as text."""
    return Price((fresh, output, read, write, hour, fresh, read, output, fresh, output), (request,), **more)


SMALL = price(150_000, 600_000, 75_000, 150_000, 150_000)
LARGE = price(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000, 1_000)


@pytest.mark.parametrize(
    ("known", "usage", "micro"),
    [
        (SMALL, Usage(), 0),
        (SMALL, Usage(fresh_input=1), 1),
        (SMALL, Usage(fresh_input=1_000_000), 150_000),
        (SMALL, Usage(output=1_000_000), 600_000),
        (LARGE, Usage(1000, 300, 500, 100, 200), 3000 + 150 + 1500 + 375 + 1200 + 1),
        (LARGE, Usage(), 1),
    ],
)
def test_cost(known: Price, usage: Usage, micro: int) -> None:
    assert known.cost_micro(usage) == micro


@given(*(st.integers(0, 10**7) for _ in range(4)), st.decimals("0", "1000", places=4, allow_nan=False))
def test_cost_is_exact_and_rounded_up_once(
    fresh: int, write: int, read: int, output: int, dollars: Decimal
) -> None:
    known = as_price(price_spec([Written(input=float(dollars), output=float(dollars))]))
    true = dollars * (fresh + write + read + output)
    assert known.cost_micro(Usage(fresh, write, read, output)) == int(true.to_integral_value(ROUND_CEILING))


def test_dearest_is_so_kind_by_kind() -> None:
    odd = price(1, 90_000_000, 1, 1, 1)
    assert dearest_of([SMALL, LARGE, odd]) == price(
        3_000_000, 90_000_000, 300_000, 3_750_000, 6_000_000, 1_000
    )
    assert dearest_of([]) == price(0, 0, 0, 0, 0)


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


RATES = (
    2_000_000,
    8_000_000,
    500_000,
    2_500_000,
    4_000_000,
    40_000_000,
    2_500_000,
    80_000_000,
    2_500_000,
    30_000_000,
)
RICH = Price(RATES, (1_000, 10_000_000, 40_000_000), tiers={"priority": 1_750_000, "flex": 500_000})


@pytest.mark.parametrize(
    ("usage", "tier", "micro"),
    [
        (Usage(1_000, 0, 0, 100), None, 2_000 + 800 + 1),
        (Usage(1_000, 0, 0, 100, audio_input=400, audio_output=60), None, 1_200 + 16_000 + 320 + 4_800 + 1),
        (Usage(1_000, 0, 0, 100, image_input=400, image_output=60), None, 1_200 + 1_000 + 320 + 1_800 + 1),
        (Usage(0, 0, 1_000, 0, audio_cache_read=400), None, 300 + 1_000 + 1),
        (Usage(0, 1_000, 0, 0, 400), None, 1_500 + 1_600 + 1),
        # A share is at most all of it, whatever was said.
        (Usage(100, 0, 0, 0, audio_input=400, image_input=900), None, 4_000 + 1),
        (Usage(searches=3), None, 30_000 + 1),
        (Usage(images=2), None, 80_000 + 1),
        # Tiers are of tokens, and not of fees.
        (Usage(1_000, 0, 0, 100, searches=1), "priority", 3_500 + 1_400 + 10_000 + 1),
        (Usage(1_000, 0, 0, 100), "flex", 1_000 + 400 + 1),
        (Usage(1_000, 0, 0, 100), "default", 2_000 + 800 + 1),
        (Usage(1_000, 0, 0, 100), "batch", 2_000 + 800 + 1),
        (Usage(1_000, 0, 0, 100), "unheard-of", 3_500 + 1_400 + 1),
    ],
)
def test_cost_of_each_kind(usage: Usage, tier: str | None, micro: int) -> None:
    assert RICH.cost_micro(usage, tier) == micro


@pytest.mark.parametrize(
    ("usage", "micro"),
    [
        (Usage(200_000, 0, 0, 1_000), 400_000 + 8_000),
        (Usage(200_001, 0, 0, 1_000), 800_004 + 16_000),
        (Usage(100_000, 0, 100_001, 1_000), 400_000 + 100_001 + 16_000),  # what was cached is input
        (Usage(1_000_001, 0, 0, 0), 10_000_010),
    ],
)
def test_long_input_is_dearer_for_all_of_its_tokens(usage: Usage, micro: int) -> None:
    spec = price_spec(
        [
            Written(input=2, output=8, cache_read=0.5),
            Written(above=200_000, input=4, output=16, cache_read=1),
            Written(above=1_000_000, input=10, output=16),
        ]
    )
    assert as_price(spec).cost_micro(usage) == micro


def test_price_that_is_not_given_is_the_dearer_sensible_one() -> None:
    spec = price_spec([Written(input=3, output=15), Written(above=9, input=6, output=20)])
    dollars = [rate / 1e6 for rate in spec.rates]
    assert dollars == [3, 15, 3, 3, 3, 15, 15, 15, 3, 15]
    assert [rate / 1e6 for rate in spec.bands[0][1]] == [6, 20, 6, 6, 6, 20, 20, 20, 6, 20]


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("gpt-4o", "gpt-4o"),
        ("GPT-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4o-mini*"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini*"),
        ("gpt-4o-audio", "gpt-4o-*"),
        ("openai/gpt-4o", "*gpt-4o"),
        ("gpt-4", None),
        ("xgpt-4o-audio", None),
        ("gpt-4o-*", "gpt-4o-*"),
    ],
)
def test_longest_pattern_wins_and_a_whole_name_before_any(model: str, found: str | None) -> None:
    names = ("gpt-4o", "gpt-4o-*", "gpt-4o-mini*", "*gpt-4o")
    known = {name: price(at, at, at, at, at) for at, name in enumerate(names, 1)}
    prices = PriceList(known)
    for _ in range(2):
        assert prices.find(model) == (None if found is None else known[found])


def test_model_without_a_price_costs_as_the_dearest_for_any_length() -> None:
    one = Price(RATES, (), [(100, tuple(3 * rate for rate in RATES))], {"priority": 2_000_000})
    other = Price(tuple(2 * rate for rate in RATES), (), [(50, tuple(4 * rate for rate in RATES))])
    dearest = dearest_of([one, other])
    for read in (10, 50, 51, 100, 101, 10_000):
        for tier in (None, "priority", "flex"):
            usage = Usage(read, 0, 0, 7)
            costs = [each.cost_micro(usage, tier) for each in (one, other)]
            assert dearest.cost_micro(usage, tier) >= max(costs)
            assert dearest.cost_micro(usage) == max(each.cost_micro(usage) for each in (one, other))


def test_names_that_no_one_prices_are_those_of_the_policy() -> None:
    assert frozenset(PLAIN_TIERS) | {""} == PLAIN
    assert len(price_spec([Written(input=1, output=1)]).rates) == len(RATE_NAMES)
